"""What is measured at a size, in a process of its own that stays warm: turns of
training, or of a function.
"""

import shutil
import time
from collections.abc import Callable
from itertools import count
from statistics import median

from convblocks.compare.report import report_of
from convblocks.compare.statistics import divisions
from convblocks.figures.report import publish
from convblocks.record.directory import RunDirectory
from convblocks.search.worker import SearchWorker
from lab.benchmarks.growth import data
from lab.benchmarks.growth.data import wide
from lab.benchmarks.harness import Turns
from lab.benchmarks.noise import checked, noise
from lab.benchmarks.rows import single_row
from lab.benchmarks.training.ways import BareLoop, Case, Stopwatch, take_turns

# A turn lasts at least so many seconds, and short calls of it are repeated.
TURN = 0.2

# Calls a function, and says how many seconds it took.
Timed = Callable[[], float]


def bare_and_wide(case: Case, width: int, turns: Turns) -> None:
    """Take turns at the bare loop, with a network of that width."""
    take_turns(BareLoop(case, wide(width)), Stopwatch(turns, case))


def called(prepare: Callable[[int], Timed], size: int, turns: Turns) -> None:
    """Take turns at a function that is prepared for a size."""
    timed = prepare(size)
    while True:
        turns.recv()
        calls = [timed()]
        while sum(calls) < TURN:
            calls.append(timed())
        turns.send(single_row(seconds=median(calls)))


def seconds_of(function: Callable[..., object], *arguments: object) -> float:
    began = time.perf_counter()
    function(*arguments)
    return time.perf_counter() - began


def checking(images: int) -> Timed:
    """Find out about images in memory what ``fit`` finds out at its start."""
    sets = noise(images, classes=10)
    return lambda: seconds_of(checked, *sets, 10)


def reporting(runs: int) -> Timed:
    """Analyse runs in memory, and publish the report of a comparison."""
    results = data.runs(runs)
    directory = RunDirectory("compared")

    def timed() -> float:
        divisions.cache_clear()  # a command makes one report
        return seconds_of(lambda: publish(report_of(results), directory))

    return timed


def choosing(trials: int) -> Timed:
    """Choose the next trial of a search, and note it in the journal."""
    earlier = data.search("earlier")
    SearchWorker(earlier, data.PLAN).study.add_trials(data.trials(trials))
    numbers = count()

    def timed() -> float:
        search = data.search(f"search-{next(numbers)}")  # without the trials of the turns before
        shutil.copytree(earlier.directory.path, search.directory.path)
        return seconds_of(SearchWorker(search, data.PLAN).next_trial, trials + 1)

    return timed
