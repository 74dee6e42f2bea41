"""A comparison's picture, whatever was compared."""

from dataclasses import replace

from convblocks.comparison.figure import comparison_figure, style
from tests.comparison.test_verdicts import outcome


def test_a_dozen_curves_look_different() -> None:
    assert len({style(index) for index in range(12)}) == 12


def test_seven_architectures_are_drawn() -> None:
    names = [f"network {number}" for number in range(7)]
    runs = [replace(outcome("mlp", seed, 0.95), arch=name) for name in names for seed in range(2)]
    left, _, right = comparison_figure(runs, runs, []).axes
    assert [text.get_text() for text in left.get_legend().get_texts()] == names  # type: ignore[union-attr]  # it has one
    assert [label.get_text() for label in right.get_xticklabels()] == names
