"""The best settings of a search and the default, trained again with fresh seeds."""

from argparse import Namespace
from collections.abc import Sequence
from dataclasses import dataclass

from convblocks.compare.analysis import unit_of
from convblocks.compare.launch import Start
from convblocks.compare.statistics import SIGNIFICANCE, mean_interval, permutation_test
from convblocks.compare.train import on_all_images, refuse_missing, train
from convblocks.compare.trials import Trial
from convblocks.figures.estimates import Estimate
from convblocks.run.directory import RunDirectory
from convblocks.run.result import Overrides, RunResult
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


@dataclass(frozen=True)
class Confirmed:
    """The fresh runs of a setting.

    Args:
        name: Of the trial with this setting, or "default".
        seen: The score on validation data by which the search chose it; None for the default.
        runs: With test scores, if there are test data.
        difference: The mean score of the runs that trained minus that of the default's; None for the default itself,
            and if either has no run that trained.
        beats_default: Whether it is better at 5 %, and no more of its runs collapsed.
    """

    name: str
    seen: float | None
    runs: Sequence[RunResult]
    difference: Estimate | None = None
    beats_default: bool = False

    @property
    def score(self) -> Estimate | None:
        """The mean of the runs that trained."""
        scores = scores_of(self.runs)
        return mean_interval(scores, unit_of(self.runs)) if scores else None


def confirm_best(worker: SearchWorker, options: Namespace, start: Start | None = None) -> list[Confirmed]:
    """Train the best settings and the default with fresh seeds, if that is not done; best first, the default last.

    Args:
        worker: Of the search, whose trials have ended.
        options: How many of the best to ``confirm`` (with 0 nothing is trained) with how many ``seeds``, the number of
            ``jobs``, and ``no_fit`` if only finished runs are to be reported.
        start: Of ``fit_all``.

    Raises:
        BusyError: another process is training them.
        UserError: some runs failed.
    """
    if not options.confirm:
        return []
    config = worker.config
    common = on_all_images(config.common) + ((TEST_ONCE,) if config.option == "arch" else ())
    arms: dict[tuple[str, Overrides], str] = {}
    seen: dict[str, float] = {}
    for found in worker.best():
        own = config.trial(found.number, found.params)
        if (own.arch, own.chosen) not in arms and len(arms) < options.confirm:
            arms[own.arch, own.chosen], seen[own.label] = own.label, float(found.values[0])
    arms[next(iter(arms))[0], ()] = DEFAULT
    directory = RunDirectory(f"{config.name}/confirm", config.directory.logs.parent)
    trials = [
        FreshTrial(directory.name, arch, common, chosen, seed, config.option, setting)
        for (arch, chosen), setting in arms.items()
        for seed in options.seeds
    ]
    results = train(directory, trials, options.jobs, not options.no_fit, start)
    if not options.no_fit:
        refuse_missing(trials, results)
    runs = {
        setting: [results[one] for one in trials if one.setting == setting and one in results]
        for setting in arms.values()
    }
    return [compare(name, seen.get(name), own, runs[DEFAULT]) for name, own in runs.items() if own]


def compare(name: str, seen: float | None, runs: Sequence[RunResult], default: Sequence[RunResult]) -> Confirmed:
    """A setting against the default, over the runs that trained; of these, it must not have fewer to be better."""
    own, others = scores_of(runs), scores_of(default)
    if name == DEFAULT or not own or not others:
        return Confirmed(name, seen, runs)
    difference = permutation_test(own, others, unit=unit_of(runs, of_difference=True))
    is_better = difference.p < SIGNIFICANCE and runs[0].judge.sign * difference.value > 0
    return Confirmed(name, seen, runs, difference, is_better and len(own) * len(default) >= len(others) * len(runs))


def scores_of(runs: Sequence[RunResult]) -> list[float]:
    """Of those that trained."""
    return [run.score for run in runs if not run.failed]
