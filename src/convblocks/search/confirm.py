"""The best settings of a search and the default, trained again with fresh seeds."""

from argparse import Namespace
from collections.abc import Sequence
from dataclasses import dataclass

from convblocks.compare.analysis import Summary, difference, summarise
from convblocks.compare.launch import Start
from convblocks.compare.statistics import SIGNIFICANCE
from convblocks.compare.train import finished, on_all_images, refuse_missing, train
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
        summary: Of the runs; their scores are on test data, if there are any.
        measured: The name of these scores.
        difference: The mean score minus that of the default; None for the default itself, and if either has no run
            that trained.
        beats_default: Whether it is better at 5 %, and no more of its runs collapsed.
    """

    name: str
    seen: float | None
    summary: Summary
    measured: str
    difference: Estimate | None = None
    beats_default: bool = False


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
    results = finished(trials) if options.no_fit else train(directory, trials, options.jobs, start)
    if not options.no_fit:
        refuse_missing(trials, results)
    runs = {
        setting: [results[one] for one in trials if one.setting == setting and one in results]
        for setting in arms.values()
    }
    return [compare(name, seen.get(name), own, runs[DEFAULT]) for name, own in runs.items() if own]


def compare(name: str, seen: float | None, runs: Sequence[RunResult], default: Sequence[RunResult]) -> Confirmed:
    """The runs of a setting against those of the default, which any that trains beats if no run of it does."""
    summary, measured = summarise(runs), runs[0].score_name
    lead = difference(runs, default).trained if default and name != DEFAULT else None
    if lead is None:
        beats = name != DEFAULT and summary.trained_runs > 0 and bool(default)
        return Confirmed(name, seen, summary, measured, None, beats)
    is_better = lead.p < SIGNIFICANCE and runs[0].judge.sign * lead.value > 0
    collapses = summary.trained.value < summarise(default).trained.value
    return Confirmed(name, seen, summary, measured, lead, is_better and not collapses)
