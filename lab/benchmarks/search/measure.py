"""The trials of searches and of a grid, and the seconds that search.py and compare.py
take to start a run.
"""

import time
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from convblocks.compare.launch import refuse_missing, train
from convblocks.compare.trials import ROOT, all_trials, command_line
from convblocks.record.directory import RunDirectory
from convblocks.search import command as search
from convblocks.search.command import train_trials
from lab.benchmarks.rows import Row, Values, single_row
from lab.study.plan import FIRST_RATES, SCHEDULES

NAME = "benchmark-search"

# The options of each search.
SEARCHES = {"tpe": "--sampler tpe --pruner median", "random": "--sampler random --pruner none"}

GRID = {"lr": list(FIRST_RATES), "lr_scheduler": list(SCHEDULES)}

# Runs that last no longer than they must, one after the other.
SHORT = {
    "epochs": "1",
    "threads": "1",
    "data.val_size": "500",
    "trainer.limit_train_batches": "1",
    "trainer.limit_val_batches": "1",
    "trainer.limit_test_batches": "1",
}


def trials(options: Namespace, variant: str, repeat: int) -> Iterator[Values]:
    """Seconds of training and evaluation, and the validation accuracy of those that ran
    to their end.

    Of a search a trial costs the epochs that its run has ended, also those after the one
    in which it was pruned.
    """
    if variant == "grid":
        yield from gridded(options, repeat)
        return
    own = (
        f"--arch {options.arch} --trials {options.trials} --epochs {options.epochs} "
        f"--name {NAME}/{variant}-{repeat} --seed {1000 * repeat} --jobs {options.jobs} "
        f"{SEARCHES[variant]} --confirm 0"
    )
    command = [*own.split(), *command_line(options.given)]
    search.main(command)
    done = search.open_search(search.parse(command))
    ended = {trial.number: float(trial.values[0]) for trial in done.best()}
    for trial in done.trials():
        epochs = done.config.trial(trial.number, trial.params).metrics()
        values = {"seconds": sum(row["seconds"] for row in epochs)}
        if trial.number in ended:
            values["accuracy"] = ended[trial.number]
        yield values


def gridded(options: Namespace, repeat: int) -> Iterator[Values]:
    """Every point of the grid, once."""
    common = (("epochs", str(options.epochs)), ("threads", "1"), *options.given)
    directory = RunDirectory(f"{NAME}/grid")
    planned = all_trials(directory.name, [options.arch], [1000 * repeat], common, GRID)
    results = train(directory, planned, options.jobs)
    refuse_missing(planned, results)
    for result in results.values():
        values = {"seconds": result.seconds}
        if result.validation is not None:
            values["accuracy"] = result.validation
        yield values


def started(way: str, runs: int) -> list[Row]:
    """Seconds from one run's start to the next one's."""
    with TemporaryDirectory() as folder:
        overrides = (*SHORT.items(), (ROOT, folder))
        began = time.perf_counter()
        if way == "search":
            own = f"--arch mlp --space lr=1e-3..1e-2:log --name {way} --confirm 0 --jobs 1"
            command = [*own.split(), *command_line(overrides)]
            worker = search.open_search(search.parse(command))
            train_trials(worker, runs, jobs=1)
        else:
            planned = all_trials(way, ["mlp"], range(runs), overrides, {})
            directory = RunDirectory(way, Path(folder))
            refuse_missing(planned, train(directory, planned, jobs=1))
        seconds = time.perf_counter() - began
    return single_row(seconds=seconds / runs)
