"""The same numbers on 1, 2 and 4 processes, also after a resume on another number; what
a step may cost them.
"""

import json
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch.utils._python_dispatch import TorchDispatchMode

from convblocks.data.images import ImageSets
from convblocks.record.directory import LOGS, RunDirectory
from tests.conftest import DEBUG, REPOSITORY, write_digits
from tests.core.run.several import COMMON, Run, fit_on, on
from tests.core.run.subjects import BARE
from tests.core.run.test_fit import metric_rows, weights
from tests.quick_python import run_quickly

SLOW, NIGHTLY = pytest.mark.slow, pytest.mark.nightly

FIT = str(REPOSITORY / "scripts" / "fit.py")
TRAIN_IMAGES, TEST_IMAGES = 1600, 200

FLOAT64 = ["--trainer.precision", "64-true"]
FEW_IMAGES = ["--data.root", "digits", "--trainer.logger", "false"]
LONG = [*FLOAT64, "--batch_size", "8", "--trainer.limit_train_batches", "200"]
AUGMENTED = ["--data.shift", "2", "--data.rotation", "10", "--data.scale", "0.1"]

CASES = {
    # 10,000 test images in batches of 999: neither they nor the shares of them divide.
    "mlp": [
        "--arch",
        "mlp",
        *LONG,
        *AUGMENTED,
        "--data.eval_batch_size",
        "999",
        "--trainer.logger",
        "false",
    ],
    "maxpool": ["--arch", "maxpool", *LONG, *FEW_IMAGES],
    # A batch of 7 images does not divide either.
    "batchnorm": ["--arch", "batchnorm", *LONG, "--batch_size", "7", *FEW_IMAGES],
    # 193 training images: the last of four batches holds one image, and most processes'
    # share of it is empty.
    "empty_shares": [
        "--arch",
        "batchnorm",
        *FLOAT64,
        "--data.val_size",
        str(TRAIN_IMAGES - 193),
        *FEW_IMAGES,
    ],
}


@pytest.fixture
def folder(workspace: Path, digits: ImageSets) -> Path:
    """A current folder with a few digits."""
    write_digits(workspace / "digits", digits, TRAIN_IMAGES, TEST_IMAGES)
    return workspace


def train(processes: int, *flags: str) -> RunDirectory:
    """Train for one epoch unless the flags say otherwise."""
    run = RunDirectory(f"on_{processes}")
    fit_on(processes, Run(["--epochs", "1", *COMMON, *flags, *on(processes), "--name", run.name]))
    return run


def assert_same_numbers(
    first: RunDirectory, second: RunDirectory, in_first_epoch: str = "", tolerance: float = 1e-9
) -> None:
    """Every tensor agrees relative to its largest element, and so do metrics; of the
    first epoch, those of a prefix.
    """
    expected, state = weights(first), weights(second)
    assert expected.keys() == state.keys()
    for name, tensor in expected.items():
        scale = tensor.abs().max().clamp(min=1e-12)
        assert float((state[name] - tensor).abs().max() / scale) <= tolerance, name
    for epoch, rows in enumerate(zip(metric_rows(first), metric_rows(second), strict=True)):
        names = [
            name
            for name in rows[0]
            if "/" in name and (epoch > 0 or name.startswith(in_first_epoch))
        ]
        values, same = ([float(row[name]) for name in names] for row in rows)
        assert same == pytest.approx(values, rel=tolerance)


@pytest.mark.slow
@pytest.mark.parametrize("processes", [2, pytest.param(4, marks=NIGHTLY)])
@pytest.mark.parametrize(
    "case", ["mlp", pytest.param("maxpool", marks=NIGHTLY), "batchnorm", "empty_shares"]
)
def test_processes_have_the_weights_and_metrics_of_one_in_float64(
    folder: Path, case: str, processes: int
) -> None:
    assert_same_numbers(train(1, *CASES[case]), train(processes, *CASES[case]))


@pytest.mark.slow
def test_processes_move_the_weights_as_one_in_a_step_in_float32(folder: Path) -> None:
    """Of plain gradient descent with learning rate 1, by the gradient itself; compared
    with one process in float64.
    """
    flags = [
        "--arch",
        "batchnorm",
        "--optimizer",
        "sgd",
        "--lr",
        "1",
        "--trainer.limit_train_batches",
        "1",
        *FEW_IMAGES,
    ]
    assert_same_numbers(train(1, *flags, *FLOAT64), train(2, *flags), "train/", tolerance=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("begun", "step", "resumed"),
    [
        (1, 15, 2),
        (2, 15, 1),
        pytest.param(2, 40, 1, marks=NIGHTLY),
        pytest.param(1, 40, 4, marks=NIGHTLY),
    ],
)
def test_resume_on_another_number_of_processes_has_the_same_numbers(
    folder: Path, begun: int, step: int, resumed: int
) -> None:
    """Stopped in the middle of the first epoch, whose training metrics then begin
    again, or in its last step.
    """
    elastic = [*FLOAT64, *FEW_IMAGES, "--epochs", "2", "--arch", "batchnorm", "--batch_size", "16"]
    elastic += ["--trainer.limit_train_batches", "40", "--trainer.limit_val_batches", "2"]
    fit_on(begun, Run([*COMMON, *elastic, *on(begun), "--name", "moved"], stopped_after=step))
    fit_on(
        resumed,
        Run(["--name", "moved", "--resume", *on(resumed, "ddp_find_unused_parameters_true")]),
    )
    assert_same_numbers(train(1, *elastic), RunDirectory("moved"), "" if step == 40 else "test/")


