"""Every loader that people have resumes within an epoch with the same bits, or it is said.

Each kind is trained in peace; stopped within an epoch, in an epoch's last batch, and three
times; some are killed after a save within an epoch. Weights, optimizer states and what was
logged are compared bit by bit.
"""

import signal
from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning import Callback, Trainer, seed_everything

from exact_resume import ExactResume, Stopped
from exact_resume.errors import NotRepeated
from tests.any_task.kinds import Kind
from tests.any_task.loaders import KINDS, Case
from tests.any_task.stop import Signal, forget_signal
from tests.exact_resume.stopping import KILL, End, assert_same, exit_code_of
from tests.exact_resume.subjects import QUIET

# Those of which a resume cannot be exact, and what of their training says so.
SAID = {
    "persistent, cache": "what Cached has changed in persistent workers",
    "own loader, endless": "`batches` of Endless",
    "in any order": "the order of batches, which in_order=False leaves to chance",
    "unrepeatable": "what random.SystemRandom draws",
}

EXACT = [name for name in KINDS if name not in SAID]

# Each process of such a worker does all imports.
NIGHTLY = "spawn"

FAST = ("workers", "persistent, draws", "buffer", "combined by max_size", "set_epoch, stateful")

# A time that is always up.
NOW = timedelta()

# Killed by SIGKILL after a save within the epoch.
KILLED = (
    "map, draws",
    "workers, draws of numpy",
    "persistent, draws",
    "persistent, iterable, draws",
    "iterable, workers, draws",
    "buffer, workers",
    "set_epoch",
    "combined by max_size_cycle",
    "own loader, counts epochs",
    "at once, own generator, workers",
    "reloaded, every second",
    "evaluated within",
    "accumulating",
    "stateful, draws, workers",
)

pytestmark = [
    pytest.mark.filterwarnings("ignore:'set_vital' is deprecated"),  # by torchdata
    pytest.mark.filterwarnings("ignore:Checkpoint directory .* exists and is not empty"),
    # What Lightning says of such loaders.
    pytest.mark.filterwarnings("ignore:Consider setting `persistent_workers=True`"),
    pytest.mark.filterwarnings("ignore:Your `IterableDataset` has `__len__` defined"),
    pytest.mark.filterwarnings("ignore:Trying to infer the `batch_size` from an ambiguous"),
    pytest.mark.filterwarnings("ignore:(You are using|Found) .*`?dataloader_iter`?"),
]


