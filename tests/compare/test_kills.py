"""A comparison that is killed again and again, at random moments, ends as if nothing had happened."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from random import Random

import psutil
import pytest

from convblocks.compare import command as compare
from convblocks.run.directory import LOGS
from tests.compare.test_stopped import PROCESSES
from tests.conftest import REPOSITORY
from tests.scripts import is_alive, wait_until

# Of which a run takes some seconds.
LONG = ["--epochs", "4", "--trainer.limit_train_batches", "300", "--trainer.limit_val_batches", "2"]
LONG += ["--arch", "mlp", "batchnorm", "--seeds", "3", "--jobs", "2"]


def kill(random: Random, process: subprocess.Popen[bytes]) -> None:
    """Kill all of a command's processes, or the command alone, or first one of those below it."""
    way = random.choice(("all", "command", "one"))
    with suppress(psutil.NoSuchProcess, ProcessLookupError):  # it may have come to its end
        if way == "one" and (below := psutil.Process(process.pid).children(recursive=True)):
            random.choice(below).kill()
            time.sleep(random.uniform(0, 4))
        if way != "command":
            os.killpg(process.pid, signal.SIGKILL)
    process.kill()


def is_ended(group: int) -> bool:
    return not is_alive(group)


def finished(name: str) -> dict[Path, int]:
    """The runs that are done, and when."""
    return {path: path.stat().st_mtime_ns for path in (LOGS / name).rglob("summary.json")}


@pytest.mark.nightly
@pytest.mark.parametrize(
    ("flags", "kills"), [([], 20), ([*PROCESSES, "--trainer.precision", "64-true"], 20)], ids=["one", "two"]
)
def test_no_finished_trial_is_lost_or_trained_twice(flags: Sequence[str], kills: int, workspace: Path) -> None:
    command = [*LONG, *flags]
    compare.main([*command, "--name", "whole"])
    random, done = Random(0), dict[Path, int]()
    for _ in range(kills):
        words = [sys.executable, str(REPOSITORY / "scripts" / "compare.py"), *command, "--name", "killed"]
        with Path("log").open("a") as log, subprocess.Popen(words, stdout=log, start_new_session=True) as process:
            time.sleep(random.uniform(3, 14))
            if process.poll() is None:
                kill(random, process)
        wait_until(partial(is_ended, process.pid), 60)
        now = finished("killed")
        assert done.items() <= now.items()
        done = now
    compare.main([*command, "--name", "killed"])
    assert done.items() <= finished("killed").items()
    numbers = [(LOGS / name / "comparison.json").read_text() for name in ("whole", "killed")]
    assert numbers[0] == numbers[1]
