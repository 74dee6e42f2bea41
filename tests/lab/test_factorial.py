"""The factorial's analysis agrees with what a mean is, and its wider intervals hold the
choice of the rate too.
"""

from collections.abc import Sequence
from itertools import product
from statistics import fmean

import numpy as np
import pytest

from convblocks.figures.estimates import POINTS, Estimate
from convblocks.record.result import RunResult
from lab.factorial import (
    OPERATIONS,
    Effect,
    Tuned,
    contrast,
    differences,
    simple_effects,
    tuned,
    verdict_on_pooling,
)
from lab.pages.factorial import (
    factorial_figure,
    factorial_sentence,
    pooling_sentence,
    readme_sentence,
)
from lab.pages.writing import DATA
from lab.results import is_confirming, read_results
from tests.made_up import result


def runs_at(rate: str, held_out: Sequence[float]) -> list[RunResult]:
    return [
        result("maxpool", seed, 0.99, (("lr", rate),), validation=value)
        for seed, value in enumerate(held_out)
    ]


@pytest.fixture(scope="module")
def factorial() -> list[RunResult]:
    return read_results(DATA / "factorial.jsonl")


def test_simple_effects_of_an_operation_average_to_its_main_effect(
    factorial: list[RunResult],
) -> None:
    networks = tuned(factorial)
    effects = simple_effects(networks)
    assert len(effects) == 12
    for place, (plus, name) in enumerate(OPERATIONS.values()):
        signs = [1 / 4 if levels[place] == plus else -1 / 4 for levels in networks]
        main = contrast([network.trained for network in networks.values()], signs, 1)
        assert np.mean(
            [effect.given.value for effect in effects if effect.name == name]
        ) == pytest.approx(main.value)


@pytest.mark.slow
def test_titles_of_the_figure_are_the_significant_effects_beside_each_downsampling(
    factorial: list[RunResult],
) -> None:
    effects = simple_effects(tuned(factorial))
    for axes, level in zip(factorial_figure(factorial).axes, ("maxpool", "stride"), strict=True):
        for name, words in (("batch", "batch normalisation helps"), ("aver", "averaging hurts")):
            own = [
                effect.given
                for effect in effects
                if effect.name.startswith(name) and level in effect.where
            ]
            assert (words in axes.get_title()) == all(given.p < 0.05 for given in own)


def test_choice_of_the_rate_is_a_further_error_where_two_rates_are_nearly_alike() -> None:
    confirming = [
        result("maxpool", 100 + seed, 0.99 + seed / 1e4, (("lr", "1e-2"),)) for seed in range(5)
    ]
    clear = Tuned(
        {"1e-3": runs_at("1e-3", [0.9] * 5), "1e-2": runs_at("1e-2", [0.99] * 5)}, confirming
    )
    close = Tuned(
        {
            "1e-3": runs_at("1e-3", [0.984, 0.994, 0.983, 0.993, 0.985]),
            "1e-2": runs_at("1e-2", [0.989, 0.990, 0.991, 0.992, 0.990]),
        },
        confirming,
    )
    (sure,), (unsure,) = (
        differences({("a",): clear, ("b",): other}, [("a", "b", ("a",), ("b",))])
        for other in (clear, close)
    )
    assert (sure.with_choice.low, sure.with_choice.high) == (sure.given.low, sure.given.high)
    assert unsure.with_choice.low < unsure.given.low
    assert unsure.with_choice.high > unsure.given.high


@pytest.mark.parametrize(
    ("low_rate", "high_rate"),
    [((0.985, 0.987), (0.990, 0.984)), ((0.9851, 0.9872, 0.9863), (0.991, 0.984, 0.985))],
)
def test_error_of_the_choice_has_the_spread_that_drawing_again_makes_too_small(
    low_rate: tuple[float, ...], high_rate: tuple[float, ...]
) -> None:
    n = len(low_rate)
    network = Tuned(
        {"1e-3": runs_at("1e-3", low_rate), "1e-2": runs_at("1e-2", high_rate)},
        [result("maxpool", 100, 0.99, (("lr", "1e-2"),))],
    )
    others = [
        fmean(low_rate[seed] for seed in seeds) > fmean(high_rate[seed] for seed in seeds)
        for seeds in product(range(n), repeat=n)
    ]
    changed = fmean(low_rate) - fmean(high_rate)
    changes = network.changes(np.random.default_rng(0))
    assert np.mean(changes**2) == pytest.approx(changed**2 * fmean(others) * n / (n - 1), rel=0.05)


