"""The analysis of runs and of a grid, beyond the numbers in the expected reports of test_report.py."""

from collections.abc import Iterable, Mapping
from itertools import product

from convblocks.compare.analysis import compare
from convblocks.run.result import RunResult
from tests.made_up import as_claimed, short

RATES = ("1e-3", "3e-3", "1e-2")
SCHEDULES = ("constant", "onecycle")

BEST = {"mlp": ("3e-3", "onecycle"), "maxpool": ("1e-3", "constant")}


def grid(archs: Iterable[str], best: Mapping[str, tuple[str, str]] = BEST, seeds: int = 5) -> list[RunResult]:
    """Runs at every learning rate and schedule: validation is best at the given ones, the test set elsewhere.

    Without ``best`` there are no validation images.
    """
    return [
        short(
            arch,
            seed,
            accuracy=0.97 - 0.01 * (arch == "mlp") + 0.001 * RATES.index(rate) + 0.0001 * (seed * 3 % 5),
            overrides=(("lr", rate), ("lr_scheduler", schedule)),
            validation=(0.98 if best[arch] == (rate, schedule) else 0.95) if best else None,
        )
        for rate, schedule, arch, seed in product(RATES, SCHEDULES, archs, range(seeds))
    ]


def test_comparison_pairs_no_networks_by_seed_and_may_lack_a_run() -> None:
    runs = [run for run in as_claimed(7) if (run.arch, run.seed) != ("mlp", 4)]
    comparison = compare(runs)
    assert [difference.runs for difference in comparison.differences] == [(7, 7), (7, 6), (7, 6)]
    shuffled = [short(run.arch, 6 - run.seed, run.score, run.epochs[-1]["train/loss"]) for run in runs]
    assert compare(shuffled).differences == comparison.differences
