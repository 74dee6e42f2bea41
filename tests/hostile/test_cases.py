"""Whatever is wrong ends in one line that names the file or option, and costs nothing that was finished."""

import re
import shlex
from pathlib import Path

import pytest

from tests.hostile.bounded import run_bounded
from tests.hostile.cases import CASES, LAST, Case


def marks(case: Case) -> list[pytest.MarkDecorator]:
    return [pytest.mark.slow] if case.trains or case.status == 0 else []


@pytest.mark.parametrize("case", [pytest.param(case, id=str(case), marks=marks(case)) for case in CASES])
def test_hostile_case_ends_in_one_line(case: Case, folder: Path) -> None:
    for name, spoil in case.files.items():
        spoil(folder / name)
    before = checkpoints(folder)
    script, *arguments = shlex.split(case.command)
    ended = run_bounded(script, *arguments, cwd=folder)
    assert "Traceback" not in ended.stderr, ended.stderr
    assert ended.returncode == case.status, ended
    output = ended.stdout if case.status == 0 else ended.stderr
    assert re.search(case.says, output), output
    if case.status == 0:
        assert ended.stderr == ""
        return
    (line,) = ended.stderr.splitlines()
    assert line.startswith(f"{script}.py: ")
    assert case.trains or checkpoints(folder) == before


def checkpoints(folder: Path) -> dict[str, bytes]:
    """The content of the run's checkpoints, by name."""
    return {path.name: path.read_bytes() for path in (folder / LAST).parent.glob("*.ckpt") if path.is_file()}
