"""The best settings of a search and the default, trained again with fresh seeds."""

from argparse import Namespace
from collections.abc import Sequence
from dataclasses import dataclass, replace

from convblocks.compare.analysis import Comparison, compare
from convblocks.compare.launch import Start
from convblocks.compare.train import on_all_images, refuse_missing, train
from convblocks.compare.trials import Trial
from convblocks.run.directory import RunDirectory
from convblocks.run.result import Overrides
from convblocks.search.config import SearchTrial
from convblocks.search.worker import SearchWorker

DEFAULT = "default"

# The test set is read once: at the end of a run.
TEST_ONCE = ("trainer.limit_val_batches", "0")


@dataclass(frozen=True)
class FreshTrial(Trial):
    """A run with a fresh seed of what a trial of the search chose, or of the default."""

    setting: str = DEFAULT

    @property
    def label(self) -> str:
        return f"{self.setting} seed {self.seed}"


def fresh_trials(trial: SearchTrial, seeds: Sequence[int], setting: str = DEFAULT) -> list[FreshTrial]:
    """Runs of the settings of a trial with fresh seeds, on all training images."""
    common = on_all_images(trial.common) + ((TEST_ONCE,) if trial.option == "arch" else ())
    name = f"{trial.comparison}/confirm"
    return [FreshTrial(name, trial.arch, common, trial.chosen, seed, trial.option, setting) for seed in seeds]


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
    best: dict[Overrides, SearchTrial] = {}  # of those with equal settings the first
    for found in worker.best():
        trial = worker.config.trial(found.number, found.params)
        best.setdefault(trial.chosen, trial)
    trials = fresh_trials(worker.config.default, options.seeds)
    for trial in list(best.values())[: options.confirm]:
        trials += fresh_trials(trial, options.seeds, trial.label)
    results = train(RunDirectory(trials[0].comparison, options.root), trials, options.jobs, start)
    refuse_missing(trials, results)
    return compare([replace(results[trial], arch=trial.setting) for trial in trials])
