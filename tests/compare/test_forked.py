"""Processes that a server forks: they are there at once."""

import time
from pathlib import Path

import pytest

from convblocks.compare import forked

# On an idle machine it takes less than half a second; tests share theirs.
SECONDS = 0.5 * 4


@pytest.mark.slow
def test_forked_run_begins_within_half_a_second(workspace: Path) -> None:
    """From the call of ``start`` to the command's output, once the server has done the imports."""
    seconds = []
    for number in range(4):
        began, log = time.time(), Path(f"log{number}")
        process = forked.start(["fit", "--help"], log)
        process.join(60)
        assert process.exitcode == 0
        assert "usage: " in log.read_text()
        seconds.append(log.stat().st_mtime - began)
    assert min(seconds[1:]) < SECONDS
