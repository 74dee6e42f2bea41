"""How often tests of two means err at the study's own spreads: simulated studies in
which the means are equal.

`python -m lab.train errors` simulates them and writes docs/data/errors.json,
docs/lab/results.md has the table.
"""

from itertools import combinations
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray
from scipy import stats

from convblocks.compare.analysis import Summary
from convblocks.compare.means import permutation_test
from convblocks.compare.statistics import SIGNIFICANCE
from convblocks.figures.estimates import share
from convblocks.figures.tables import Table
from convblocks.text import as_json
from exact_resume.files import write
from lab.pages.writing import read_raw_numbers, table
from lab.results import read_results
from lab.study.decision import PRIMARY, decide
from lab.study.stages import choices_of

STUDIES = 1000
PERMUTATIONS = 999

# Of many studies, of shape (studies, runs); a test has the p-value of each.
Samples = NDArray[np.float64]


def permuted_means(first: Samples, second: Samples) -> NDArray[np.float64]:
    """The permutation test of the difference itself, which assumes equal spreads."""

    def distance(left: Samples, right: Samples, axis: int) -> NDArray[np.float64]:
        return np.asarray(np.abs(left.mean(axis=axis) - right.mean(axis=axis)))

    test = stats.permutation_test(
        (first, second),
        distance,
        alternative="greater",
        n_resamples=PERMUTATIONS,
        axis=1,
        rng=0,
        batch=50,
    )
    return np.asarray(test.pvalue)


def studentized(first: Samples, second: Samples) -> NDArray[np.float64]:
    """The test that reports use."""
    studies = zip(first.tolist(), second.tolist(), strict=True)
    return np.array([permutation_test(*study, level=0).p for study in studies])


def welch(first: Samples, second: Samples) -> NDArray[np.float64]:
    return np.asarray(stats.ttest_ind(first, second, axis=1, equal_var=False).pvalue)


TESTS = {"permutation of means": permuted_means, "studentized": studentized, "Welch": welch}


class Rates(msgspec.Struct):
    """How many of so many studies each test rejects, for two networks' runs and their
    standard deviations.
    """

    networks: str
    runs: tuple[int, int]
    deviations: tuple[float, float]
    studies: int
    rejected: dict[str, int]


def simulate(runs: tuple[int, int], deviations: tuple[float, float]) -> dict[str, int]:
    """How many of so many studies each test rejects: normal samples of these sizes and
    deviations, equal means.
    """
    rng = np.random.default_rng(0)
    first, second = (
        rng.normal(0, spread, (STUDIES, n)) for n, spread in zip(runs, deviations, strict=True)
    )
    return {name: int(np.sum(test(first, second) < SIGNIFICANCE)) for name, test in TESTS.items()}


def write_rates(data: Path) -> None:
    """Simulate studies of the pairs of networks."""
    rates = [
        Rates(networks, runs, deviations, STUDIES, simulate(runs, deviations))
        for networks, runs, deviations in spreads_of(data)
    ]
    write(data / "errors.json", as_json(msgspec.to_builtins(rates), indent=1) + "\n")


def spreads_of(data: Path) -> list[tuple[str, tuple[int, int], tuple[float, float]]]:
    """The runs and the standard deviations of pairs of the study's networks, by what is compared.

    At the notebook's setting, and those of the primary comparison.
    """
    choices = choices_of(read_results(data / "study-choose.jsonl"))
    decision = decide(read_results(data / "study-confirm.jsonl"), choices)
    best = [arm for arm in decision.at_best.arms if arm.arch in PRIMARY]
    found = []
    for setting, arms in {
        "notebook's setting": decision.at_notebooks.arms,
        "best settings": best,
    }.items():
        for first, second in combinations(arms, 2):
            name = f"{first.arch}, {second.arch}: {setting}"
            runs = first.trained_runs, second.trained_runs
            found.append((name, runs, (_deviation(first), _deviation(second))))
    return found


def _deviation(arm: Summary) -> float:
    """Of the accuracies of the runs that trained, in points."""
    return round(100 * arm.score.deviation, 4) if arm.score else 0.0


def errors_table(data: Path) -> Table:
    """The rates of errors with their intervals."""
    rates = read_raw_numbers(data, "errors", list[Rates])
    rows = [
        {
            "networks": rate.networks,
            "n": "{}, {}".format(*rate.runs),
            "sd": "{:.2f}, {:.2f}".format(*rate.deviations),
            **{name: str(share(count, rate.studies)) for name, count in rate.rejected.items()},
        }
        for rate in rates
    ]
    least, *_, most = sorted(rate.rejected["studentized"] / rate.studies for rate in rates)
    note = f"""
        The share of {STUDIES:,} simulated studies in which a test at
        5 % finds a difference of means where there is none: normal
        samples with the n and sd, in points, of the runs that trained.
        Reports use the studentized test, which errs in {100 * least:.0f}
        to {100 * most:.0f} % of them. `python -m lab.train errors`
        simulates them again.
    """
    return table("How often the tests err", rows, note)
