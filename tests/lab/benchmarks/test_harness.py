"""Processes take turns, keep what they have built, and leave nothing behind, whatever happens to them."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
import torch
from torch import distributed

from convblocks.errors import UserError
from lab.benchmarks.harness import Turns, in_turns
from lab.benchmarks.rows import Row
from tests.conftest import REPOSITORY
from tests.scripts import is_running, wait_until

# The server from which processes are forked imports torch and Lightning first.
pytestmark = pytest.mark.slow


def count(name: str, turns: Turns) -> None:
    """Report the number of the turn."""
    number = 0
    while True:
        turns.wait()
        number += 1
        turns.report([Row({"name": name, "process": os.getpid(), "folder": str(Path.cwd())}, {"number": number})])


def fail(turns: Turns) -> None:
    turns.wait()
    raise UserError("no memory for the images")


def add_up(failing: int | None, turns: Turns) -> None:
    """Report the sum of the ranks' numbers, which are 1 and 2; one rank may fail instead."""
    rank = int(os.environ["LOCAL_RANK"])
    distributed.init_process_group("gloo", rank=rank, world_size=int(os.environ["WORLD_SIZE"]))
    while True:
        turns.wait()
        if rank == failing:
            raise UserError(f"rank {rank} failed")
        total = torch.tensor(rank + 1.0)
        distributed.all_reduce(total)
        turns.report([Row({"rank": rank}, {"total": total.item()})])


def test_processes_alternate_continue_where_they_were_and_leave_nothing_behind() -> None:
    with in_turns(1, count, "a") as first, in_turns(1, count, "b") as second:
        rows = [row for take_turn in (first, second, second, first) for row in take_turn()]
        folder = Path(str(rows[0].labels["folder"]))
        assert folder.is_dir()
    assert [(row.labels["name"], row.values["number"]) for row in rows] == [("a", 1), ("b", 1), ("b", 2), ("a", 2)]
    assert not any(psutil.pid_exists(int(row.labels["process"] or 0)) for row in rows)
    assert not folder.exists()


def test_process_that_fails_hands_its_error_on() -> None:
    with in_turns(1, fail) as take_turn, pytest.raises(UserError, match=r"^no memory for the images$"):
        take_turn()


def test_process_that_was_killed_is_an_error_of_one_line() -> None:
    with in_turns(1, count, "a") as take_turn:
        (row,) = take_turn()
        os.kill(int(row.labels["process"] or 0), signal.SIGKILL)
        with pytest.raises(UserError) as caught:
            take_turn()
    assert str(caught.value) == "a process that measures was killed, perhaps for want of memory"


def test_processes_end_with_a_benchmark_that_is_killed() -> None:
    lines = ["from lab.benchmarks.harness import in_turns", "from tests.lab.benchmarks.test_harness import count"]
    lines += ["with in_turns(1, count, 'a') as take_turn:", "    print(take_turn()[0].labels['process'], flush=True)"]
    words = [sys.executable, "-c", "\n".join([*lines, "    input()"])]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=REPOSITORY) as benchmark:
        assert benchmark.stdout is not None
        process = psutil.Process(int(benchmark.stdout.readline()))
        benchmark.terminate()
    wait_until(lambda: not is_running(process), seconds=2)


def test_ranks_are_a_group_whose_first_reports() -> None:
    with in_turns(1, add_up, None, ranks=2) as take_turn:
        assert [take_turn(), take_turn()] == 2 * [[Row({"rank": 0}, {"total": 3.0})]]
