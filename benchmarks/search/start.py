"""What a search adds to a run, beside compare.py, which starts the same one."""

import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.search.results import Started
from convblocks.comparison.compare import fit_missing
from convblocks.comparison.trials import ROOT, Settings, all_trials
from convblocks.errors import UserError
from convblocks.runs.directory import RunDirectory
from convblocks.search import space
from convblocks.search.plan import Plan
from convblocks.search.search import choose_and_train
from convblocks.search.study import Search

ARCH = "mlp"

# Runs that last no longer than they must, one after the other.
SHORT: Settings = (
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
    plan = Plan(name, (ARCH,), (*SHORT, (ROOT, str(folder))), space.parse("lr=1e-3..1e-2:log"), 0, "tpe", "median")
    choose_and_train(Search(plan, chance_threshold=0, data={}), runs, jobs=1)


def compared(folder: Path, name: str, runs: int) -> None:
    trials = all_trials(name, [ARCH], range(runs), (*SHORT, (ROOT, str(folder))), {})
    if failed := fit_missing(RunDirectory(name, folder), trials, jobs=1):
        raise UserError(f"{failed[0].run.path} failed")