@pytest.mark.slow
def test_readme_says_what_pooling_and_normalisation_add_in_one_sentence(
    factorial: list[RunResult],
) -> None:
    sentence = readme_sentence(factorial)
    beside_maxpool = [
        effect.given.value
        for effect in simple_effects(tuned(factorial))
        if effect.name == "batch normalisation" and "maxpool" in effect.where
    ]
    low, high = (f"{100 * limit(beside_maxpool):+.2f}" for limit in (min, max))
    assert f"{low} to {high} beside MaxPool".replace("-", "\N{MINUS SIGN}") in sentence
    assert "MaxPool instead of stride 2 adds +0.19 to +0.46 points" in sentence
    assert "8 combinations of pooling, normalisation and head (tuned, n = 12 each)" in sentence
    assert sentence.count(". ") == 0


@pytest.mark.parametrize(
    ("average", "subsample_p", "expected"),
    [
        ((-0.03, -0.07, 0.09), 0.001, "Pooling, by largest value or mean, beats discarding three "),
        ((-0.03, -0.07, 0.09), 0.5, "The mean is not worse than the largest value by as much as "),
        ((0.05, -0.01, 0.11), 0.5, "The mean may be worse than the largest value by as much as "),
    ],
)
def test_sentence_on_pooling_follows_from_the_intervals(
    average: tuple[float, float, float], subsample_p: float, expected: str
) -> None:
    def effect(
        name: str, where: str, points: tuple[float, float, float], p: float = 0.001
    ) -> Effect:
        value, low, high = (point / 100 for point in points)
        given = Estimate(value, low, high, 12, p, POINTS)
        return Effect(name, where, given, given)

    sentence = pooling_sentence(
        [
            effect("MaxPool", "subsample", (0.25, 0.22, 0.29), subsample_p),
            effect("MaxPool", "average", average),
            effect("average", "stride", (0.35, 0.29, 0.40)),
        ]
    )
    assert sentence.startswith(expected)


@pytest.mark.parametrize("experiment", ["factorial", "controls"])
def test_chosen_rates_are_neither_the_least_nor_the_largest_tried(experiment: str) -> None:
    """The protocol tries further ones until they are not."""
    networks = tuned(read_results(DATA / f"{experiment}.jsonl"))
    for network in networks.values():
        least, *_, largest = sorted(network.choosing, key=float)
        assert network.rate not in (least, largest)


@pytest.mark.parametrize(
    ("leads", "expected"),
    [
        (
            {
                "subsample": (0.3, 0.2, 0.4),
                "average": (0.2, 0.1, 0.3),
                "wide-stride": (0.2, 0.1, 0.3),
            },
            "pooling",
        ),
        (
            {
                "subsample": (0.3, 0.2, 0.4),
                "average": (0.0, -0.05, 0.05),
                "wide-stride": (0.2, 0.1, 0.3),
            },
            "resolution",
        ),
        (
            {
                "subsample": (0.3, 0.2, 0.4),
                "average": (0.2, 0.1, 0.3),
                "wide-stride": (0.0, -0.05, 0.05),
            },
            "arithmetic",
        ),
        (
            {
                "subsample": (0.3, 0.2, 0.4),
                "average": (0.1, -0.2, 0.3),
                "wide-stride": (0.1, -0.1, 0.3),
            },
            "undecided",
        ),
    ],
)
def test_verdict_on_pooling_is_the_protocols(
    leads: dict[str, tuple[float, float, float]], expected: str
) -> None:
    effects = {
        name: Estimate(value / 100, low / 100, high / 100, 12, 0.001 if low > 0 else 0.5, POINTS)
        for name, (value, low, high) in leads.items()
    }
    assert verdict_on_pooling(effects) == expected


def test_operations_without_a_significant_effect_are_said_to_change_nothing(
    factorial: list[RunResult],
) -> None:
    few = sorted({run.seed for run in factorial if is_confirming(run)})[:2]
    runs = [run for run in factorial if run.seed in few or not is_confirming(run)]
    assert "batch normalisation significantly changes accuracy in 0 of 4 networks; " in (
        factorial_sentence(runs)
    )
