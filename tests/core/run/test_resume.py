"""The guarantee: a run that is stopped or killed at any step, and resumed, ends with
the same bits.

Each subject of subjects.py is stopped by SIGTERM within an epoch, where it saves, and
killed by SIGKILL in a later epoch than the first, after which it resumes from the end
of an epoch. Its weights and metrics are then those of a run that nothing stopped.
"""

import itertools
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from lightning.pytorch.trainer.connectors.logger_connector.logger_connector import _LoggerConnector

from convblocks import ImageClassifier
from convblocks.data.images import ImageSets
from convblocks.record.directory import RunDirectory
from convblocks.run import fit
from exact_resume.errors import Stopped
from tests.any_task.stop import Signal, forget_signal
from tests.any_task.tasks import HERE
from tests.conftest import DEBUG, OWN_NETWORKS, write_digits
from tests.core.run.several import COMMON, Run, fit_on, on
from tests.core.run.subjects import SUBJECTS, loaded
from tests.core.run.test_fit import assert_same_end
from tests.exact_resume.stopping import KILL, TERM, End, assert_resumes_exactly, parameters_of

SLOW, NIGHTLY = pytest.mark.slow, pytest.mark.nightly

# Without a mark; all others are slow, and nightly those that only differ a little from
# others of the images.
FAST = ("task", "unusual", "unlike")
ALIKE = ("finder", "max_steps", "overfitted")


def marks(name: str) -> list[pytest.MarkDecorator]:
    if name.startswith(FAST):
        return []
    return [NIGHTLY if name.startswith("images") and name.endswith(ALIKE) else SLOW]


# The subject, the signal, and the batch after which it comes.
CASES = {
    (name, number, batch): marks(name)
    for name, (_, steps, within) in SUBJECTS.items()
    for number, batch in ((TERM, within), (KILL, max(within, steps + 5)))
}
# Further moments: in the first step, in the last one of an epoch, at an evaluation.
CASES |= {
    ("images with a plateau of epochs", TERM, 20): [SLOW],
    ("images augmented", TERM, 1): [SLOW],
    ("images augmented", TERM, 20): [SLOW],
}
CASES |= {
    ("images stopped early", TERM, 19): [NIGHTLY],
    ("images with accumulation", TERM, 21): [NIGHTLY],
    ("images with a stochastic average", TERM, 20): [NIGHTLY],
}

# On two processes; 40 or 50 steps of an epoch.
SHORT = [*COMMON, "--data.root", "digits", "--epochs", "2", "--trainer.log_every_n_steps", "5"]
SHORT += [
    "--trainer.limit_train_batches",
    "40",
    "--trainer.limit_val_batches",
    "2",
    "--arch",
    "mlp",
]
MODULE = [
    "--model",
    f"{HERE}.shapes.Segmenter",
    "--data",
    f"{HERE}.shapes.Shared",
    "--judge",
    "val/iou:max",
]
MODULE += [*COMMON, "--epochs", "2", "--trainer.use_distributed_sampler", "false"]
# Each process has torch's DistributedSampler, and two workers of its own that draw.
LOADED = [*loaded("drawing"), "--data.size=3", *COMMON, "--epochs", "2"]
WITHOUT = "workers", KILL
ON_TWO = {"images": SHORT, "module": MODULE, "workers": LOADED}

pytestmark = [
    pytest.mark.filterwarnings("ignore:'set_vital' is deprecated"),  # by torchdata
    pytest.mark.filterwarnings("ignore:Checkpoint directory .* exists and is not empty"),
    pytest.mark.filterwarnings("ignore:.*this fit will run with no optimizer"),
]


@pytest.fixture(scope="module", autouse=True)
def folder(tmp_path_factory: pytest.TempPathFactory, digits: ImageSets) -> Iterator[Path]:
    """A current folder with a few digits and a user's network."""
    folder = tmp_path_factory.mktemp("resume")
    write_digits(folder / "digits", digits, train=2560, test=200)
    (folder / "own_networks.py").write_text(OWN_NETWORKS)
    sys.modules.pop("own_networks", None)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        yield folder
    sys.modules.pop("own_networks", None)


@pytest.fixture(scope="module")
def wholes() -> dict[str, End]:
    """How subjects end that are not stopped, each trained once."""
    return {}


@pytest.fixture(autouse=True)
def fresh_signals() -> Iterator[None]:
    torch.set_num_threads(1)  # those of others are missing in a forked process
    yield
    forget_signal()


@pytest.mark.parametrize(("name", "number", "batch"), parameters_of(CASES))
def test_resume_ends_with_the_same_bits(
    name: str, number: signal.Signals, batch: int, wholes: dict[str, End]
) -> None:
    assert_resumes_exactly(SUBJECTS[name].train, name, number, batch, wholes)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("subject", "number"),
    # Workers whose process is killed hold the pipe to this one, some of them forever.
    [(name, number) for name in ON_TWO for number in (TERM, KILL) if (name, number) != WITHOUT],
)
def test_resume_on_two_processes_ends_with_the_same_bits(
    subject: str, number: signal.Signals
) -> None:
    """A signal to one of them, within an epoch and, of a few images, shortly before its
    end and in its last step.
    """
    flags, name = [*ON_TWO[subject], *on(2)], f"two/{subject} {number.name}"
    stops = [75] if number == KILL else [11, 35, 40] if subject == "images" else [65]
    runs = [Run([*flags, "--name", f"{name}/whole"])]
    stopped = [Run([*flags, "--name", f"{name}/{batch}"], batch, number) for batch in stops]
    if number == KILL:
        fit_on(2, *stopped)
    else:
        runs += stopped
    runs += [Run(["--name", f"{name}/{batch}", "--resume"]) for batch in stops]
    assert fit_on(2, *runs).count("\n2/2 ") == 1 + len(stops)
    whole = RunDirectory(f"{name}/whole")
    for batch in stops:
        assert_same_end(RunDirectory(f"{name}/{batch}"), whole)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("owner", "method", "call"),
    [
        (ImageClassifier, "on_before_zero_grad", 12),  # before the first checkpoint
        (_LoggerConnector, "update_train_epoch_metrics", 2),
    ],
)
def test_resume_leaves_whole_curves(
    folder: Path, monkeypatch: pytest.MonkeyPatch, owner: type, method: str, call: int
) -> None:
    """Killed after that call."""
    flags, name = [*DEBUG, "--arch", "mlp", "--data.root", "digits"], f"curves/{method}_{call}"
    fit.main([*flags, "--name", f"{name}/whole"])
    calls, original = itertools.count(1), getattr(owner, method)

    def kill(*arguments: object) -> None:
        original(*arguments)
        if next(calls) == call:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(owner, method, kill)
        with pytest.raises(KeyboardInterrupt):
            fit.main([*flags, "--name", f"{name}/killed"])
    fit.main(["--name", f"{name}/killed", "--resume"])
    assert_same_end(RunDirectory(f"{name}/killed"), RunDirectory(f"{name}/whole"))


@pytest.mark.slow
def test_resume_restores_the_number_of_threads(workspace: Path) -> None:
    fit.main([*DEBUG, "--arch", "mlp", "--name", "run", "--threads", "1", "--epochs", "1"])
    torch.set_num_threads(2)
    fit.main(["--name", "run", "--resume", "--epochs", "2"])
    assert torch.get_num_threads() == 1


def fit_until(step: int, flags: list[str]) -> None:
    """Start a run that SIGTERM stops in this step."""
    with pytest.raises(Stopped):
        fit.main(flags, [Signal(step)])
    forget_signal()
