"""What is easily lost without a word is kept: a training that is stopped or killed, and
resumed by new objects, ends with the same bits.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning import Callback, LightningDataModule, LightningModule, Trainer, seed_everything

from exact_resume import ExactResume, Stopped, check_resume
from exact_resume.digest import digest
from tests.any_task import lost
from tests.any_task.kinds import STEPS, Kind, Plain
from tests.any_task.stop import Signal, forget_signal
from tests.exact_resume.stopping import End, assert_same
from tests.exact_resume.subjects import QUIET

# What makes the module, the data module and callbacks.
Make = Callable[[], tuple[LightningModule, LightningDataModule, list[Callback]]]


def of(
    module: Callable[[], LightningModule],
    *callbacks: Callable[[], Callback],
    data: Callable[[], LightningDataModule] = Kind,
) -> Make:
    return lambda: (module(), data(), [callback() for callback in callbacks])


MAKES = {
    "changed through data": of(lost.ByData),
    "hyper-parameters": of(lost.Annealing),
    "hyper-parameters of data": of(Plain, data=lost.AnnealingData),
    "attribute of data": of(Plain, data=lost.CountingData),
    "counter in a callback of Lightning's": of(Plain, lost.Fading),
    "two names": of(lost.TwoNames),
    "two names, in a callback": of(lost.Summing, lost.Sharing),
    "another name": of(lost.Moved),
    "containers": of(lost.Containers),
    "numbers of NumPy": of(lost.Numbers),
    "weights of the start": of(lost.Anchored),
    "weights of the start, in a callback": of(Plain, lost.Anchoring),
    "tensor of an optimizer": of(lost.Tempered),
    "gradients that are not cleared": of(lost.Clearing),
    "gradients that are read": of(lost.Peeking),
    "sparse gradients": of(lost.Sparse),
    "generators": of(lost.Drawing),
    "weights of a sampler": of(Plain, lost.Weighing, data=lost.WeightedData),
    "settings of the Trainer": of(Plain, lost.Settings),
    "private attributes of a metric": of(lost.Remembering),
}

# The batches after which a training stops, each after it was resumed from the one before;
# or is killed, where they are negative.
STOPS = [(3,), (STEPS + 4,), (-2 * STEPS - 3,), (3, STEPS + 4, -2 * STEPS - 3)]

NIGHTLY = pytest.mark.nightly

EXACT = "exact within the first epoch, at the end of an epoch and within the second epoch"

pytestmark = [
    pytest.mark.filterwarnings("ignore:'set_vital' is deprecated"),  # by torchdata
    pytest.mark.filterwarnings("ignore:Checkpoint directory .* exists and is not empty"),
    # By torch 2.15, of a checkpoint with a sparse tensor.
    pytest.mark.filterwarnings("ignore:Validating sparse tensor invariants"),
]


class Killed(Exception):  # noqa: N818  # not an error
    """In place of SIGKILL: nothing is saved."""


class Kill(Callback):
    """Ends a training after a batch."""

    def __init__(self, batches: int) -> None:
        self.batches = batches

    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        if trainer.fit_loop.epoch_loop.total_batch_idx + 1 == self.batches:
            raise Killed


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    yield
    forget_signal()


@pytest.fixture(scope="module")
def wholes() -> dict[str, End]:
    """How trainings end that are not stopped, each trained once."""
    return {}


def train(
    parts: tuple[LightningModule, LightningDataModule, list[Callback]],
    *stops: Callback,
    path: str = "last.ckpt",
    **settings: Any,
) -> End:
    module, data, callbacks = parts
    resume = ExactResume(path)
    settings = QUIET | {"max_epochs": 3, "callbacks": [*callbacks, *stops, resume]} | settings
    trainer = Trainer(**settings)
    trainer.fit(module, datamodule=data, ckpt_path=resume.ckpt_path, weights_only=True)
    states = {"optimizers": digest([optimizer.state_dict() for optimizer in trainer.optimizers])}
    return states | trainer.lightning_module.state_dict() | trainer.callback_metrics


def made(make: Make) -> Any:
    seed_everything(0, verbose=False)
    return make()


def resumed(make: Make, stops: Sequence[int], **settings: Any) -> End:
    """How a training ends that is stopped or killed after each of these batches."""
    for batch in stops:
        stop = Signal(batch) if batch > 0 else Kill(-batch)
        with pytest.raises(Stopped if batch > 0 else Killed):
            train(made(make), stop, **settings)
        forget_signal()
    return train(made(make), **settings)


@pytest.mark.parametrize("stops", STOPS, ids=str)
@pytest.mark.parametrize("name", MAKES)
def test_resume_keeps(name: str, stops: tuple[int, ...], wholes: dict[str, End]) -> None:
    if name not in wholes:
        wholes[name] = train(made(MAKES[name]), path="whole.ckpt")
    assert_same(wholes[name], resumed(MAKES[name], stops))


def test_what_was_restored_stays_in_all_later_checkpoints() -> None:
    """Also where one process trains on with the objects that were stopped."""
    make = of(lost.Once)
    whole = train(made(make), path="whole.ckpt")
    parts = made(make)
    for batch in (3, STEPS + 4):
        with pytest.raises(Stopped):
            train(parts, Signal(batch))
        forget_signal()
    assert_same(whole, train(made(make)))


class Saving(Callback):
    """Saves a checkpoint of the user's after a batch."""

    def __init__(self, batches: int) -> None:
        self.batches = batches

    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        if trainer.fit_loop.epoch_loop.total_batch_idx + 1 == self.batches:
            trainer.save_checkpoint("kept.ckpt")


@pytest.mark.parametrize("batches", [4, 5, STEPS + 1])
def test_checkpoint_within_batches_that_accumulate_has_their_gradients(batches: int) -> None:
    settings: dict[str, Any] = {"accumulate_grad_batches": 3}
    whole = train(made(of(Plain)), Saving(batches), path="whole.ckpt", **settings)
    Path("kept.ckpt").rename("last.ckpt")
    assert_same(whole, train(made(of(Plain)), **settings))


@pytest.mark.parametrize("name", ["another name", "numbers of NumPy"])
def test_checkpoint_has_no_gradients_that_nothing_reads(name: str) -> None:
    train(made(MAKES[name]), Saving(STEPS + 4))
    checkpoint = torch.load("kept.ckpt", weights_only=True)
    (state,) = [state for state in checkpoint["callbacks"].values() if "processes" in state]
    assert state["processes"][0]["Gradients"] == {}


class Loading(Plain):
    """Holds data that a hook at the start reads."""

    def on_fit_start(self) -> None:
        self.pictures = torch.zeros(2**20)


def test_data_that_a_hook_at_the_start_reads_are_in_no_checkpoint() -> None:
    train(made(of(Loading)))
    assert Path("last.ckpt").stat().st_size < 2**20


class Checked:
    """Makes a training for a check, in other processes too."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self) -> tuple[Any, ...]:
        module, data, callbacks = made(MAKES[self.name])
        return Trainer(**QUIET | {"max_epochs": 5, "callbacks": callbacks}), module, data


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", [name if name == "containers" else pytest.param(name, marks=NIGHTLY) for name in MAKES]
)
def test_check_finds_exact_what_is_kept(name: str) -> None:
    assert check_resume(Checked(name)) == (True, [EXACT])