# A ModelCheckpoint of the user, which writes in each third step.
KEPT = [
    "--trainer.callbacks=ModelCheckpoint",
    "--trainer.callbacks.every_n_train_steps=3",
    "--trainer.callbacks.monitor=step",
    "--trainer.callbacks.mode=max",
    "--trainer.callbacks.save_top_k=2",
    "--trainer.callbacks.save_last=true",
]


def kept_by(run: RunDirectory) -> tuple[list[str], dict[str, Any]]:
    """The files of the user's checkpoints, and what is known of them."""
    states = torch.load(run.last_checkpoint, weights_only=True)["callbacks"]
    (state,) = [state for key, state in states.items() if key.startswith("ModelCheckpoint{")]
    scores = {Path(path).name: float(score) for path, score in state["best_k_models"].items()}
    known = {name: Path(state[name]).name for name in ("best_model_path", "last_model_path")}
    files = sorted(path.name for path in (run.path / "own_checkpoints").iterdir())
    return files, known | {"scores": scores}


@pytest.mark.slow
def test_users_checkpoints_of_processes_that_are_killed_end_as_without(folder: Path) -> None:
    flags = ["--arch", "mlp", "--epochs", "2", "--trainer.limit_train_batches", "10"]
    flags += [*FEW_IMAGES, *KEPT, *COMMON, *on(2)]
    whole, killed = RunDirectory("whole"), RunDirectory("killed")
    fit_on(2, Run([*flags, "--name", "whole"]))
    fit_on(2, Run([*flags, "--name", "killed"], 16, signal.SIGKILL))
    assert not killed.summary.exists()
    fit_on(2, Run(["--name", "killed", "--resume"]))
    assert kept_by(killed) == kept_by(whole)
    assert_same_numbers(whole, killed, tolerance=0)


@pytest.mark.slow
def test_processes_print_once(tmp_path: Path) -> None:
    finished = run_quickly(FIT, *DEBUG, *COMMON, *on(2), "--arch", "mlp", cwd=tmp_path)
    assert (finished.returncode, finished.stderr) == (0, "")
    assert finished.stdout.count("\n1/2 ") == 1
    assert " · cpu · 2 processes · seed 0 -> " in finished.stdout
    assert [path.name for path in (tmp_path / LOGS / "mlp").iterdir()] == ["version_0"]


@pytest.mark.slow
def test_processes_end_together_where_the_last_epoch_is_not_evaluated(tmp_path: Path) -> None:
    """The run has no name, so only rank 0 knows where the best checkpoint is."""
    options = ["--epochs", "3", "--trainer.check_val_every_n_epoch", "2"]
    finished = run_quickly(FIT, *BARE, *COMMON, *on(2), *options, cwd=tmp_path)
    assert finished.returncode == 0, finished.stderr


class Waits(TorchDispatchMode):
    """Records operations that need a tensor's values outside the device, or make a
    tensor of Python's numbers there.
    """

    WAITS = (
        "_local_scalar_dense",
        "is_nonzero",
        "nonzero",
        "equal",
        "masked_select",
        "unique_dim",
        "_unique2",
    )
    COPIES = ("lift_fresh", "scalar_tensor")

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # not in torch's types
        self.operations: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.name().removeprefix("aten::").partition(".")[0]
        if name in self.WAITS + self.COPIES and not is_the_signals_message(args[0]):
            self.operations.append(name)
        return func(*args, **(kwargs or {}))


def is_the_signals_message(argument: Any) -> bool:
    """Whether this is AgreedSignal's message, which stays on the CPU."""
    return (
        isinstance(argument, torch.Tensor)
        and argument.dtype == torch.float64
        and argument.shape == (2,)
    )


class Waiting(Callback):
    """Writes the operations of the steps from FIRST to LAST, including fetching
    batches, to a file per process.

    By default the Trainer logs none of these steps, but the 50th.
    """

    FIRST, LAST = 5, 45

    def __init__(self) -> None:
        self.waits = Waits()

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        if batch_idx == self.FIRST:
            self.waits.__enter__()  # type: ignore[no-untyped-call]  # nor here
        elif batch_idx == self.LAST:
            self.waits.__exit__(None, None, None)  # type: ignore[no-untyped-call]  # nor here
            Path(f"waits_of_{trainer.global_rank}.json").write_text(
                json.dumps(self.waits.operations)
            )


@pytest.mark.slow
@pytest.mark.parametrize(("arch", "processes"), [("mlp", 1), ("batchnorm", 2)])
def test_step_does_not_wait_for_the_device_unless_it_is_logged(
    folder: Path, arch: str, processes: int
) -> None:
    limits = ["--batch_size", "32", "--trainer.limit_train_batches", "48", *FEW_IMAGES]
    train(
        processes,
        "--arch",
        arch,
        *limits,
        *AUGMENTED,
        f"--trainer.callbacks={__name__}.{Waiting.__name__}",
    )
    for process in range(processes):
        assert json.loads(Path(f"waits_of_{process}.json").read_text()) == []
