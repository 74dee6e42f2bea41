"""The decision of the study's second stage, and its report."""

from collections.abc import Sequence
from random import Random

import pytest

from convblocks.comparison.details import differences_tables
from convblocks.comparison.study.decision import Decision, decide, runs_needed
from convblocks.comparison.study.plan import CONFIRMING_SEEDS, NOTEBOOK, Cell
from convblocks.comparison.study.report import conclusions, decision_tables, differences_of, images_table
from convblocks.comparison.wording import MEASURES
from convblocks.figures.sweep import sweep_figure
from convblocks.runs.result import RunResult
from tests.comparison.made_up import CHANCE, result

BEST = Cell("3e-3", "onecycle")
CHOICES = {"mlp": BEST, "maxpool": BEST, "batchnorm": NOTEBOOK}


def at(arch: str, cell: Cell, accuracy: float, collapsed: int = 0, spread: float = 0.0005) -> list[RunResult]:
    """Twelve runs around an accuracy, of which the first have collapsed; each has a tenth of its mistakes in common."""
    found = []
    for place, seed in enumerate(CONFIRMING_SEEDS):
        wanted = CHANCE if place < collapsed else accuracy + spread * (place % 3 - 1)
        wrong = tuple(sorted(Random(f"{arch} {seed}").sample(range(10_000), round(10_000 * (1 - wanted)))))
        found.append(result(arch, seed, 1 - len(wrong) / 10_000, cell.overrides, mistakes=wrong))
    return found


def decided(maxpool: float, batchnorm: float = 0.99, collapsed: int = 0, spread: float = 0.0005) -> Decision:
    """With these accuracies at the best settings; at the notebook's the MLP has 95 %, MaxPool 96 and BatchNorm 99."""
    runs = [
        *at("mlp", NOTEBOOK, 0.95),
        *at("maxpool", NOTEBOOK, 0.96, collapsed=2),
        *at("mlp", BEST, 0.98),
        *at("maxpool", BEST, maxpool, collapsed, spread),
        *at("batchnorm", NOTEBOOK, batchnorm, 0, spread),
    ]
    return decide(runs, CHOICES)


@pytest.mark.parametrize(
    ("maxpool", "expected"), [(0.9930, "first is better"), (0.9870, "second is better"), (0.9900, "equivalent")]
)
def test_the_interval_of_the_test_decides(maxpool: float, expected: str) -> None:
    assert decided(maxpool).ruling == expected


def test_the_verdict_names_the_better_network_and_its_lead() -> None:
    first, new_images, at_notebooks, lost = conclusions(decided(0.9870))
    assert first.startswith(
        "Each at its own best setting, BatchNorm (lr 1e-2, constant) is better than MaxPool (lr 3e-3, onecycle) by "
        "0.30 points [0."
    )
    assert first.endswith(" (p < 0.0001, 12 runs of each).")
    assert new_images.startswith("With other seeds and other images, the difference would be -0.30 points [-0.")
    assert at_notebooks.startswith(
        "At the notebook's setting, among the runs that trained, BatchNorm is better than MaxPool"
    )
    assert lost.startswith("At the notebook's setting, MaxPool collapsed in 2 of 12 runs")


def test_the_figure_has_the_intervals_of_the_tables() -> None:
    decision = decided(0.9870)
    *_, notebook, best = sweep_figure(at("mlp", NOTEBOOK, 0.95), differences_of(decision)).axes
    for panel, comparison in ((notebook, decision.at_notebooks), (best, decision.at_best)):
        (table,) = differences_tables(comparison)
        rows = [row for row in table.rows if row[0] == MEASURES["accuracy"]]
        drawn = {text.get_text() for text in panel.texts}
        assert drawn == {row[1] for row in rows} | {row[3].replace("-", "\N{MINUS SIGN}") for row in rows}


def test_a_wide_interval_around_zero_decides_nothing_and_says_how_many_runs_it_takes() -> None:
    found = decided(0.9905, spread=0.004)
    assert found.ruling == "undecided"
    assert found.needed is not None
    assert found.needed > len(CONFIRMING_SEEDS)
    assert f"about {found.needed} runs of each would find such a difference in 90 % of studies" in conclusions(found)[0]


def test_if_a_run_collapsed_ranks_decide() -> None:
    """Six of twelve lost: MaxPool is better if it trains, and of a run that is started now nobody knows."""
    found = decided(0.9930, collapsed=6)
    assert found.ruling == "undecided"
    assert "maxpool wins in 50 %" in conclusions(found)[0]
    assert "if trained +0.30" in conclusions(found)[0]


def test_runs_that_collapsed_are_not_equivalent_to_anything() -> None:
    assert decided(0.99, collapsed=1).ruling == "undecided"


def test_the_number_of_runs_is_that_of_the_formula() -> None:
    """N = (s1^2 + s2^2) (1.960 + 1.282)^2 / d^2: 2 * 1 * 10.51 / 1 for a difference of one standard deviation."""
    assert runs_needed([0.0, 1.0, 2.0], [1.0, 2.0, 3.0]) == 22


@pytest.mark.parametrize(("first", "second"), [([1.0, 2.0], [2.0, 1.0]), ([1.0], [2.0, 3.0]), ([], [])])
def test_no_number_of_runs_is_told_where_none_would_do(first: Sequence[float], second: Sequence[float]) -> None:
    assert runs_needed(first, second) is None


def test_both_settings_have_their_rows_and_verdicts() -> None:
    found = decided(0.9930)
    table, claims, _ = decision_tables(found)
    assert [row[0] for row in table.rows] == ["mlp", "maxpool", "batchnorm"] * 2
    assert claims.columns[1:3] == ["notebook's setting", "best setting"]
    much_better = [row for row in claims.rows if row[0].startswith("BatchNorm is much better")]
    assert much_better[0][1:3] == ["supported", "not supported"]


def test_a_verdict_that_depends_on_the_reading_tells_both() -> None:
    found = decided(0.9930, collapsed=4)
    (lower,) = (row for row in decision_tables(found)[1].rows if row[0].startswith("Both convolutional networks test"))
    assert lower[2] == "undecided (supported)"


def test_images_that_one_network_alone_gets_right_are_counted() -> None:
    runs = [
        *(result("maxpool", seed, 0.9997, BEST.overrides, mistakes=(1, 2, 3)) for seed in (1, 2)),
        *(result("batchnorm", seed, 0.9999, NOTEBOOK.overrides, mistakes=(3,)) for seed in (1, 2)),
        result("maxpool", 1, 0.96, NOTEBOOK.overrides),
    ]
    found = decide(runs, CHOICES).by_image
    assert images_table(found).rows[0][:4] == ["maxpool - batchnorm", "0.0", "2.0", "0 of 2"]


def test_runs_that_do_not_tell_their_mistakes_are_not_compared_by_image() -> None:
    runs = [
        result(arch, seed, 0.98, cell.overrides)
        for arch, choice in CHOICES.items()
        for cell in {NOTEBOOK, choice}
        for seed in (1, 2)
    ]
    assert decide(runs, CHOICES).by_image == ()
