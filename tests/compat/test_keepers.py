"""Trainings whose loaders, metrics, buffers and finders hold state resume exactly, or say that they do not."""

from pathlib import Path
from typing import Any

import pytest
import torch
from lightning import Callback, LightningModule, Trainer, seed_everything
from lightning.pytorch.callbacks import BatchSizeFinder, LearningRateFinder
from torch import Tensor

from convblocks import ExactResume
from convblocks.errors import Stopped
from tests.any_task.changing import LoggingList, Remembering, Replaying, Scheduled, Weakening
from tests.any_task.kinds import LOADERS, STEPS, Caching, Histories, Kind, MovingMean, Plain, Quantized, Sharing
from tests.any_task.stop import Signal, forget_signal
from tests.core.run.test_tasks import ODD, assert_same_bits_after_a_kill

pytestmark = [
    pytest.mark.filterwarnings("ignore:'set_vital' is deprecated"),  # by torchdata
    pytest.mark.filterwarnings("ignore:Checkpoint directory .* exists and is not empty"),
    pytest.mark.filterwarnings("ignore:torch.ao.quantization is deprecated"),
    pytest.mark.filterwarnings("ignore:Please use quant_min and quant_max"),
]
WITHIN, AT_THE_END = STEPS + 3, 2 * STEPS
QUICK = ["stream", "seen", "own generator", "sampler", "batch sampler", "workers"]
MODULES = [
    MovingMean,
    Caching,
    Histories,
    Sharing,
    Quantized,
    Weakening,
    Scheduled,
    Remembering,
    Replaying,
    LoggingList,
]
EXACT = [kind if kind in QUICK else pytest.param(kind, marks=pytest.mark.slow) for kind in LOADERS]


def train(model: type[LightningModule], kind: str, path: Path, stop_after: int = 0, *callbacks: Callback) -> Trainer:
    """Three epochs, from the checkpoint if there is one; a signal stops them after so many batches."""
    seed_everything(0, verbose=False)
    resume = ExactResume(path)
    settings: dict[str, Any] = {"enable_progress_bar": False, "enable_model_summary": False, "logger": False}
    stop = [Signal(stop_after)] if stop_after else []
    trainer = Trainer(max_epochs=3, callbacks=[*callbacks, resume, *stop], **settings)
    trainer.fit(model(), datamodule=Kind(kind), ckpt_path=resume.ckpt_path)
    return trainer


def end_of(trainer: Trainer) -> dict[str, Tensor]:
    return trainer.lightning_module.state_dict() | trainer.callback_metrics


def assert_exact(model: type[LightningModule], kind: str, stop_after: int) -> None:
    whole = end_of(train(model, kind, Path("whole/last.ckpt")))
    with pytest.raises(Stopped):
        train(model, kind, Path("stopped/last.ckpt"), stop_after)
    forget_signal()
    stopped = end_of(train(model, kind, Path("stopped/last.ckpt")))
    assert whole.keys() == stopped.keys()
    assert [name for name in whole if not torch.equal(whole[name], stopped[name])] == []


@pytest.mark.parametrize("stop_after", [WITHIN, AT_THE_END])
@pytest.mark.parametrize("kind", EXACT)
def test_a_loader_goes_on_exactly(kind: str, stop_after: int, workspace: Path) -> None:
    assert_exact(Plain, kind, stop_after)


def test_a_generator_of_torchs_own_loader_goes_on_at_the_end_of_an_epoch(workspace: Path) -> None:
    cut = ["--data.stateful", "false", "--trainer.limit_train_batches", "20"]
    assert_same_bits_after_a_kill([*ODD, *cut], 40)


@pytest.mark.parametrize("stop_after", [WITHIN, AT_THE_END])
@pytest.mark.parametrize("model", MODULES)
def test_a_module_goes_on_exactly(model: type[LightningModule], stop_after: int, workspace: Path) -> None:
    assert_exact(model, "", stop_after)


@pytest.mark.parametrize(
    ("kind", "line"),
    [
        ("stream", ""),
        ("torch", "The training loader has no state_dict: this run can be resumed at the ends of epochs only."),
        ("named", "The training loader has no length, and its batches are more than tensors and plain values: this"),
        ("persistent workers", "The workers of the training loader are persistent: if they draw random numbers, a"),
    ],
)
def test_what_is_lost_is_said(kind: str, line: str, workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(Stopped) as caught:
        train(Plain, kind, Path("last.ckpt"), WITHIN)
    forget_signal()
    printed = capsys.readouterr().out
    assert line in printed if line else "resume" not in printed
    assert ("from the end of an epoch" in str(caught.value)) == (kind in ("torch", "named"))


@pytest.mark.parametrize("stop_after", [3, WITHIN])
@pytest.mark.parametrize("finder", [LearningRateFinder, BatchSizeFinder])
def test_a_finder_searches_once(finder: type[Callback], stop_after: int, workspace: Path) -> None:
    rates: dict[str, Any] = {"num_training_steps": 20, "early_stop_threshold": None}
    settings = rates if finder is LearningRateFinder else {"max_trials": 2}

    def ends(name: str, stop: int = 0) -> tuple[dict[str, Tensor], float, int]:
        trainer: Any = train(Plain, "", Path(name), stop, finder(**settings))
        return end_of(trainer), trainer.lightning_module.lr, trainer.datamodule.batch_size

    whole, *found = ends("whole/last.ckpt")
    assert found != [0.01, 5]
    with pytest.raises(Stopped):
        ends("stopped/last.ckpt", stop_after)
    forget_signal()
    stopped, *kept = ends("stopped/last.ckpt")
    assert kept == found
    assert all(torch.equal(whole[name], stopped[name]) for name in whole)
