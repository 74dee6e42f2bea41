"""Processes take turns, keep what they have built, and leave nothing behind, whatever happens to them."""

import os
from pathlib import Path

import psutil
import pytest

from lab.benchmarks.harness import Turns, in_turns
from lab.benchmarks.rows import Row

# The server from which processes are forked imports torch and Lightning first.
pytestmark = pytest.mark.slow


def count(name: str, turns: Turns) -> None:
    """Report the number of the turn."""
    number = 0
    while True:
        turns.wait()
        number += 1
        turns.report([Row({"name": name, "process": os.getpid(), "folder": str(Path.cwd())}, {"number": number})])


def test_processes_alternate_continue_where_they_were_and_leave_nothing_behind() -> None:
    with in_turns(1, count, "a") as first, in_turns(1, count, "b") as second:
        rows = [row for take_turn in (first, second, second, first) for row in take_turn()]
        folder = Path(str(rows[0].labels["folder"]))
        assert folder.is_dir()
    assert [(row.labels["name"], row.values["number"]) for row in rows] == [("a", 1), ("b", 1), ("b", 2), ("a", 2)]
    assert not any(psutil.pid_exists(int(row.labels["process"] or 0)) for row in rows)
    assert not folder.exists()
