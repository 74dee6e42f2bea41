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
from tests.comparison.test_stopped import is_alive, wait_until
from tests.conftest import write_digits
from tests.scripts import Script, run_script, start_script
from tests.search.made_up import JOURNAL, ONE_JOB, SHORT, numbers

pytestmark = pytest.mark.slow

Start = Callable[..., Script]

# The numbers of operations in Optuna's journal.
CREATE_TRIAL, END_TRIAL = 4, 6

# So many batches that a search is stopped within a run.
LONG = [*SHORT, "--trainer.limit_train_batches", "400", "--confirm", "0", "--name", "s"]


@pytest.fixture
def few_digits(workspace: Path, digits: ImageSets) -> list[str]:
    """The options of a search in which no run needs more images."""
    write_digits(workspace / "digits", digits, train=1800)
    return [*SHORT, "--data.root", "digits"]


@pytest.fixture
def start(workspace: Path) -> Iterator[Start]:
    """Starts a search with these flags, and does not let it outlive the test."""
    with ExitStack() as started:
        yield lambda *flags: started.enter_context(start_script("search", *flags, cwd=workspace))


def ends_well(process: Script) -> None:
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors


def assert_once(journal: Path, trials: int) -> set[str]:
    """Each trial was begun once and ended once; returns the processes that began some."""
    events = [json.loads(line) for line in journal.read_text().splitlines()]
    begun = [one for one in events if one["op_code"] == CREATE_TRIAL]
    assert len(begun) == trials
    assert sorted(one["trial_id"] for one in events if one["op_code"] == END_TRIAL) == list(range(trials))
    return {one["worker_id"] for one in begun}


def has_epochs(name: str = "s") -> list[Path]:
    return list((LOGS / name).glob("trial_*/metrics.csv"))


def test_a_worker_that_is_killed_is_carried_on_before_anything_new(workspace: Path, start: Start) -> None:
    flags = [*LONG, "--jobs", "1", "--trials", "2"]
    search.main([*flags, "--name", "whole"])
    process = start(*flags)
    for number in range(2):
        wait_until((LOGS / "s" / f"trial_{number}" / "checkpoints" / "last.ckpt").is_file)
        (worker,) = [one for server in psutil.Process(process.pid).children() for one in server.children()]
        worker.kill()
    ends_well(process)
    assert_once(JOURNAL, 2)
    assert numbers("s")["trials"] == numbers("whole")["trials"]


@pytest.mark.parametrize("kind", [pytest.param(signal.SIGINT, marks=pytest.mark.nightly), signal.SIGTERM])
def test_a_search_that_is_stopped_leaves_no_process_and_goes_on(
    kind: signal.Signals, workspace: Path, start: Start
) -> None:
    flags = [*LONG, "--trials", "3", "--jobs", "2"]
    process = start(*flags)
    wait_until(has_epochs)
    os.killpg(process.pid, kind)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 128 + kind, errors
    assert errors == "search.py: stopped: the same command carries on\n"
    wait_until(lambda: not is_alive(process.pid))
    search.main(flags)
    assert_once(JOURNAL, 3)


def test_two_searches_work_on_the_same_trials(few_digits: list[str], start: Start) -> None:
    flags = [*few_digits, "--confirm", "1", "--seeds", "1", "--trials", "6", "--jobs", "1", "--name", "s"]
    for process in [start(*flags) for _ in range(2)]:
        ends_well(process)
    assert len(assert_once(JOURNAL, 6)) == 2
    assert (LOGS / "s" / "search.md").is_file()


@pytest.mark.nightly
def test_a_trial_of_a_search_that_died_is_carried_on_by_another_that_works(workspace: Path, start: Start) -> None:
    flags = [*LONG, "--trials", "4", "--jobs", "1"]
    first = start(*flags)
    wait_until(has_epochs)
    second = start(*flags)
    wait_until((LOGS / "s" / "trial_1").is_dir)
    os.killpg(first.pid, signal.SIGKILL)
    first.communicate(timeout=60)
    ends_well(second)
    assert_once(JOURNAL, 4)


@pytest.mark.nightly
def test_killed_at_random_moments_a_search_ends_as_one_that_was_not(
    few_digits: list[str], workspace: Path, start: Start
) -> None:
    """With one job it makes the very same choices; the whole machine dies, or the search alone."""
    flags = [*few_digits, *ONE_JOB, "--trials", "8"]
    search.main([*flags, "--name", "whole"])
    luck = random.Random(0)

    def lines() -> int:
        return JOURNAL.read_bytes().count(b"\n") if JOURNAL.is_file() else 0

    for kill in range(10):
        process = start(*flags, "--name", "s")
        enough = lines() + luck.randrange(1, 4)
        while lines() < enough and process.poll() is None:
            time.sleep(0.01)
        time.sleep(luck.uniform(0, 0.7))
        if kill % 2:
            process.kill()
        elif process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate(timeout=60)
    finished = run_script("search", *flags, "--name", "s", cwd=workspace, timeout=900)
    assert finished.returncode == 0, finished.stderr
    assert_once(JOURNAL, 8)
    assert numbers("s")["trials"] == numbers("whole")["trials"]
