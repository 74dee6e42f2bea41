"""Rows are measured in rounds and kept whole; a ratio has the interval of its rounds."""

import pytest

from lab.benchmarks.rows import Results, Row, judged, ratio
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


def test_fewer_than_six_rounds_decide_nothing() -> None:
    five, six = (ratio([1.5] * rounds) for rounds in (5, 6))
    assert (judged(five), at_least(five, 1.0), at_most(five, 9.0)) == ("1.50: undecided", "undecided", "undecided")
    assert (judged(six), at_least(six, 1.0), at_most(six, 9.0)) == ("1.50 [1.50, 1.50]: more", "met", "met")
