"""Whether a check of exact resume says what is true."""

from pathlib import Path

import pytest

from tests.any_task.kinds import LOADERS
from tests.any_task.tasks import HERE, TASKS, options_of
from tests.forked_python import python_path
from tests.scripts import run_script

pytestmark = pytest.mark.slow
NIGHTLY = pytest.mark.nightly

# What it says while it takes long.
MEANWHILE = ("training a few steps twice", "resuming within the first epoch")

EXACT = "exact within the first epoch, at the end of an epoch and within the second epoch"


def options(model: str, loader: str = "") -> list[str]:
    """The options of fit for a module on the loader of a kind."""
    words = ["--model", f"{HERE}.{model}", "--data", f"{HERE}.kinds.Kind", "--data.kind", loader]
    return [*words, "--judge", "val/loss:min", "--threads", "1"]


def checked(folder: Path, *arguments: str) -> tuple[bool, str]:
    """Whether ``fit --check_resume`` finds a run exact, and what it says."""
    paths = {"PYTHONPATH": python_path()}
    done = run_script(
        "fit", *arguments, "--check_resume", cwd=folder, environment=paths, fresh=True
    )
    assert done.stderr == ""
    assert done.returncode in (0, 1)
    assert not list(folder.iterdir())
    lines = [line for line in done.stdout.splitlines()[2:] if not line.startswith(MEANWHILE)]
    return done.returncode == 0, "\n".join(lines)


def test_check_finds_a_network_exact(tmp_path: Path) -> None:
    assert checked(tmp_path, "--arch", "mlp") == (True, EXACT)


# What tests/core/run/test_resume.py shows to be exact.
SURE = [options_of(task) for task in TASKS]
SURE += [options(f"kinds.{module}") for module in ("MovingMean", "Caching", "Histories", "Sharing")]
CHANGING = ("ChangedInHooks", "Scheduled", "Replaying", "Counting")
SURE += [options(f"changing.{module}") for module in CHANGING]
SURE += [
    options("kinds.Plain", loader) for loader in LOADERS if loader not in ("named", "torch workers")
]


@pytest.mark.nightly
@pytest.mark.parametrize("flags", SURE, ids=" ".join)
def test_check_finds_exact_what_is(flags: list[str], tmp_path: Path) -> None:
    is_exact, text = checked(tmp_path, *flags)
    assert is_exact, text
    assert ("not restored: attribute steps" in text) == ("Counting" in flags[1])


@pytest.mark.parametrize(
    ("flags", "text"),
    [
        (
            options("changing.Taught"),
            "not restored: attribute teachers. Keep it in on_save_checkpoint",
        ),
        pytest.param(
            options("changing.Unseeded"), "not exact at the end of an epoch: ", marks=NIGHTLY
        ),
        pytest.param(
            options("kinds.Plain", "torch workers"),
            "not checked within the first epoch: ",
            marks=NIGHTLY,
        ),
    ],
)
def test_check_says_what_is_not_exact(flags: list[str], text: str, tmp_path: Path) -> None:
    is_exact, said = checked(tmp_path, *flags)
    assert is_exact == (said.startswith("exact at the end") and "not exact" not in said)
    assert text in said


BROKEN = """
from torch import nn


class Network(nn.Linear):
    def __init__(self):
        super().__init__(28, 10)

    def forward(self, images):
        return super().forward(images).mean(dim=(1, 2)) * (1 // (not self.training))
"""


def test_check_of_a_training_that_fails_keeps_its_traceback(tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text(BROKEN)
    done = run_script("fit", "--arch", "broken.Network", "--check_resume", cwd=tmp_path, fresh=True)
    assert "ZeroDivisionError" in done.stderr
    assert done.stderr.endswith("fit.py: the training that was to be checked has failed\n")


def test_check_makes_a_mistake_in_the_options_one_line(tmp_path: Path) -> None:
    done = run_script(
        "fit", "--arch", "mlp", "--data.root", "nowhere", "--check_resume", cwd=tmp_path, fresh=True
    )
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert done.stderr.startswith("fit.py: there is no folder nowhere")


def test_check_is_refused_under_a_launcher(tmp_path: Path) -> None:
    launched = {"TORCHELASTIC_RUN_ID": "2", "WORLD_SIZE": "1", "GROUP_WORLD_SIZE": "1"}
    done = run_script("fit", "--arch", "mlp", "--check_resume", cwd=tmp_path, environment=launched)
    assert "call it outside of srun and torchrun" in done.stderr


def test_check_compares_two_processes_one_by_one(tmp_path: Path) -> None:
    layout = ["--trainer.devices", "2", "--trainer.accelerator", "cpu", "--trainer.strategy", "ddp"]
    assert checked(tmp_path, "--arch", "mlp", *layout) == (True, EXACT)
