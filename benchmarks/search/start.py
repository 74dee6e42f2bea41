"""What a search adds to a run, beside compare.py, which starts the same one."""

import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.search.results import Started
from convblocks.comparison.training import finish, refuse_missing
from convblocks.comparison.trials import ROOT, all_trials
from convblocks.runs.directory import RunDirectory
from convblocks.runs.result import Overrides
from convblocks.search import space
from convblocks.search.config import SearchConfig
from convblocks.search.search import train_trials
from convblocks.search.worker import SearchWorker

ARCH = "mlp"

# Runs that last no longer than they must, one after the other.
SHORT: Overrides = (
    *(("epochs", "1"), ("threads", "1"), ("data.val_size", "500")),
    *((f"trainer.limit_{split}_batches", "1") for split in ("train", "val", "test")),
)


def measure(rounds: int, runs: int) -> list[Started]:
    """Seconds a run of either, alternating; every second round is in the opposite order."""
    measured = []
    with TemporaryDirectory() as folder:
        compared(Path(folder), "first", 1)  # the imports of the server from which all runs are forked
        for number in range(rounds):
            ways: list[tuple[str, Callable[[Path, str, int], None]]] = [("search", searched), ("compare", compared)]
            seconds = {}
            for name, way in ways if number % 2 else reversed(ways):
                began = time.perf_counter()
                way(Path(folder), f"{name}-{number}", runs)
                seconds[name] = (time.perf_counter() - began) / runs
            measured.append(Started(**seconds))
    return measured


def searched(folder: Path, name: str, runs: int) -> None:
    overrides = (*SHORT, (ROOT, str(folder)))
    config = SearchConfig(name, (ARCH,), overrides, space.parse("lr=1e-3..1e-2:log"), 0, "tpe", "median")
    train_trials(SearchWorker(config, chance_threshold=0, data={}), runs, jobs=1)


def compared(folder: Path, name: str, runs: int) -> None:
    trials = all_trials(name, [ARCH], range(runs), (*SHORT, (ROOT, str(folder))), {})
    refuse_missing(trials, finish(RunDirectory(name, folder), trials, jobs=1))
