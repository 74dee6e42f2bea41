"""What a search's best settings are worth: trained anew with fresh seeds, on all training images."""

from collections.abc import Sequence
from dataclasses import dataclass

from filelock import FileLock, Timeout
from optuna.trial import FrozenTrial

from convblocks.comparison.compare import fit_missing
from convblocks.comparison.outcomes import RunResult, read_outcome
from convblocks.comparison.statistics import SIGNIFICANCE, Test, least_p_paired, permutation_test, sign_flip_test
from convblocks.comparison.trials import Settings, Trial
from convblocks.comparison.verdicts import Row, row_of
from convblocks.errors import UserError
from convblocks.runs.directory import RunDirectory
from convblocks.search.plan import Plan
from convblocks.search.space import VAL_SIZE
from convblocks.search.study import best_first

DEFAULT = "default"

# No image is held out, and the test set is read once: at the end of a run.
ON_ALL_IMAGES = {VAL_SIZE: "0", "trainer.limit_val_batches": "0"}


@dataclass(frozen=True)
class Confirmed:
    """A setting's fresh runs.

    Args:
        name: Of the trial that had this setting, or "default".
        seen: The validation accuracy by which the search chose it; None for the default setting.
        row: What the runs gave; its accuracies are on the test set, of the runs that trained.
        difference: In test accuracy from the default setting; None for that itself, and where either has no run that
            trained.
    """

    name: str
    seen: float | None
    row: Row
    difference: Test | None

    @property
    def optimism(self) -> float | None:
        """By how much the search saw the setting better than it is."""
        if self.seen is None or self.row.accuracy is None:
            return None
        return self.seen - self.row.accuracy.mean


def confirm(
    plan: Plan, trials: Sequence[FrozenTrial], best: int, seeds: int, jobs: int, fit: bool
) -> list[Confirmed] | None:
    """Train the best settings and the default one with fresh seeds, as far as they are not; best validation first.

    Args:
        plan: The search.
        trials: All of its trials.
        best: How many of the best settings; with 0 nothing is trained.
        seeds: How many runs of each.
        jobs: Runs side by side.
        fit: Whether what is missing is trained; otherwise only what is there is told.

    Returns:
        None where another process is at it.

    Raises:
        UserError: some runs failed.
    """
    if not best:
        return []
    directory = RunDirectory(f"{plan.name}/confirm", plan.directory().logs.parent)
    chosen = _best_settings(plan, trials, best)
    fresh = {name: _runs(plan, directory.name, *setting, seeds) for name, setting in chosen.items()}
    if fit:
        directory.create()
        try:
            with FileLock(directory.path / ".confirming.lock", blocking=False):
                failed = fit_missing(directory, [one for runs in fresh.values() for one in runs], jobs)
        except Timeout:
            return None
        if failed:
            raise UserError(f"{failed[0].run.path} failed: see {failed[0].log}; the same command carries on")
    outcomes = {name: [read_outcome(one) for one in runs if one.state() == "done"] for name, runs in fresh.items()}
    seen = {f"trial_{one.number}": float(one.values[0]) for one in best_first(trials)}
    default = outcomes[DEFAULT]
    return [
        Confirmed(name, seen.get(name), row_of(runs), None if name == DEFAULT else difference(runs, default))
        for name, runs in outcomes.items()
        if runs
    ]


def difference(runs: Sequence[RunResult], others: Sequence[RunResult]) -> Test | None:
    """How two settings differ in test accuracy, over the runs that trained.

    Paired by seed where it is one network, and there are pairs enough to tell anything; a seed makes two networks no
    more alike.
    """
    first, second = ({one.seed: one.accuracy for one in own if not one.collapsed} for own in (runs, others))
    if not first or not second:
        return None
    pairs = [accuracy - second[seed] for seed, accuracy in first.items() if seed in second]
    if runs[0].arch == others[0].arch and least_p_paired(len(pairs)) < SIGNIFICANCE:
        return sign_flip_test(pairs)
    return permutation_test(list(first.values()), list(second.values()))


def on_all_images(settings: Settings) -> Settings:
    """The same settings without held-out images."""
    return tuple(pair for pair in settings if pair[0] not in ON_ALL_IMAGES) + tuple(ON_ALL_IMAGES.items())


def _best_settings(plan: Plan, trials: Sequence[FrozenTrial], count: int) -> dict[str, tuple[str, Settings]]:
    """Network and settings of the best trials, all different, and the default of the first network."""
    found: dict[str, tuple[str, Settings]] = {}
    for one in best_first(trials):
        arch, chosen = plan.chosen(one.params)
        setting = arch, on_all_images(plan.settings) + chosen
        if setting not in found.values() and len(found) < count:
            found[f"trial_{one.number}"] = setting
    return found | {DEFAULT: (plan.archs[0], on_all_images(plan.settings))}


def _runs(plan: Plan, name: str, arch: str, settings: Settings, seeds: int) -> list[Trial]:
    """Seeds begin after the one with which the search trained."""
    return [Trial(name, arch, settings, plan.seed + number) for number in range(1, seeds + 1)]
