"""Several processes: their communication, and resuming on another number of them."""

import json
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import distributed
from torch.utils._python_dispatch import TorchDispatchMode

from convblocks.data.images import ImageSets
from convblocks.run import preemption, signals
from convblocks.run.directory import RunDirectory
from convblocks.run.preemption import AgreedSignal
from tests.conftest import write_digits
from tests.core.run.several import COMMON, Run, fit_on, on
from tests.core.run.test_distributed import assert_close, weights
from tests.core.run.test_fit import metric_rows

NIGHTLY = pytest.mark.nightly

# Two epochs of 40 steps, on the digits of the current folder.
ELASTIC = [*COMMON, "--epochs", "2", "--data.root", "digits", "--trainer.limit_train_batches", "40"]
ELASTIC += [
    "--trainer.limit_val_batches",
    "2",
    "--arch",
    "batchnorm",
    "--batch_size",
    "16",
    "--trainer.precision",
    "64-true",
]
ELASTIC += ["--trainer.logger", "false"]


class Recorded(TorchDispatchMode):
    """Records operations that need a tensor's values outside the device, or make a tensor of Python's numbers there."""

    WAITS = ("_local_scalar_dense", "is_nonzero", "nonzero", "equal", "masked_select", "unique_dim", "_unique2")
    COPIES = ("lift_fresh", "scalar_tensor")

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # not in torch's types
        self.found: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.name().removeprefix("aten::").partition(".")[0]
        if name in self.WAITS + self.COPIES and not is_the_signals_message(args[0]):
            self.found.append(name)
        return func(*args, **(kwargs or {}))


def is_the_signals_message(argument: Any) -> bool:
    """Whether this is AgreedSignal's message, which stays on the CPU."""
    return isinstance(argument, torch.Tensor) and argument.dtype == torch.float64 and argument.shape == (2,)


class Waiting(Callback):
    """Writes the operations of the steps from FIRST to LAST, including fetching batches, to a file per process.

    By default the Trainer logs none of these steps, but the 50th.
    """

    FIRST, LAST = 5, 45

    def __init__(self) -> None:
        self.recorded = Recorded()

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        if batch_idx == self.FIRST:
            self.recorded.__enter__()  # type: ignore[no-untyped-call]  # nor here
        elif batch_idx == self.LAST:
            self.recorded.__exit__(None, None, None)  # type: ignore[no-untyped-call]  # nor here
            Path(f"waits_of_{trainer.global_rank}.json").write_text(json.dumps(self.recorded.found))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, digits: ImageSets) -> Iterator[Path]:
    """A current folder with a few digits, and an uninterrupted run."""
    folder = tmp_path_factory.mktemp("several")
    write_digits(folder / "digits", digits, train=2560, test=200)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        fit_on(1, Run([*ELASTIC, "--name", "whole"]))
        yield folder


@pytest.mark.slow
@pytest.mark.parametrize(
    ("begun", "step", "resumed"),
    [
        (1, 15, 2),
        (2, 15, 1),
        *[
            pytest.param(begun, step, resumed, marks=NIGHTLY)
            for begun, step, resumed in [(2, 40, 1), (1, 40, 2), (2, 15, 2), (2, 40, 2), (2, 15, 4), (1, 40, 4)]
        ],
    ],
)
def test_resume_on_other_processes(folder: Path, begun: int, step: int, resumed: int) -> None:
    """Stopped in the middle of the first epoch, or its last step."""
    other, whole = RunDirectory(f"from_{begun}_to_{resumed}_in_{step}"), RunDirectory("whole")
    fit_on(begun, Run([*ELASTIC, *on(begun), "--name", other.name], stopped_after=step))
    fit_on(resumed, Run(["--name", other.name, "--resume", *on(resumed, "ddp_find_unused_parameters_true")]))
    assert_close(weights(whole.path), weights(other.path), tolerance=1e-9)
    epochs = zip(metric_rows(other), metric_rows(whole), strict=True)
    for epoch, (row, expected) in enumerate(epochs):
        # In the middle of an epoch the metrics of its training begin again.
        names = [name for name in row if epoch > 0 or step == 40 or begun == resumed or not name.startswith("train/")]
        assert [float(row[name]) for name in names] == pytest.approx(
            [float(expected[name]) for name in names], rel=1e-9
        )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arch", "processes"), [("mlp", 1), pytest.param("batchnorm", 1, marks=NIGHTLY), ("batchnorm", 2)]
)
def test_step_does_not_wait_for_the_device_unless_it_is_logged(folder: Path, arch: str, processes: int) -> None:
    moved = ["--data.shift", "2", "--data.rotation", "10", "--data.scale", "0.1"]
    limits = ["--data.root", "digits", "--epochs", "1", "--batch_size", "32", "--trainer.limit_train_batches", "48"]
    callback = f"--trainer.callbacks={__name__}.{Waiting.__name__}"
    name = f"waiting/{arch}_on_{processes}"
    fit_on(processes, Run(["--arch", arch, *COMMON, *limits, *moved, *on(processes), callback, "--name", name]))
    for process in range(processes):
        assert json.loads(Path(f"waits_of_{process}.json").read_text()) == []


@pytest.mark.parametrize(("seconds_a_step", "most_steps"), [(0.001, 20), (0.25, 8), (5.0, 2)])
def test_signal_takes_effect_within_twenty_steps_or_two_seconds(
    monkeypatch: pytest.MonkeyPatch, seconds_a_step: float, most_steps: int
) -> None:
    """In an epoch after the first, for several durations of a step; within two steps if they take over a second."""
    clock = 0.0
    monkeypatch.setattr(preemption, "world_size", lambda: 2)
    monkeypatch.setattr(distributed, "get_backend", lambda: "gloo")
    monkeypatch.setattr(distributed, "all_reduce", lambda *_, **__: Mock())
    monkeypatch.setattr(time, "perf_counter", lambda: clock)
    agreed = AgreedSignal()
    for _ in range(100):
        clock += seconds_a_step
        assert agreed.after_step() == 0
    assert agreed.now() == 0
    clock += seconds_a_step
    assert agreed.after_step() == 0
    monkeypatch.setattr(signals, "received", lambda: signal.SIGTERM)
    steps, number = 0, 0
    while not number:
        clock += seconds_a_step
        number = agreed.after_step()
        steps += 1
    assert steps <= most_steps
