"""The guarantee: a training that is stopped or killed at any step, and resumed, ends
with the same bits.

Each subject is stopped by SIGTERM within an epoch, where it saves, some by Ctrl-C, and
killed by SIGKILL in a later epoch than the first, after which it resumes from the end of an epoch.
"""

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning import Callback, LightningModule, Trainer, seed_everything
from torch.utils.data import DataLoader, StackDataset

from exact_resume import ExactResume, Keeper, ResumeError, Stopped
from exact_resume.keeper import Moment, State
from tests.any_task.kinds import POINTS, STEPS, Kind, Noisy, Plain, Reshuffled, Scored
from tests.any_task.stop import Signal, forget_signal
from tests.exact_resume.stopping import (
    INT,
    KILL,
    TERM,
    End,
    assert_resumes_exactly,
    assert_same,
    is_same,
    parameters_of,
)
from tests.exact_resume.subjects import QUIET, SUBJECTS, plain

SLOW = pytest.mark.slow

# Without a mark; all others are slow.
FAST: tuple[str, ...] = ("module",)
FAST += tuple(
    f"loader {kind}"
    for kind in ("stream", "seen", "fading", "own generator", "weighted", "workers", "torch")
)


def marks(name: str) -> list[pytest.MarkDecorator]:
    is_fast = name.startswith(FAST) and name != "loader own generator in workers"
    return [] if is_fast else [SLOW]


# The subject, the signal, and the batch after which it comes.
CASES = {
    (name, number, batch): marks(name)
    for name, (_, steps, within) in SUBJECTS.items()
    for number, batch in ((TERM, within), (KILL, max(within, steps + 5)))
}
# At an evaluation.
CASES |= {
    ("module ChangedInHooks", TERM, 2 * STEPS): [SLOW],
    ("module Sharing", TERM, 2 * STEPS): [SLOW],
    ("loader counted", TERM, 2 * STEPS): [SLOW],
}
# By Ctrl-C, also in the last step of all.
CASES |= {("loader workers", INT, STEPS + 3): [], ("module Scored", INT, 3 * STEPS): []}

pytestmark = [
    pytest.mark.filterwarnings("ignore:'set_vital' is deprecated"),  # by torchdata
    pytest.mark.filterwarnings("ignore:Checkpoint directory .* exists and is not empty"),
]


@pytest.fixture(scope="module", autouse=True)
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A current folder for the checkpoints."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("resume"))
        yield


@pytest.fixture(scope="module")
def wholes() -> dict[str, End]:
    """How subjects end that are not stopped, each trained once."""
    return {}


@pytest.fixture(autouse=True)
def fresh_signals() -> Iterator[None]:
    torch.set_num_threads(1)  # those of others are missing in a forked process
    yield
    forget_signal()


class Trains(Callback):
    """Notes at the first batch which parts of the module train, by names."""

    def __init__(self) -> None:
        self.first: dict[str, bool] = {}

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        if not self.first:
            self.first = {name: part.training for name, part in pl_module.named_modules()}


@pytest.mark.parametrize(("name", "number", "batch"), parameters_of(CASES))
def test_resume_ends_with_the_same_bits(
    name: str, number: signal.Signals, batch: int, wholes: dict[str, End]
) -> None:
    assert_resumes_exactly(SUBJECTS[name].train, name, number, batch, wholes)


val = Kind().val_dataloader
points: Any = POINTS

PERSISTENT: dict[str, Any] = {"num_workers": 1, "persistent_workers": True}


