"""Whether a check of exact resume says what is true, through the command and the function."""

import re
from pathlib import Path
from typing import Any

import pytest

from convblocks import check_resume
from convblocks.check.verdict import PLACES, Report
from convblocks.errors import UsageError, UserError
from tests.any_task.tasks import TASKS, options_of
from tests.check import kills, trainers
from tests.forked_python import python_path
from tests.scripts import run_script

pytestmark = pytest.mark.slow


def options(model: str, data: str) -> list[str]:
    """The options of fit for a kind of module and of data, each perhaps with arguments."""
    words = ["--model", f"tests.check.kinds.{model}", "--data", f"tests.check.kinds.{data}"]
    return " ".join([*words, "--judge", "val/loss:min", "--threads", "1"]).split()


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
    assert found == Report(True, ["exact within an epoch and at the end of an epoch: 12 batches of 2 epochs"])


@pytest.mark.nightly
@pytest.mark.parametrize("task", TASKS)
def test_own_tasks_are_exact(tmp_path: Path, task: str) -> None:
    assert checked(tmp_path, *options_of(task)).is_exact


@pytest.mark.parametrize(
    ("make", "lines"),
    [
        (trainers.exact, ["exact within an epoch and at the end of an epoch: 12 batches of 2 epochs"]),
        (
            trainers.averaged_later,
            [
                "exact within an epoch and at the end of an epoch: 12 batches of 2 epochs; StochasticWeightAveraging "
                "had not begun"
            ],
        ),
    ],
)
def test_a_trainer_of_ones_own_is_checked_by_a_function(make: Any, lines: list[str], workspace: Path) -> None:
    assert check_resume(make) == Report(True, lines)
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
    assert "the attribute teachers" in str(checked(tmp_path, *options("Taught", "Data"), *shares))


@pytest.mark.nightly
@pytest.mark.parametrize("data", ["Data", "TorchsOwn"])
@pytest.mark.parametrize(
    "model",
    [
        "AveragedInHook",
        "Centred",
        "Weakening",
        "Counting",
        "Taught",
        "Remembering",
        "Replaying",
        "Tracking",
        "Extremes",
        "CountingByMetric",
        "Quantized",
        "Unseeded",
    ],
)
def test_what_it_says_of_a_module_is_what_happens(model: str, data: str, workspace: Path) -> None:
    assert_true(options(model, data))


@pytest.mark.nightly
@pytest.mark.parametrize(
    "data", ["Streamed", "Streamed --data.stateful true", "MovedData", "MixedData", "SampledData", "WorkedData"]
)
def test_what_it_says_of_data_is_what_happens(data: str, workspace: Path) -> None:
    assert_true(options("Plain", data))


def assert_true(flags: list[str]) -> None:
    """Compare what a check says to random kills in the first steps, and in those of the second epoch."""
    found = str(checked(Path(), *flags))
    survived = kills.survivors(flags, batches=16)
    within, after = (bool(re.search(rf"^exact.*{place}", found, flags=re.MULTILINE)) for place in PLACES.values())
    assert (survived[1] == 10) == after
    assert (survived[0] == 10) == (within or "not checked within an epoch" in found)  # there an epoch begins again
