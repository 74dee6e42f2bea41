"""What a hostile hand does ends in one line that names the file or option, and costs nothing that was finished."""

import re
import shlex
from pathlib import Path

import pytest

from tests.hostile.bounded import run_bounded
from tests.hostile.cases import CASES, LAST, Case


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=str)
def test_case(case: Case, folder: Path) -> None:
    for name, spoil in case.files.items():
        spoil(folder / name)
    before = checkpoints(folder)
    script, *arguments = shlex.split(case.command)
    ended = run_bounded(script, *arguments, cwd=folder, environment=dict(case.environment))
    assert "Traceback" not in ended.stderr, ended.stderr
    assert ended.returncode == case.status, ended
    output = ended.stdout if case.status == 0 else ended.stderr
    assert re.search(case.says, output), output
    if case.status == 0:
        assert ended.stderr == ""
        return
    lines = ended.stderr.splitlines()
    assert lines[-1].startswith(f"{script}.py: ")
    assert len(lines) == (2 if "could not be recognised" in lines[-1] else 1)
    assert case.trains or checkpoints(folder) == before


def checkpoints(folder: Path) -> dict[str, bytes]:
    """The content of the run's checkpoints, by name."""
    found = (folder / LAST).parent
    return {path.name: path.read_bytes() for path in found.glob("*.ckpt")} if found.is_dir() else {}