@pytest.mark.parametrize(
    ("sanity_steps", "stop"), [(0, STEPS - 1), (0, STEPS + 3), (1, STEPS - 1), (1, STEPS)]
)
def test_persistent_workers_of_validation_draw_once_as_without_a_stop(
    sanity_steps: int, stop: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a sanity check they start before the first epoch, without one at its end; their
    data draw on from one evaluation to the next.
    """
    monkeypatch.chdir(tmp_path)

    def train(name: str, *callbacks: Callback) -> End:
        resume = ExactResume(Path(name) / "state.pt")
        seed_everything(0, verbose=False)
        settings = QUIET | {"num_sanity_val_steps": sanity_steps}
        trainer = Trainer(max_epochs=3, callbacks=[*callbacks, resume], **settings)
        loaders = (
            DataLoader(points, 5, shuffle=True),
            DataLoader(StackDataset(Noisy()), 5, **PERSISTENT),
        )
        trainer.fit(Plain(), *loaders, ckpt_path=resume.ckpt_path, weights_only=True)
        return trainer.lightning_module.state_dict() | trainer.callback_metrics

    with pytest.raises(Stopped):
        train("resumed", Signal(stop))
    assert is_same(train("whole"), train("resumed"))


@pytest.mark.parametrize("workers", [{}, PERSISTENT])
def test_training_is_the_same_whose_loader_is_watched(
    workers: dict[str, Any], tmp_path: Path
) -> None:
    ends, resume = [], ExactResume(tmp_path / "state.pt")
    for callbacks in list[list[Callback]]([[], [resume]]):
        seed_everything(0, verbose=False)
        settings = QUIET | {"enable_checkpointing": bool(callbacks)}
        trainer = Trainer(max_epochs=2, callbacks=callbacks, **settings)
        trainer.fit(Plain(), DataLoader(Noisy(), 5, sampler=Reshuffled(), **workers), val())
        ends.append(trainer.lightning_module.state_dict())
    assert_same(*ends)


def test_resume_refuses_the_checkpoint_of_another_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    subject = plain(Plain)
    subject.train("run", [])
    path = tmp_path / "run" / "state.pt"
    checkpoint = torch.load(path, weights_only=True)
    for state in checkpoint["callbacks"].values():
        state["version"] = 1
    torch.save(checkpoint, path)
    with pytest.raises(ResumeError, match="another version of exact_resume"):
        subject.train("run", [])


def test_checkpoint_has_each_generator_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The global ones, and the loader's own; within an epoch also as they were when it
    began.
    """
    monkeypatch.chdir(tmp_path)
    plain(Plain, "own generator").train("run", [])
    checkpoint = torch.load(tmp_path / "run" / "state.pt", weights_only=True)
    (state,) = [state for state in checkpoint["callbacks"].values() if "processes" in state]
    (process,) = state["processes"]
    assert process["Generators"].keys() >= {"torch", "python", "numpy"}
    assert any(name.endswith("/noise/generator") for name in process["Generators"])
    assert "began" not in process["Loaders"]


def test_metrics_train_after_a_stop_that_saved_in_an_evaluation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    subject = plain(Scored, val_check_interval=3)
    with pytest.raises(Stopped):
        subject.train("run", [Signal(STEPS + 3)])
    forget_signal()
    train = Trains()
    subject.train("run", [train])
    assert train.first == dict.fromkeys(train.first, True)


def test_training_after_a_resume_of_an_ended_one_begins_anew(tmp_path: Path) -> None:
    """With the same callback; nothing of the checkpoint is left in it."""
    resume = ExactResume(tmp_path / "state.pt")

    def train() -> End:
        seed_everything(0, verbose=False)
        trainer = Trainer(max_epochs=2, callbacks=[resume], **QUIET)
        trainer.fit(Plain(), datamodule=Kind(), ckpt_path=resume.ckpt_path, weights_only=True)
        return trainer.lightning_module.state_dict()

    whole = train()
    train()  # it had ended
    resume.path.unlink()
    assert_same(whole, train())


def test_exact_checkpoint_is_on_a_disk() -> None:
    with pytest.raises(ValueError, match=r"memory://run/last\.ckpt: an exact .* must be on a disk"):
        ExactResume("memory://run/last.ckpt")


def test_keepers_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="two keepers have the same name"):
        ExactResume("state.pt", keepers=[Keeper(), Keeper()])


class Holding(Keeper):
    """Keeps what no checkpoint can hold."""

    def state(self, moment: Moment) -> State:
        return {"one": object()}


def test_state_of_a_keeper_that_no_checkpoint_can_hold_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    resume = ExactResume("last.ckpt", keepers=[Holding()])
    trainer = Trainer(**QUIET | {"max_epochs": 1, "callbacks": [resume]})
    with pytest.raises(ResumeError, match="the state of the keeper Holding has more than tensors"):
        trainer.fit(Plain(), datamodule=Kind())
    assert not resume.path.exists()
