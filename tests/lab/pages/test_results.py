"""The README's answer: what it says of each outcome, and what it never leaves out."""

import pytest

from lab.pages.errors import simulate
from lab.pages.results import answer, living_units
from lab.study.decision import decide
from lab.study.plan import NOTEBOOK
from lab.study.report import conclusions
from tests.lab.study.test_report import BEST, confirming, decided, dying


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


def test_living_units_are_those_of_the_worst_layer_of_the_runs_that_trained() -> None:
    """64 units of which 61 and 62 are dead; the collapsed run, in which all are, does not count."""
    dead = ({"dead/relu1": 0.0, "dead/relu2": share, "dead/relu3": 0.5} for share in (61 / 64, 62 / 64, 1.0))
    runs = [dying(seed, shares, 0.9, 0.1135 if seed == 2 else 0.98) for seed, shares in enumerate(dead)]
    others = [run for run in confirming(0.9930) if (run.arch, dict(run.overrides)["lr"]) != ("maxpool", NOTEBOOK.lr)]
    decision = decide([*others, *runs], {"mlp": BEST, "maxpool": BEST, "batchnorm": NOTEBOOK})
    assert living_units(decision, "maxpool") == "2 to 3 of the 64 units of relu2"
    assert living_units(decision, "own.Network") == ""


@pytest.mark.nightly
def test_plain_permutation_test_errs_more_often_where_spreads_differ() -> None:
    errors = simulate((12, 8), (0.17, 0.66), studies=400)
    assert errors["permutation of means"] > 1.3 * errors["studentized"]
    assert errors["studentized"] <= 40
