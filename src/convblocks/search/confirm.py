"""The best settings of a search and the default, trained again with fresh seeds."""

from argparse import Namespace
from collections.abc import Sequence
from dataclasses import dataclass

from optuna.trial import FrozenTrial

from convblocks.compare.analysis import unit_of
from convblocks.compare.statistics import SIGNIFICANCE, mean_interval, permutation_test
from convblocks.compare.training import Arm, confirm, on_all_images
from convblocks.compare.trials import Start
from convblocks.figures.estimates import Estimate
from convblocks.run.directory import RunDirectory
from convblocks.run.result import RunResult
from convblocks.search.config import SearchConfig
from convblocks.search.worker import best_first

DEFAULT = "default"

# The test set is read once: at the end of a run.
TEST_ONCE = {"trainer.limit_val_batches": "0"}


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
    def trained(self) -> list[RunResult]:
        return [run for run in self.runs if not run.failed]

    @property
    def score(self) -> Estimate | None:
        """The mean of the runs that trained."""
        return mean_interval([run.score for run in self.trained], unit_of(self.trained)) if self.trained else None


def confirm_best(
    config: SearchConfig, trials: Sequence[FrozenTrial], options: Namespace, start: Start | None = None
) -> list[Confirmed]:
    """Train the best settings and the default with fresh seeds, if that is not done; best first, the default last.

    Args:
        config: Of the search.
        trials: All of its trials.
        options: How many of the best to ``confirm`` (with 0 nothing is trained) with how many ``seeds``, the number of
            ``jobs``, and ``no_fit`` if only finished runs are to be reported.
        start: Of ``fit_all``.

    Raises:
        BusyError: another process is training them.
        UserError: some runs failed.
    """
    if not options.confirm:
        return []
    common = on_all_images(config.overrides, **TEST_ONCE)
    arms: dict[str, Arm] = {}
    seen = {}
    for trial in best_first(trials, config.judge):
        arch, chosen = config.chosen(trial.params)
        arm = Arm(arch, common + chosen)
        if arm not in arms.values() and len(arms) < options.confirm:
            arms[f"trial_{trial.number}"], seen[f"trial_{trial.number}"] = arm, float(trial.values[0])
    arms[DEFAULT] = Arm(next(iter(arms.values())).arch, common)
    directory = RunDirectory(f"{config.name}/confirm", config.directory.logs.parent)
    seeds = range(config.seed + 1, config.seed + 1 + options.seeds)
    results = confirm(directory, arms, seeds, options.jobs, not options.no_fit, start)
    return [compare(name, seen.get(name), runs, results[DEFAULT]) for name, runs in results.items() if runs]


def compare(name: str, seen: float | None, runs: Sequence[RunResult], default: Sequence[RunResult]) -> Confirmed:
    """A setting against the default, over the runs that trained; of these, it must not have fewer to be better."""
    ours, others = ([run.score for run in own if not run.failed] for own in (runs, default))
    if name == DEFAULT or not ours or not others:
        return Confirmed(name, seen, runs)
    difference = permutation_test(ours, others, unit=unit_of(runs, of_difference=True))
    is_better = difference.p < SIGNIFICANCE and runs[0].judge.sign * difference.value > 0
    return Confirmed(name, seen, runs, difference, is_better and len(ours) * len(default) >= len(others) * len(runs))
