"""Processes that a server forks: they are there at once."""

import time
from pathlib import Path

import pytest

from convblocks.compare import forked

# On an idle machine it takes less than half a second; tests share theirs.
SECONDS = 0.5 * 4


def note_the_time(arguments: list[str]) -> None:
    print(*arguments, time.time())


@pytest.mark.slow
def test_forked_run_begins_within_half_a_second(workspace: Path) -> None:
    """From the call of ``start`` to the first line of the command, once the server has done the imports."""
    forked.context()
    began, log = [], Path("log")
    for number in range(4):
        began.append(time.time())
        process = forked.start(["fit", str(number)], log, note_the_time)
        process.join(60)
        assert process.exitcode == 0
    numbers, times = zip(*(line.split() for line in log.read_text().splitlines()), strict=True)
    assert numbers == ("0", "1", "2", "3")
    assert min(float(there) - here for here, there in zip(began[1:], times[1:], strict=True)) < SECONDS
