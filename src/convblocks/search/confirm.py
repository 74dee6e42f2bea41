"""The best settings of a search, trained again with fresh seeds."""

from collections.abc import Sequence
from dataclasses import dataclass

from optuna.trial import FrozenTrial

from convblocks.compare.analysis import ArmSummary, difference_of_means, summarise
from convblocks.compare.training import Arm, confirm, on_all_images
from convblocks.compare.trials import Start
from convblocks.figures.estimates import Estimate
from convblocks.run.directory import RunDirectory
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
        seen: The score on validation data by which the search chose it; None for the default setting.
        summary: Of the runs; its scores are on test data, if there are any, of the runs that trained.
        difference: In score to the default setting; None for that itself, and if either has no run that
            trained.
        sign: 1 if more is better, else -1.
        measured: The name of the score of the fresh runs.
    """

    name: str
    seen: float | None
    summary: ArmSummary
    difference: Estimate | None
    sign: int
    measured: str

    @property
    def optimism(self) -> float | None:
        """By how much the search overestimated the setting."""
        if self.seen is None or self.summary.score is None:
            return None
        return self.sign * (self.seen - self.summary.score.value)


def confirm_best(
    config: SearchConfig,
    trials: Sequence[FrozenTrial],
    best: int,
    seeds: int,
    jobs: int,
    fit: bool,
    start: Start | None = None,
) -> list[Confirmed]:
    """Train the best settings and the default one with fresh seeds, if that is not done; the best validation first.

    Args:
        config: Of the search.
        trials: All of its trials.
        best: The number of best settings; with 0 nothing is trained.
        seeds: The number of runs of each, with the seeds after that of the search.
        jobs: Runs side by side.
        fit: Whether to train missing runs; otherwise only finished ones are reported.
        start: Of ``fit_all``.

    Raises:
        BusyError: another process is training them.
        UserError: some runs failed.
    """
    if not best:
        return []
    directory = RunDirectory(f"{config.name}/confirm", config.directory().logs.parent)
    arms = _best_arms(config, trials, best)
    results = confirm(directory, arms, range(config.seed + 1, config.seed + 1 + seeds), jobs, fit, start)
    seen = {f"trial_{one.number}": float(one.values[0]) for one in best_first(trials, config.judge)}
    default = results[DEFAULT]
    return [
        Confirmed(
            name,
            seen.get(name),
            summarise(runs),
            None if name == DEFAULT else difference_of_means(runs, default),
            config.judge.sign,
            runs[0].score_name,
        )
        for name, runs in results.items()
        if runs
    ]


def _best_arms(config: SearchConfig, trials: Sequence[FrozenTrial], count: int) -> dict[str, Arm]:
    """The arms of the best trials, all different, and the default setting of the best one's network."""
    found: dict[str, Arm] = {}
    for one in best_first(trials, config.judge):
        arch, chosen = config.chosen(one.params)
        arm = Arm(arch, on_all_images(config.overrides, **TEST_ONCE) + chosen)
        if arm not in found.values() and len(found) < count:
            found[f"trial_{one.number}"] = arm
    best = next(iter(found.values()))
    return found | {DEFAULT: Arm(best.arch, on_all_images(config.overrides, **TEST_ONCE))}
