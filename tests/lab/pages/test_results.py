"""The README's answer: what it says of each outcome, and what it never leaves out."""

import pytest

from lab.pages.errors import simulate
from lab.pages.results import answer
from lab.study.report import conclusions
from tests.lab.study.test_report import decided


def test_answer_names_the_winner_at_both_settings_the_cost_and_the_collapses() -> None:
    assert answer(decided(0.9930)) == (
        "**It depends on the learning rate.** Tuned, MaxPool wins: it gets 99.29 % of MNIST's test images right, "
        "against BatchNorm's 98.99 % and the MLP's 97.99 %, for 3.5 times the arithmetic of BatchNorm. At the "
        "notebook's constant rate of 0.01 BatchNorm wins with 98.99 %: 2 of 8 runs of MaxPool collapse to chance, and "
        "the others learn with 16 to 21 of the 100 units of block 3 alive."
    )


def test_answer_may_be_the_other_network() -> None:
    text = answer(decided(0.9870))
    assert text.startswith(
        "Tuned, BatchNorm wins: it gets 98.99 % of MNIST's test images right, against MaxPool's 98.69"
    )
    assert "0.3 times the arithmetic of MaxPool" in text


@pytest.mark.parametrize(("accuracy", "collapsed"), [(0.9900, 0), (0.9930, 1), (0.9930, 4)])
def test_answer_that_is_not_decided_by_means_is_the_reports(accuracy: float, collapsed: int) -> None:
    decision = decided(accuracy, collapsed)
    assert answer(decision) == " ".join(conclusions(decision))


@pytest.mark.nightly
def test_plain_permutation_test_errs_more_often_where_spreads_differ() -> None:
    errors = simulate((12, 8), (0.17, 0.66), studies=400)
    assert errors["permutation of means"] > 1.3 * errors["studentized"]
    assert errors["studentized"] <= 40
