"""The figure of estimates with their intervals."""

import math
from collections.abc import Container, Mapping

import numpy as np
from matplotlib import rcParams
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from convblocks.compare.figure import mark_cut
from convblocks.figures.curves import wrapped
from convblocks.figures.estimates import SHARE, Estimate
from convblocks.figures.style import WIDTH, foreground, muted
from lab.estimates import excludes_zero, signed

# A space as wide as a digit.
WIDE = "\N{FIGURE SPACE}"

# Estimates by the title of their panel and their own name.
Groups = Mapping[str, Mapping[str, Estimate]]


def intervals_figure(
    groups: Groups, label: str, baseline: str = "", undecided: Container[str] = ()
) -> Figure:
    """A panel for each group of estimates, in per cent or points, on one scale that is
    named by ``label``, with a line through the ``baseline``.

    Hollow are shares that are ``undecided``, and differences whose interval has 0.
    """
    heights = [0.5 + 0.38 * len(own) for own in groups.values()]
    figure = Figure(figsize=(WIDTH, 0.5 + sum(heights)), layout="constrained")
    axes = figure.subplots(len(groups), 1, squeeze=False, sharex=True, height_ratios=heights)
    limits = _limits(groups)
    hollow = {
        one
        for own in groups.values()
        for name, one in own.items()
        if (name in undecided if one.unit == SHARE else not excludes_zero(one))
    }
    for panel, (title, own) in zip(np.ravel(axes), groups.items(), strict=True):
        _intervals(panel, own, limits, hollow)
        if baseline in own:
            at = 100 * own[baseline].value
            panel.axvline(at, color=muted(), linestyle="--", zorder=1)
            panel.text(at, len(own) - 0.5, f" {baseline}: {at:.0f} %", color=muted())
        panel.set_title(title)
    panel.set_xlabel(f"{label}; hollow: undecided" if hollow else label)
    return figure


def _limits(groups: Groups) -> tuple[float, float]:
    """Of an axis that holds 0 and all finite values."""
    found = [
        100 * end
        for own in groups.values()
        for one in own.values()
        for end in (one.value, one.low, one.high)
    ]
    finite = [value for value in found if math.isfinite(value)]
    low = min(0.0, *finite)
    high = max(0.0, *finite)
    margin = 0.04 * (high - low) or 1.0
    return low - margin, high + margin


def _intervals(
    axes: Axes,
    estimates: Mapping[str, Estimate],
    limits: tuple[float, float],
    hollow: Container[Estimate],
) -> None:
    """A row for each estimate: its name, a dot and the numbers."""
    left, right = limits
    axes.set(xlim=limits, ylim=(len(estimates) - 0.4, -0.6))
    axes.axvline(0, color=foreground(), linewidth=1)
    digits = max((len(signed(one).partition(" ")[0]) for one in estimates.values()), default=0)
    for row, one in enumerate(estimates.values()):
        low = 100 * one.low
        high = 100 * one.high
        if not math.isnan(low):
            axes.plot(
                [max(low, left), min(high, right)],
                [row, row],
                color=foreground(),
                linewidth=2,
                gid="interval",
            )
            mark_cut(axes, (low, high), row)
        inside = rcParams["axes.facecolor"] if one in hollow else foreground()
        axes.plot(
            100 * one.value,
            row,
            "o",
            color=foreground(),
            markerfacecolor=inside,
            markersize=7,
            gid="estimate",
        )
        value, _, interval = signed(one).partition(" ")
        text = f"{value.rjust(digits, WIDE)} {interval}".rstrip()
        axes.text(1.01, row, text, va="center_baseline", transform=axes.get_yaxis_transform())
    axes.set_yticks(range(len(estimates)), [wrapped(name, 28) for name in estimates])
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