def marks(name: str) -> Any:
    kinds = [pytest.mark.nightly, pytest.mark.slow] if name == NIGHTLY else [pytest.mark.slow]
    return pytest.param(name, marks=[] if name in FAST else kinds)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A current folder for the checkpoints."""
    torch.set_num_threads(1)  # those of others are missing in a forked process
    monkeypatch.chdir(tmp_path)
    yield
    forget_signal()


def train(case: Case, name: str, *callbacks: Callback, path: str = "", steps: int = 0) -> End:
    """How three epochs end, from the checkpoint if there is one."""
    resume = ExactResume(Path(name) / "last.ckpt", every_n_train_steps=steps)
    seed_everything(0, verbose=False)
    own = [*case.callbacks(), *callbacks, resume]
    trainer = Trainer(max_epochs=3, callbacks=own, **QUIET | case.settings)
    loaders = case.make(), Kind().val_dataloader()
    trainer.fit(case.model(), *loaders, ckpt_path=path or resume.ckpt_path, weights_only=True)
    (optimizer,) = trainer.optimizers
    states = {
        f"{number} {name}": value
        for number, state in optimizer.state_dict()["state"].items()
        for name, value in state.items()
    }
    return trainer.lightning_module.state_dict() | trainer.callback_metrics | states


def stop(case: Case, name: str, *batches: int) -> None:
    """Let a training be stopped after each of these batches."""
    for batch in batches:
        with pytest.raises(Stopped):
            train(case, name, Signal(batch))
        forget_signal()


@pytest.mark.parametrize("name", [*map(marks, EXACT)])
def test_loader_resumes_with_the_same_bits(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    case = KINDS[name]
    whole, steps = train(case, "whole"), case.steps
    for batches in ((steps + 3,), (2 * steps,), (3, steps + 2, steps + 4)):
        stop(case, str(batches), *batches)
        assert_same(whole, train(case, str(batches)))
    assert "not kept" not in capsys.readouterr().out


@pytest.mark.parametrize("name", [*map(marks, KILLED)])
def test_killed_training_resumes_from_a_save_within_the_epoch(name: str) -> None:
    case = KINDS[name]
    killed = Signal(case.steps + 5, KILL)
    assert exit_code_of(partial(train, case, "killed", killed, steps=2)) == -KILL
    seen = First()
    resumed = train(case, "killed", seen, steps=2)
    assert (seen.batch or 0) > 1
    assert_same(train(case, "whole", steps=2), resumed)


class First(Callback):
    """Notes the number of the first batch."""

    batch: int | None = None

    def on_train_batch_start(self, trainer: Trainer, *arguments: Any) -> None:
        if self.batch is None:
            self.batch = arguments[-1]


@pytest.mark.parametrize("name", [*map(marks, SAID)])
def test_loader_that_cannot_repeat_itself_says_so(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    stop(KINDS[name], "run", KINDS[name].steps + 3)
    assert f"not kept: {SAID[name]}" in capsys.readouterr().out


@pytest.mark.parametrize("name", [marks("own loader, endless"), marks("persistent, cache")])
def test_error_of_a_resume_names_the_end_of_the_epoch_before(name: str) -> None:
    """From there it goes on as from a stop at that end."""
    case = KINDS[name]
    stop(case, "within", case.steps + 3)
    with pytest.raises(NotRepeated, match="gave other batches than before: move") as caught:
        train(case, "within")
    path = Path("within/last-epoch-end.ckpt").absolute()
    assert str(path) in str(caught.value)
    stop(case, "end", case.steps)
    assert_same(train(case, "end"), train(case, "within", path=str(path)))


def test_stop_while_batches_are_read_again_leaves_the_checkpoint(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    case = KINDS["buffer"]
    stop(case, "run", case.steps + 6)
    before = Path("run/last.ckpt").read_bytes()
    monkeypatch.setattr("exact_resume.keepers.replay.signals.received", lambda: int(signal.SIGTERM))
    with pytest.raises(Stopped, match="stopped before step 15: run it again with ckpt_path="):
        train(case, "run")
    assert Path("run/last.ckpt").read_bytes() == before
    assert "reading the first 6 batches of epoch 2 again" in capsys.readouterr().out


@pytest.mark.parametrize("often", [{"every_n_train_steps": 3}, {"train_time_interval": NOW}])
def test_training_is_saved_within_an_epoch_as_often_as_asked(often: dict[str, Any]) -> None:
    """At the end of the evaluation, where one follows the batch."""
    case = KINDS["evaluated within"]
    resume = ExactResume("last.ckpt", **often)
    saves = Saves(resume)
    settings = QUIET | case.settings | {"max_epochs": 2}
    trainer = Trainer(callbacks=[saves, resume], **settings)
    trainer.fit(case.model(), case.make(), Kind().val_dataloader())
    steps = [3, 6, 8, 9, 12, 15, 16] if "every_n_train_steps" in often else [*range(1, 17)]
    assert saves.steps == steps
    assert not Path("last-epoch-end.ckpt").exists()


class Saves(Callback):
    """Notes the step of each exact save, and whether the epoch's end is kept beside it."""

    def __init__(self, resume: ExactResume) -> None:
        self.resume, self.steps, self.latest = resume, list[int](), 0

    def on_train_batch_start(self, trainer: Trainer, *_: Any) -> None:
        self._look(trainer)

    def on_train_end(self, trainer: Trainer, *_: Any) -> None:
        self._look(trainer)

    def _look(self, trainer: Trainer) -> None:
        latest = self.resume.path.stat().st_ino if self.resume.path.is_file() else 0
        if latest != self.latest:
            self.latest = latest
            self.steps.append(trainer.global_step)
            is_within = trainer.global_step % 8 != 0
            assert self.resume.epoch_end.path.is_file() == (is_within and trainer.global_step > 8)
