"""The manifest records what a run depends on, and a resume prints what has changed."""

import json
import subprocess
from importlib.metadata import version
from pathlib import Path

import pytest

from convblocks.runs import manifest
from convblocks.runs.directory import RunDirectory
from convblocks.training import fit
from tests.training.test_fit import QUICK, train


def test_a_summary_has_the_whole_manifest(workspace: Path) -> None:
    train("--arch", "mlp", "--name", "run", "--seed", "3", *QUICK)
    written = RunDirectory("run").read_summary()["manifest"]
    assert written["seed"] == 3
    assert written["packages"]["lightning"] == version("lightning")
    assert written["command"]
    assert "CPUs" in written["machine"]
    assert written == json.loads(RunDirectory("run").manifest.read_text())


@pytest.mark.slow
def test_a_resume_prints_what_has_changed(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train("--arch", "mlp", "--name", "run", *QUICK)
    run = RunDirectory("run")
    began = json.loads(run.manifest.read_text())
    began["packages"]["torch"] = "1.0"
    del began["packages"]["scipy"]
    run.manifest.write_text(json.dumps(began | {"git_commit": "abc", "uncommitted": "a line", "machine": "8 CPUs"}))
    capsys.readouterr()
    fit.main(["--name", "run", "--resume", "--epochs", "3"])
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("changed since the run began: ")]
    assert len(lines) == 5
    assert f"changed since the run began: torch: 1.0 -> {version('torch')}" in lines
    assert f"changed since the run began: scipy: not installed -> {version('scipy')}" in lines
    (resumed,) = run.read_summary()["manifest"]["resumed"]
    assert [f"changed since the run began: {line}" for line in resumed["changes"]] == lines


@pytest.mark.slow
def test_an_unchanged_resume_prints_nothing(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train("--arch", "mlp", "--name", "run", *QUICK)
    capsys.readouterr()
    fit.main(["--name", "run", "--resume", "--epochs", "3"])
    assert "changed since" not in capsys.readouterr().out


def test_uncommitted_changes_are_in_the_manifest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def git(*arguments: str) -> None:
        identity = ["-c", "user.name=A", "-c", "user.email=a@b.c"]
        subprocess.run(["git", "-C", str(tmp_path), *identity, *arguments], check=True, capture_output=True)

    git("init")
    (tmp_path / "code.py").write_text("first\n")
    git("add", ".")
    git("commit", "-m", "one")
    (tmp_path / "code.py").write_text("second\n")
    (tmp_path / "new.py").touch()
    monkeypatch.setattr(manifest, "__file__", str(tmp_path / "code.py"))
    difference = manifest.uncommitted() or ""
    assert "-first\n+second\n" in difference
    assert difference.endswith("new file: new.py\n")
    monkeypatch.setattr(manifest, "LONGEST_DIFFERENCE", 20)
    assert "characters in all" in (manifest.uncommitted() or "")
    monkeypatch.setattr(manifest, "__file__", str(tmp_path / ".git" / "nowhere"))
    assert manifest.uncommitted() is None
