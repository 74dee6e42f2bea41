"""Whether a check of exact resume says what is true, through the command and the function."""

import re
from pathlib import Path
from typing import Any

import pytest

from convblocks import check_resume
from convblocks.check.verdict import PLACES, Report
from convblocks.errors import UsageError, UserError
from tests.any_task.kinds import LOADERS, STEPS
from tests.any_task.tasks import HERE, TASKS, options_of
from tests.check import kills, trainers
from tests.forked_python import python_path
from tests.scripts import run_script

pytestmark = pytest.mark.slow


CHANGING = [
    *("ChangedInHooks", "Weakening", "Counting", "Fading", "Scheduled", "Taught", "Remembering", "Replaying"),
    *("LoggingList", "Unseeded"),
]


EXACT = "exact within the first epoch, at the end of an epoch and within the second epoch: {} batches of 2 epochs"


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


@pytest.mark.parametrize(
    "arch", ["mlp", *(pytest.param(arch, marks=pytest.mark.nightly) for arch in ("maxpool", "batchnorm"))]
)
def test_the_projects_networks_are_exact(tmp_path: Path, arch: str) -> None:
    found = checked(tmp_path, "--arch", arch)
    assert found == Report(True, [EXACT.format(20)])


@pytest.mark.nightly
@pytest.mark.parametrize("task", TASKS)
def test_own_tasks_are_exact(tmp_path: Path, task: str) -> None:
    assert checked(tmp_path, *options_of(task)).is_exact


@pytest.mark.parametrize(
    ("make", "line"),
    [
        (trainers.exact, EXACT.format(18)),
        (trainers.averaged_later, f"{EXACT.format(18)}; StochasticWeightAveraging had not begun"),
    ],
)
def test_a_trainer_of_ones_own_is_checked_by_a_function(make: Any, line: str, workspace: Path) -> None:
    assert check_resume(make) == Report(True, [line])
    assert not list(workspace.iterdir())


def test_what_a_checkpoint_lacks_is_named_with_what_to_do(workspace: Path) -> None:
    found = check_resume(trainers.forgetful)
    assert not found.is_exact
    assert "since it does not restore the attribute teachers: keep it in on_save_checkpoint" in str(found)


def test_a_training_that_fails_keeps_its_traceback(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UserError, match="the training that was to be checked has failed"):
        check_resume(trainers.failing)
    assert "MisconfigurationException" in capsys.readouterr().err


def test_a_mistake_in_the_options_is_one_line(tmp_path: Path) -> None:
    done = run_script("fit", "--arch", "mlp", "--data.root", "nowhere", "--check_resume", cwd=tmp_path, fresh=True)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert done.stderr.startswith("fit.py: there is no folder nowhere")


@pytest.mark.parametrize("variable", ["SLURM_NTASKS", "TORCHELASTIC_RUN_ID"])
def test_it_is_refused_under_a_launcher(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, "2")
    with pytest.raises(UsageError, match="outside of srun and torchrun"):
        check_resume(trainers.exact)


def test_a_function_without_a_name_is_refused() -> None:
    with pytest.raises(UsageError, match="needs a function of a module"):
        check_resume(lambda: trainers.exact())


def test_two_processes_are_compared_one_by_one(tmp_path: Path) -> None:
    """The second one's hidden state is lost too."""
    layout = ["--trainer.devices", "2", "--trainer.accelerator", "cpu", "--trainer.strategy", "ddp"]
    assert checked(tmp_path, "--arch", "mlp", *layout).is_exact
    shares = [*layout, "--trainer.use_distributed_sampler", "false"]
    assert "the attribute teachers" in str(checked(tmp_path, *options("changing.Taught"), *shares))


KINDS = [
    *((f"changing.{module}", "") for module in CHANGING),
    *((f"changing.{module}", "torch") for module in ("Fading", "Remembering")),
    *((f"kinds.{module}", "") for module in ("MovingMean", "Caching", "Histories", "Sharing", "Quantized")),
    *(("kinds.Plain", loader) for loader in LOADERS if loader != "named"),
]


@pytest.mark.nightly
@pytest.mark.parametrize(("model", "loader"), KINDS)
def test_what_it_says_is_what_happens(model: str, loader: str, workspace: Path) -> None:
    """Of random kills in the steps that it names."""
    flags = options(model, loader)
    found = str(checked(workspace, *flags))
    survived = kills.survivors(flags, STEPS)
    begins_again = "not checked within the first epoch" in found  # and the second one at the end of the first
    (exact,) = re.findall("^exact (.*):", found, flags=re.MULTILINE) or [""]
    for place, kept in survived.items():
        is_said = PLACES[place] in exact
        if begins_again and place != "end":
            is_said = place == "within" or PLACES["end"] in exact
        assert (kept == kills.KILLS) == is_said, (place, survived, found)
