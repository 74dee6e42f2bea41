"""The origin of a run is recorded at its start, and a resume prints how it differs."""

import json
import subprocess
from importlib.metadata import version
from pathlib import Path

import pytest

from convblocks.run import fit, provenance
from convblocks.run.directory import RunDirectory
from tests.core.run.test_fit import QUICK, train


def test_a_run_records_its_origin(workspace: Path) -> None:
    train("--arch", "mlp", "--name", "run", "--seed", "3", *QUICK)
    run = RunDirectory("run")
    found = json.loads(run.provenance.read_text())
    assert found["seed"] == 3
    assert found["packages"]["lightning"] == version("lightning")
    assert found["command"]
    assert found["machine"] == provenance.describe_hardware()
    result = run.read_result().provenance
    assert (result.data, result.commit) == (found["data"], found["git_commit"])
    assert result.machine == provenance.describe_machine()


@pytest.mark.slow
def test_a_resume_prints_what_has_changed(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train("--arch", "mlp", "--name", "run", *QUICK)
    fit.main(["--name", "run", "--resume", "--epochs", "3"])
    assert "changed since" not in capsys.readouterr().out
    path = RunDirectory("run").provenance
    began = json.loads(path.read_text())
    began["packages"]["torch"] = "1.0"
    path.write_text(json.dumps(began | {"git_commit": "abc"}))
    fit.main(["--name", "run", "--resume", "--epochs", "4"])
    printed = capsys.readouterr().out
    assert [line for line in printed.splitlines() if line.startswith("changed since")] == [
        "changed since the run began: git_commit",
        "changed since the run began: packages",
    ]
    *_, resumed = json.loads(path.read_text())["resumed"]
    assert resumed["changes"]["packages"]["torch"] == version("torch")


def test_uncommitted_changes_are_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def git(*arguments: str) -> None:
        identity = ["-c", "user.name=A", "-c", "user.email=a@b.c"]
        subprocess.run(["git", "-C", str(tmp_path), *identity, *arguments], check=True, capture_output=True)

    git("init")
    (tmp_path / "code.py").write_text("first\n")
    git("add", ".")
    git("commit", "-m", "one")
    (tmp_path / "code.py").write_text("second\n")
    (tmp_path / "new.py").touch()
    monkeypatch.setattr(provenance, "__file__", str(tmp_path / "code.py"))
    found = provenance.uncommitted() or ""
    assert "-first\n+second\n" in found
    assert found.startswith(" M code.py\n?? new.py\n")
    monkeypatch.setattr(provenance, "__file__", str(tmp_path / ".git" / "nowhere"))
    assert provenance.uncommitted() is None
