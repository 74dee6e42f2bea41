"""The figure of intervals says which estimates are undecided, and what its line is."""

from matplotlib import rcParams
from matplotlib.axes import Axes

from convblocks.figures.estimates import POINTS, Estimate, share
from lab.intervals import intervals_figure

CERTAIN = Estimate(0.02, 0.01, 0.03, 12, unit=POINTS)
OPEN = Estimate(0.01, -0.01, 0.03, 12, unit=POINTS)
AS_IT_IS = share(9, 40)


def hollow(axes: Axes) -> list[bool]:
    dots = [line for line in axes.lines if line.get_gid() == "estimate"]
    return [dot.get_markerfacecolor() == rcParams["axes.facecolor"] for dot in dots]


def test_dot_of_a_difference_is_hollow_where_its_interval_has_0() -> None:
    (axes,) = intervals_figure({"one": {"a": CERTAIN, "b": OPEN}}, "points").axes
    assert hollow(axes) == [False, True]
    assert axes.get_xlabel() == "points; hollow: undecided"


def test_hollow_dots_are_not_explained_where_there_is_none() -> None:
    (axes,) = intervals_figure({"one": {"a": CERTAIN}}, "points").axes
    assert axes.get_xlabel() == "points"


def test_shares_are_hollow_if_they_are_undecided_and_the_line_has_its_name_and_value() -> None:
    shares = {"as it is": AS_IT_IS, "a": share(0, 40), "b": share(18, 40)}
    (axes,) = intervals_figure({"one": shares}, "runs in %", "as it is", ["b"]).axes
    assert hollow(axes) == [False, False, True]
    assert " as it is: 22 %" in [text.get_text() for text in axes.texts]
