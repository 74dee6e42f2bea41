"""Runs of edited code or of other data are never mixed: in a comparison, a search, a resume."""

import json
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from convblocks.record.directory import LOGS, RunDirectory
from tests.any_task.tasks import HERE
from tests.data.pictures import write_pictures
from tests.forked_python import python_path
from tests.scripts import run_script

pytestmark = pytest.mark.slow

NETWORK = """
from torch import nn
from {regression} import Curve as Base


class Curve(Base):
    def __init__(self, hidden: int = 16, lr: float = 0.01):
        super().__init__(hidden, lr)
        self.network[1] = nn.Tanh()
"""

CURVE = ["--model", "own.Curve", "--data", f"{HERE}.regression.Points", "--judge", "val/rmse:min"]
COMPARED = [*CURVE, "--epochs", "1", "--seeds", "2", "--name", "curves"]
SEARCHED = [*CURVE, "--epochs", "1", "--trials", "2", "--confirm", "0", "--name", "found"]
SEARCHED += ["--space", "model.lr=1e-3..1e-1:log"]


@pytest.fixture
def project(workspace: Path) -> Path:
    """A folder with the user's own network."""
    Path("own.py").write_text(NETWORK.format(regression=f"{HERE}.regression"))
    return workspace


def edit(old: str = "nn.Tanh()", new: str = "nn.Identity()", file: str = "own.py") -> None:
    text = Path(file).read_text()
    assert old in text
    Path(file).write_text(text.replace(old, new))


def said(command: str, arguments: Sequence[str], status: int = 0) -> str:
    path = {"PYTHONPATH": python_path()}  # to tests/
    ended = run_script(command, *arguments, cwd=Path.cwd(), environment=path, fresh=True)
    assert ended.returncode == status, ended.stderr
    return ended.stderr if status else ended.stdout


@pytest.mark.parametrize(
    ("command", "arguments"),
    [("compare", COMPARED), ("search", SEARCHED)],
    ids=["compare", "search"],
)
def test_runs_of_edited_code_are_refused_or_trained_again(
    command: str, arguments: list[str], project: Path
) -> None:
    said(command, arguments)
    edit("nn.Tanh()", "nn.Tanh()  # smooth")
    said(command, arguments)
    edit()
    refused = said(command, arguments, status=1)
    assert "own.py has changed since lightning_logs/" in refused
    assert "choose another --name, or --retrain to train all again" in refused
    again = said(command, [*arguments, "--retrain"])
    name = arguments[arguments.index("--name") + 1]
    assert (
        f"lightning_logs/{name} is now lightning_logs/{name}.1: everything is trained again"
        in again
    )
    assert (
        "--retrain"
        not in (LOGS / name)
        .joinpath("comparison.html" if command == "compare" else "search.html")
        .read_text()
    )
    said(command, arguments)


def test_report_has_no_run_that_was_trained_further(project: Path) -> None:
    said("compare", COMPARED)
    run = next((LOGS / "curves").rglob("summary.json")).parent.relative_to(LOGS)
    said("fit", ["--name", str(run), "--resume", "--epochs", "2"])
    refused = said("compare", [*COMPARED, "--no-fit"], status=1)
    assert "differ in trainer.max_epochs=" in refused


def test_code_that_is_edited_while_trials_run_is_seen(project: Path) -> None:
    """The first trial edits it, before the second begins."""
    text = Path("own.py").read_text()
    Path("own.py").write_text(
        f"{text}\n    def on_train_end(self):\n"
        "        text = open('own.py').read()\n"
        "        open('own.py', 'w').write(text.replace('nn.Tanh', 'nn.ReLU'))\n"
    )
    refused = said("compare", [*COMPARED, "--jobs", "1"], status=1)
    assert "were trained with different versions of own.py: move one away, or choose" in refused


def test_resume_goes_on_with_edited_code_and_says_so(project: Path) -> None:
    fit = [*CURVE, "--epochs", "2", "--name", "curve"]
    said("fit", fit)
    run = RunDirectory("curve")
    first = json.loads(run.provenance.read_text())["code"]["own"]
    edit()
    printed = said("fit", ["--name", "curve", "--resume", "--epochs", "3"])
    assert "changed since step 32: own.py; the run goes on with two versions" in printed
    assert "trained with two versions of own.py: it cannot be repeated" in printed
    origin = json.loads(run.provenance.read_text())
    (resume,) = origin["resumed"]
    assert (origin["code"]["own"], resume["step"]) == (first, 32)
    assert resume["changes"]["code"]["own"] != first
    assert run.read_result().provenance.edited == ("own.py",)


def test_run_that_begins_at_step_0_again_has_one_version(project: Path) -> None:
    said("fit", [*CURVE, "--epochs", "1", "--name", "curve"])
    run = RunDirectory("curve")
    edit()
    run.summary.unlink()
    shutil.rmtree(run.last_checkpoint.parent)
    assert "two versions" not in said("fit", ["--name", "curve", "--resume"])
    assert run.read_result().provenance.edited == ()


def test_commit_of_the_users_repository_is_recorded_and_not_compared(project: Path) -> None:
    git = "git -c user.name=a -c user.email=a@b"
    shell = f"git init -q . && git add own.py && {git} commit -qm first"
    subprocess.run(shell, shell=True, check=True)
    said("fit", [*CURVE, "--epochs", "1", "--name", "curve"])
    began = json.loads(RunDirectory("curve").provenance.read_text())
    assert began["own_commit"]
    subprocess.run(f"{git} commit -q --allow-empty -m second", shell=True, check=True)
    printed = said("fit", ["--name", "curve", "--resume", "--epochs", "2"])
    assert "changed since" not in printed


def test_runs_of_pictures_that_were_replaced_are_refused(workspace: Path) -> None:
    pictures = ["--arch", "mlp", "--epochs", "1", "--seeds", "1", "--data.root", "pictures"]
    pictures += ["--batch_size", "10"]
    write_pictures(Path("pictures"))
    said("compare", pictures)
    shutil.copy("pictures/train/disc/0.png", "pictures/train/disc/2.png")
    refused = said("compare", pictures, status=1)
    assert "was trained on other data than there are now: restore them, choose" in refused
    assert "1 reused" not in refused
