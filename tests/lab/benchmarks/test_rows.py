"""Rows are measured in rounds and kept whole; a ratio has the interval of its rounds."""

import math
from itertools import count

import numpy as np
import pytest

from lab.benchmarks.rows import Results, Row, judged, ratio, side
from lab.estimates import at_least, at_most


def test_cases_are_measured_in_every_round_in_random_order_which_is_the_same_each_time() -> None:
    def orders() -> list[str]:
        results = Results("a machine", None, [], rounds=6)
        results.measure([({"case": name}, lambda: [Row({}, {"seconds": 1.0})]) for name in "abc"], 6)
        return ["".join(str(row.labels["case"]) for row in results.rows if row.round == number) for number in range(6)]

    first = orders()
    assert {"".join(sorted(order)) for order in first} == {"abc"}
    assert len(set(first)) > 2
    assert orders() == first


def test_rows_get_labels_and_round_and_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    """Its first turn warms up and does not count."""
    turns, results = count(), Results("a machine", None, [], rounds=2)
    results.measure(
        [({"case": "a"}, lambda: [Row({}, {"turn": next(turns)}), Row({"part": 1}, {})])], rounds=2, warm_up=True
    )
    assert results.rows[::2] == [Row({"case": "a"}, {"turn": 1 + number}, number) for number in (0, 1)]
    assert results.rows[1].labels == {"case": "a", "part": 1}
    assert capsys.readouterr().out.splitlines() == ["warming up 1/1", "round 1/2  a: turn 1", "round 2/2  a: turn 2"]


def test_measurements_of_one_round_count_once() -> None:
    """As their geometric mean."""
    seconds = {"slow": [(4.0, 0), (9.0, 0), (18.0, 1), (8.0, 1)], "fast": [(1.0, 0), (2.0, 1)]}
    rows = [Row({"way": way}, {"seconds": value}, number) for way in seconds for value, number in seconds[way]]
    results = Results("a machine", None, [], rounds=2, rows=rows)
    assert results.by_round("seconds", way="slow") == pytest.approx([6.0, 12.0])
    assert str(results.ratio("seconds", {"way": "slow"}, {"way": "fast"})) == "6.00"


def test_ratio_is_the_median_between_order_statistics() -> None:
    """Of 12 rounds in any order the third and the tenth ratio."""
    ratios = [7.0, 12.0, 3.0, 1.0, 10.0, 4.0, 2.0, 11.0, 6.0, 9.0, 5.0, 8.0]
    below = [2.0**number for number in range(12)]
    above = [factor * value for factor, value in zip(ratios, below, strict=True)]
    measured, swapped = ratio(above, below), ratio(below, above)
    assert (measured.value, measured.low, measured.high, measured.n) == (6.5, 3.0, 10.0, 12)
    assert (1 / swapped.high, 1 / swapped.low) == pytest.approx((3.0, 10.0))


def test_intervals_of_ten_rounds_cover_at_least_as_often_as_they_say() -> None:
    """1,000 experiments with a median ratio of 1.2 and a skewed distribution."""
    random = np.random.default_rng(0)
    samples = 1.2 * np.exp(random.exponential(1.0, (1000, 10)) - math.log(2))
    measured = [ratio(list(sample)) for sample in samples]
    assert np.mean([estimate.low <= 1.2 <= estimate.high for estimate in measured]) >= 0.95


def test_fewer_than_six_rounds_decide_nothing() -> None:
    five, six = (ratio([1.5] * rounds) for rounds in (5, 6))
    assert (judged(five), at_least(five, 1.0), at_most(five, 9.0)) == ("1.50: undecided", "undecided", "undecided")
    assert (judged(six), at_least(six, 1.0), at_most(six, 9.0)) == ("1.50 [1.50, 1.50]: more", "met", "met")


def test_ratio_is_on_one_side_of_1_if_all_of_its_interval_is() -> None:
    samples = ([1.1, 1.2], [0.8, 0.9], [0.9, 1.2], [1.0])
    assert [side(ratio(6 * ratios)) for ratios in samples] == ["more", "less", "undecided", "undecided"]
