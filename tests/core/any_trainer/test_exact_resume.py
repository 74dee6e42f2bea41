"""The README's five lines, with a Trainer, module and data that know nothing of this project."""

import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning import LightningDataModule, LightningModule, Trainer, seed_everything

from convblocks import ExactResume
from convblocks.errors import Stopped, UserError
from tests.any_task import characters, labels, regression, shapes
from tests.any_task.changing import ChangedInHooks
from tests.any_task.kinds import STEPS, Kind
from tests.any_task.stop import Signal, forget_signal
from tests.any_task.tasks import QUICK
from tests.core.any_trainer.plain import assert_equal_states

TASKS = {
    "regression": (regression.Curve, regression.Points, 16),
    "labels": (labels.Tagger, labels.Tags, 20),
    "shapes": (shapes.Segmenter, shapes.Shapes, 20),
    "characters": (characters.Characters, characters.Text, 20),
}
pytestmark = [
    pytest.mark.filterwarnings("ignore:'set_vital' is deprecated"),  # by torchdata
    pytest.mark.filterwarnings("ignore:Checkpoint directory .* exists and is not empty"),
]


def train(
    model: type[LightningModule], data: type[LightningDataModule], path: Path, stop_after: int = 0, **settings: Any
) -> Trainer:
    """Three epochs, from the checkpoint if there is one; a signal stops them after so many batches."""
    seed_everything(0, verbose=False)
    resume = ExactResume(path)
    callbacks = [resume, *([Signal(stop_after)] if stop_after else [])]
    quiet: dict[str, Any] = {"enable_progress_bar": False, "enable_model_summary": False, "logger": False}
    trainer = Trainer(max_epochs=3, callbacks=callbacks, **(quiet | settings))
    trainer.fit(model(), datamodule=data(), ckpt_path=resume.ckpt_path)
    return trainer


@pytest.mark.parametrize("within", [True, False])
@pytest.mark.parametrize("task", QUICK)
def test_killed_and_run_again_it_ends_with_the_same_bits(task: str, within: bool, workspace: Path) -> None:
    model, data, steps = TASKS[task]
    whole = train(model, data, Path("whole/last.ckpt"))
    with pytest.raises(Stopped, match="run it again to carry on") as caught:
        train(model, data, Path("stopped/last.ckpt"), stop_after=steps + 7 if within else 2 * steps)
    assert caught.value.exit_status == 128 + signal.SIGTERM
    forget_signal()
    stopped = train(model, data, Path("stopped/last.ckpt"))
    one, other = (trainer.lightning_module.state_dict() for trainer in (whole, stopped))
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert whole.callback_metrics == stopped.callback_metrics


@pytest.mark.parametrize("stop_after", [STEPS + 1, STEPS + 3, 2 * STEPS])
def test_what_a_modules_own_hooks_change_is_kept(stop_after: int, workspace: Path) -> None:
    """Lightning calls them after those of callbacks; every third batch an evaluation follows."""
    settings = {"val_check_interval": 3}
    whole = train(ChangedInHooks, Kind, Path("whole/last.ckpt"), **settings)
    with pytest.raises(Stopped):
        train(ChangedInHooks, Kind, Path("stopped/last.ckpt"), stop_after, **settings)
    forget_signal()
    stopped = train(ChangedInHooks, Kind, Path("stopped/last.ckpt"), **settings)
    assert_equal_states(whole.lightning_module, stopped.lightning_module)
    assert whole.callback_metrics == stopped.callback_metrics


def test_the_checkpoint_may_have_any_name(workspace: Path) -> None:
    model, data, _ = TASKS["regression"]
    train(model, data, Path("any/state.pt"))
    assert ExactResume("any/state.pt").ckpt_path


def test_a_damaged_checkpoint_is_no_loss(workspace: Path) -> None:
    """A kill between two files leaves the one before."""
    model, data, _ = TASKS["regression"]
    whole = train(model, data, Path("whole/last.ckpt"))
    with pytest.raises(Stopped):
        train(model, data, Path("stopped/last.ckpt"), stop_after=40)
    forget_signal()
    Path("stopped/last.ckpt").rename("stopped/previous-last.ckpt")
    stopped = train(model, data, Path("stopped/last.ckpt"))
    assert whole.callback_metrics == stopped.callback_metrics


def test_a_checkpoint_with_an_optimizer_state_of_another_shape_is_refused(workspace: Path) -> None:
    """Torch's fused kernels would read beyond its end."""
    model, data, _ = TASKS["regression"]
    path = Path("stopped/last.ckpt")
    with pytest.raises(Stopped):
        train(model, data, path, stop_after=20)
    forget_signal()
    content = torch.load(path, weights_only=True)
    (optimizer,) = content["optimizer_states"]
    states = optimizer["state"].values()
    name = next(name for name, value in next(iter(states)).items() if value.ndim)
    for state in states:
        state[name] = torch.zeros(1, 1, 1)
    torch.save(content, path)
    with pytest.raises(UserError, match=r"cannot resume from .*last\.ckpt: an optimizer's state is not of its"):
        train(model, data, path)
