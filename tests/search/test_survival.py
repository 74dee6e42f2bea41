"""A search that is stopped, killed or started twice: it goes on, and each trial is begun and ended once."""

import json
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest

from convblocks.run.directory import LOGS
from convblocks.search import command as search
from tests.scripts import Script, is_alive, start_script, wait_until
from tests.search.made_up import JOURNAL, SHORT, numbers

pytestmark = pytest.mark.slow

Start = Callable[..., Script]

# The numbers of operations in Optuna's journal.
CREATE_TRIAL, END_TRIAL = 4, 6

# So many batches that a search is stopped within a run.
LONG = [*SHORT, "--trainer.limit_train_batches", "400", "--confirm", "0", "--name", "s"]


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


@pytest.mark.nightly
@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGTERM])
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


@pytest.mark.nightly
def test_two_searches_share_the_trials_and_one_carries_on_those_of_the_other(workspace: Path, start: Start) -> None:
    """The first is killed, and the process of its run with it."""
    flags = [*LONG, "--trials", "4", "--jobs", "1"]
    first = start(*flags)
    wait_until(has_epochs)
    second = start(*flags)
    wait_until((LOGS / "s" / "trial_1").is_dir)
    os.killpg(first.pid, signal.SIGKILL)
    first.communicate(timeout=60)
    ends_well(second)
    assert len(assert_once(JOURNAL, 4)) == 2
    assert (LOGS / "s" / "search.md").is_file()
