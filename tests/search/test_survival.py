"""A search that is stopped, killed or started twice: it goes on, and each trial is begun and ended once."""

import json
import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest

from convblocks.data.images import ImageSets
from convblocks.runs.directory import LOGS
from convblocks.search import search
from tests.comparison.test_compare import is_alive
from tests.conftest import write_digits
from tests.scripts import Script, run_script, start_script
from tests.search.made_up import ONE_JOB, SHORT, numbers

pytestmark = pytest.mark.slow

Start = Callable[..., Script]

# How Optuna's journal numbers what happens.
CREATE_TRIAL, END_TRIAL = 4, 6

# Of searches in which no run needs more images than ``few_digits`` has.
SMALL = [*SHORT, "--data.root", "digits"]


@pytest.fixture
def few_digits(workspace: Path, digits: ImageSets) -> None:
    write_digits(workspace / "digits", digits, train=1800)


@pytest.fixture
def start(workspace: Path) -> Iterator[Start]:
    """Starts a search with these flags, and does not let it outlive the test."""
    with ExitStack() as started:
        yield lambda *flags: started.enter_context(start_script("search", *flags, cwd=workspace))


def lines(journal: Path) -> int:
    return journal.read_bytes().count(b"\n") if journal.is_file() else 0


def assert_once(journal: Path, trials: int) -> None:
    """Each trial was begun once and ended once."""
    events = [json.loads(line) for line in journal.read_text().splitlines()]
    assert [one["op_code"] for one in events].count(CREATE_TRIAL) == trials
    assert sorted(one["trial_id"] for one in events if one["op_code"] == END_TRIAL) == list(range(trials))


def workers(process: Script) -> list[psutil.Process]:
    """The processes of the trials that run: children of the server from which they are forked."""
    return [worker for server in psutil.Process(process.pid).children() for worker in server.children()]


def test_a_worker_that_is_killed_is_carried_on_before_anything_new(workspace: Path, start: Start) -> None:
    flags = [*SHORT, *ONE_JOB, "--trials", "3"]
    flags[flags.index("20")] = "400"  # so many batches that it is killed within a run
    search.main([*flags, "--name", "whole"])
    process = start(*flags, "--name", "killed")
    for number in range(3):
        while not (LOGS / "killed" / f"trial_{number}" / "checkpoints" / "last.ckpt").is_file():
            assert process.poll() is None
            time.sleep(0.02)
        (worker,) = workers(process)
        worker.kill()
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    assert_once(LOGS / "killed" / "journal.log", 3)
    assert numbers("killed")["trials"] == numbers("whole")["trials"]


def test_killed_at_random_moments_a_search_ends_as_one_that_was_not(
    few_digits: None, workspace: Path, start: Start
) -> None:
    """With one job it makes the very same choices; the whole machine dies, or the search alone."""
    flags = [*SMALL, *ONE_JOB, "--trials", "8"]
    search.main([*flags, "--name", "whole"])
    journal = LOGS / "killed" / "journal.log"
    luck = random.Random(0)
    for kill in range(10):
        process = start(*flags, "--name", "killed")
        begun, patience = lines(journal), luck.randrange(1, 4)
        while lines(journal) < begun + patience and process.poll() is None:
            time.sleep(0.01)
        time.sleep(luck.uniform(0, 0.7))
        if kill % 2:
            process.kill()
        elif process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate(timeout=60)
    finished = run_script("search", *flags, "--name", "killed", cwd=workspace, timeout=900)
    assert finished.returncode == 0, finished.stderr
    assert_once(journal, 8)
    assert numbers("killed")["trials"] == numbers("whole")["trials"]


@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGTERM])
def test_a_search_that_is_stopped_leaves_no_process_and_goes_on(
    kind: signal.Signals, workspace: Path, start: Start
) -> None:
    flags = [*SHORT, "--confirm", "0", "--trials", "4", "--jobs", "2", "--name", "s"]
    flags[flags.index("20")] = "400"  # so many batches that it is stopped within a run
    process = start(*flags)
    while not list((LOGS / "s").glob("trial_*/metrics.csv")):
        assert process.poll() is None
        time.sleep(0.05)
    os.killpg(process.pid, kind)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 128 + kind, errors
    assert errors == "search.py: stopped: the same command carries on\n"
    deadline = time.monotonic() + 20
    while is_alive(process.pid):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    search.main(flags)
    assert_once(LOGS / "s" / "journal.log", 4)


def test_two_searches_work_on_the_same_trials(few_digits: None, start: Start) -> None:
    flags = [*SMALL, "--confirm", "1", "--seeds", "1", "--trials", "8", "--jobs", "1", "--name", "s"]
    both = [start(*flags) for _ in range(2)]
    for process in both:
        _, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors
    assert_once(LOGS / "s" / "journal.log", 8)
    events = [json.loads(line) for line in (LOGS / "s" / "journal.log").read_text().splitlines()]
    assert len({one["worker_id"] for one in events if one["op_code"] == CREATE_TRIAL}) == 2
    assert (LOGS / "s" / "search.md").is_file()


def test_what_a_search_that_died_has_left_is_carried_on_by_another_that_works(workspace: Path, start: Start) -> None:
    flags = [*SHORT, "--confirm", "0", "--trials", "4", "--jobs", "1", "--name", "s"]
    flags[flags.index("20")] = "400"
    first = start(*flags)
    while not list((LOGS / "s").glob("trial_*/metrics.csv")):
        assert first.poll() is None
        time.sleep(0.05)
    second = start(*flags)
    while not (LOGS / "s" / "trial_1").is_dir():
        assert second.poll() is None
        time.sleep(0.05)
    os.killpg(first.pid, signal.SIGKILL)
    first.communicate(timeout=60)
    _, errors = second.communicate(timeout=300)
    assert second.returncode == 0, errors
    assert_once(LOGS / "s" / "journal.log", 4)
