"""The best settings of a search and the default, trained again with fresh seeds."""

from argparse import Namespace
from collections.abc import Sequence
from dataclasses import replace

from convblocks.compare.analysis import Comparison, compare
from convblocks.compare.launch import Start, refuse_missing, train
from convblocks.compare.trials import Trial
from convblocks.run.directory import RunDirectory
from convblocks.run.result import Overrides
from convblocks.search.worker import SearchWorker

DEFAULT = "default"

# The test set is read once: at the end of a run.
TEST_ONCE = ("trainer.limit_val_batches", "0")


def fresh_trials(trial: Trial, seeds: Sequence[int]) -> list[Trial]:
    """Runs of the settings of a trial, or of the default, with fresh seeds, on all training images."""
    common = trial.common + ((TEST_ONCE,) if trial.option == "arch" else ())
    setting = replace(trial, common=common)
    return [setting.confirming(seed, f"{trial.place or DEFAULT}/seed_{seed}") for seed in seeds]


def confirm_best(worker: SearchWorker, options: Namespace, start: Start | None = None) -> Comparison | None:
    """Train the default and the best settings with fresh seeds, if that is not done, and compare them by their labels.

    Args:
        worker: Of the search, whose trials have ended.
        options: How many of the best to ``confirm``, with 0 there is no result; ``seeds``, ``jobs`` and ``root``.
        start: Of ``fit_all``.

    Raises:
        BusyError: another process is training them.
        UserError: some runs failed.
    """
    if not options.confirm:
        return None
    best: dict[Overrides, Trial] = {}  # of those with equal settings the first
    for chosen in worker.best():
        trial = worker.config.trial(chosen.number, chosen.params)
        best.setdefault(trial.chosen, trial)
    settings = [worker.config.default, *list(best.values())[: options.confirm]]
    trials = [fresh for trial in settings for fresh in fresh_trials(trial, options.seeds)]
    results = train(RunDirectory(trials[0].comparison, options.root), trials, options.jobs, start)
    refuse_missing(trials, results)
    return compare([replace(results[trial], arch=trial.place.partition("/")[0]) for trial in trials])
