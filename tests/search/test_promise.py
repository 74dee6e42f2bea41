"""The promise of a search: whatever is killed, no trial and no epoch is lost, and
nothing is done twice.
"""

import csv
import json
import os
import random
import shlex
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest

from convblocks.record.directory import LOGS
from convblocks.search import command as search
from tests.scripts import Script, is_alive, start_script, wait_until
from tests.search.made_up import JOURNAL, SHORT, numbers

pytestmark = pytest.mark.slow

Start = Callable[..., Script]

# The numbers of operations in Optuna's journal.
CREATE_TRIAL, END_TRIAL, END_EPOCH = 4, 6, 7

# So many batches that a search is stopped within a run.
LONG = [*SHORT, "--trainer.limit_train_batches", "800", "--confirm", "0", "--name", "s"]


@pytest.fixture
def start(workspace: Path) -> Iterator[Start]:
    """Starts a search with these flags, and does not let it outlive the test."""
    with ExitStack() as started:
        yield lambda *flags: started.enter_context(start_script("search", *flags, cwd=workspace))


def assert_once(journal: Path, trials: int) -> None:
    """Each trial was begun once and ended once, each epoch noted once."""
    events = [json.loads(line) for line in journal.read_text().splitlines()]
    assert len([event for event in events if event["op_code"] == CREATE_TRIAL]) == trials
    assert sorted(event["trial_id"] for event in events if event["op_code"] == END_TRIAL) == list(
        range(trials)
    )
    epochs = Counter(
        (event["trial_id"], event["step"]) for event in events if event["op_code"] == END_EPOCH
    )
    assert set(epochs.values()) == {1}


def epochs() -> dict[Path, list[dict[str, str]]]:
    """The epochs of all trials so far, with the seconds that they took, but the last
    ones: a kill may cost these.
    """
    found = {}
    for path in (LOGS / "s").glob("trial_*/metrics.csv"):
        with path.open() as file:
            found[path] = [row for row in csv.DictReader(file) if row["val/acc"]][:-1]
    return found


def test_search_of_two_processes_keeps_its_promise_whatever_is_killed(
    workspace: Path, start: Start
) -> None:
    """Choices by chance depend on the number of a trial alone: all numbers must be
    those of a search in peace.
    """
    draws = random.Random(0)
    flags = [
        *LONG,
        "--epochs",
        "4",
        "--trials",
        "6",
        "--jobs",
        "1",
        "--sampler",
        "random",
        "--pruner",
        "none",
    ]
    searches, seen, kills = [start(*flags), start(*flags)], epochs(), 0
    while any(process.returncode is None for process in searches):
        time.sleep(draws.uniform(0.1, 2))
        seen |= epochs()
        victim = draws.choice(searches)
        if kills == 8 or victim.returncode is not None:
            continue
        kills += 1
        children = psutil.Process(victim.pid).children(recursive=True)
        if children and draws.random() < 0.5:
            draws.choice(children).kill()  # a trial, or the server that starts them
            continue
        os.kill(victim.pid, signal.SIGKILL)
        victim.wait(60)
        _, alive = psutil.wait_procs(children, timeout=20)
        assert not alive, "a child outlives its search"
        searches.append(start(*flags))
    assert kills >= 4
    process = start(*flags)
    assert process.wait(300) == 0, process.communicate(0)
    assert_once(JOURNAL, 6)
    for path, rows in seen.items():
        with path.open() as file:
            assert [row for row in csv.DictReader(file) if row in rows] == rows, (
                f"an epoch was trained twice: {path}"
            )
    search.main([*flags, "--name", "peace", "--jobs", "2"])
    assert numbers("s")["trials"] == numbers("peace")["trials"]


def test_search_that_ctrl_c_stops_has_saved_its_trials_and_carries_on_to_the_same_numbers(
    workspace: Path, start: Start
) -> None:
    flags = [*LONG, "--epochs", "3", "--trials", "2", "--jobs", "2", "--sampler", "random"]
    process = start(*flags)
    wait_until(lambda: process.returncode is not None or list(LOGS.glob("s/trial_*/metrics.csv")))
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    output, errors = process.communicate(300)
    assert process.returncode == 128 + signal.SIGINT
    assert "saving 2 trials; Ctrl-C again ends at once" in output
    assert errors.startswith("search.py: stopped: the same command carries on: python ")
    assert errors.endswith(f"{shlex.join(flags)}\n")
    stopped = [path.read_text() for path in LOGS.glob("s/logs/*.log")]
    assert "stopped after step" in "".join(stopped)
    wait_until(lambda: not is_alive(process.pid))
    process = start(*flags)
    assert process.wait(300) == 0, process.communicate(0)
    search.main([*flags, "--name", "peace"])
    assert numbers("s")["trials"] == numbers("peace")["trials"]
