"""Where a run comes from is recorded at its start, and a resume prints how that differs."""

import json
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest

from convblocks.errors import UserError
from convblocks.record import provenance
from convblocks.record.directory import RunDirectory
from convblocks.run import fit
from tests.core.run.test_fit import QUICK, train


def test_provenance_is_in_the_run_and_a_resume_prints_what_has_changed(
    workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train("--arch", "mlp", "--name", "run", *QUICK)
    run = RunDirectory("run")
    origin, result = json.loads(run.provenance.read_text()), run.read_result().provenance
    assert origin["command"]
    assert (result.data, result.commit) == (origin["data"], origin["git_commit"])
    assert result.machine == origin["machine"] == provenance.describe_machine()
    assert f"lightning {version('lightning')}" in result.machine

    fit.main(["--name", "run", "--resume", "--epochs", "3"])
    assert "changed since" not in capsys.readouterr().out
    run.provenance.write_text(json.dumps(origin | {"git_commit": "abc"}))
    fit.main(["--name", "run", "--resume", "--epochs", "4"])
    printed = [
        line for line in capsys.readouterr().out.splitlines() if line.startswith("changed since")
    ]
    assert printed == ["changed since the run began: git_commit"]
    (resumed,) = json.loads(run.provenance.read_text())["resumed"]
    assert resumed["changes"] == {"git_commit": origin["git_commit"]}


@pytest.mark.parametrize("content", [b"", b'{"command": ', b"[]", b'{"command": "\xff"}'])
def test_provenance_that_is_damaged_is_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "provenance.json"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"cannot read .*provenance\.json .*: restore") as caught:
        provenance.read_origin(path)
    assert "\n" not in str(caught.value)


def test_machine_is_described_without_torchvision(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is needed by those who use it, not by a run."""

    def version_of(package: str) -> str:
        if package == "torchvision":
            raise PackageNotFoundError(package)
        return version(package)

    whole = provenance.describe_machine()
    monkeypatch.setattr(provenance, "version", version_of)
    without = provenance.describe_machine()
    assert whole == without.replace(
        ", lightning", f", torchvision {version('torchvision')}, lightning"
    )
