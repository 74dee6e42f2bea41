"""Whether a check of exact resume says what is true, through the command and the function."""

from pathlib import Path

import pytest

from convblocks import check_resume
from convblocks.check.verdict import Report
from convblocks.errors import UsageError, UserError
from tests.any_task.kinds import LOADERS
from tests.any_task.tasks import HERE, TASKS, options_of
from tests.check import trainers
from tests.forked_python import python_path
from tests.scripts import run_script

pytestmark = pytest.mark.slow
NIGHTLY = pytest.mark.nightly

EXACT = "exact within the first epoch, at the end of an epoch and within the second epoch"


def options(model: str, loader: str = "") -> list[str]:
    """The options of fit for a module on the loader of a kind."""
    words = ["--model", f"{HERE}.{model}", "--data", f"{HERE}.kinds.Kind", "--data.kind", loader]
    return [*words, "--judge", "val/loss:min", "--threads", "1"]


def checked(folder: Path, *arguments: str) -> Report:
    """What ``fit --check_resume`` says."""
    paths = {"PYTHONPATH": python_path()}
    done = run_script("fit", *arguments, "--check_resume", cwd=folder, environment=paths, fresh=True)
    assert done.stderr == ""
    assert done.returncode in (0, 1)
    assert not list(folder.iterdir())
    _, *lines = done.stdout.splitlines()
    return Report(done.returncode == 0, lines)


def test_check_finds_a_network_exact(tmp_path: Path) -> None:
    assert checked(tmp_path, "--arch", "mlp") == Report(True, [EXACT])


# What tests/core/run/test_resume.py shows to be exact.
SURE = [options_of(task) for task in TASKS]
SURE += [options(f"kinds.{module}") for module in ("MovingMean", "Caching", "Histories", "Sharing", "Quantized")]
CHANGING = ("ChangedInHooks", "Weakening", "Scheduled", "Remembering", "Replaying", "LoggingList", "Counting")
SURE += [options(f"changing.{module}") for module in CHANGING]
SURE += [options("kinds.Plain", loader) for loader in LOADERS if loader not in ("named", "torch")]


@pytest.mark.nightly
@pytest.mark.parametrize("flags", SURE, ids=" ".join)
def test_check_finds_exact_what_is(flags: list[str], tmp_path: Path) -> None:
    found = checked(tmp_path, *flags)
    assert found.is_exact, str(found)
    assert ("not restored: attribute steps" in str(found)) == ("Counting" in flags[1])


@pytest.mark.parametrize(
    ("flags", "text"),
    [
        (options("changing.Taught"), "not restored: attribute teachers. Keep it in on_save_checkpoint"),
        pytest.param(options("changing.Unseeded"), "not exact at the end of an epoch: ", marks=NIGHTLY),
        pytest.param(options("kinds.Plain", "torch"), "not checked within the first epoch: ", marks=NIGHTLY),
    ],
)
def test_check_says_what_is_not_exact(flags: list[str], text: str, tmp_path: Path) -> None:
    found = checked(tmp_path, *flags)
    assert found.is_exact == ("exact at the end" in found.lines[0] and "not exact" not in str(found))
    assert text in str(found)


def test_check_of_a_trainer_is_by_a_function(workspace: Path) -> None:
    assert check_resume(trainers.exact) == Report(True, [EXACT])
    assert not list(workspace.iterdir())


def test_check_of_a_training_that_fails_keeps_its_traceback(
    workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(UserError, match="the training that was to be checked has failed"):
        check_resume(trainers.failing)
    assert "MisconfigurationException" in capsys.readouterr().err


def test_check_makes_a_mistake_in_the_options_one_line(tmp_path: Path) -> None:
    done = run_script("fit", "--arch", "mlp", "--data.root", "nowhere", "--check_resume", cwd=tmp_path, fresh=True)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert done.stderr.startswith("fit.py: there is no folder nowhere")


def test_check_is_refused_under_a_launcher(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "2")
    with pytest.raises(UsageError, match="outside of srun and torchrun"):
        check_resume(trainers.exact)


def test_check_compares_two_processes_one_by_one(tmp_path: Path) -> None:
    layout = ["--trainer.devices", "2", "--trainer.accelerator", "cpu", "--trainer.strategy", "ddp"]
    assert checked(tmp_path, "--arch", "mlp", *layout).is_exact
