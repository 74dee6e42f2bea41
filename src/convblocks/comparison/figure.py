"""A comparison as a picture."""

from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from convblocks.comparison.outcomes import Outcome, by_arch
from convblocks.comparison.statistics import mean_interval
from convblocks.comparison.trials import Settings

# Okabe and Ito's colours, told apart by the colour-blind; line styles and markers tell them apart in grey.
COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9"]
LINES = ["-", "--", "-.", ":"]
MARKERS = ["o", "s", "^", "D", "v", "P"]


class Style(NamedTuple):
    """How a curve looks."""

    colour: str
    line: str
    marker: str


def style(index: int) -> Style:
    """The look of the curve of that number; from the seventh on a colour comes again, with another line."""
    return Style(COLOURS[index % len(COLOURS)], LINES[index % len(LINES)], MARKERS[index % len(MARKERS)])


def comparison_figure(compared: Sequence[Outcome], swept: Sequence[Outcome], grid: Sequence[str]) -> Figure:
    """Loss and accuracy by epoch and every run's final accuracy; for a grid, accuracy against what was swept.

    Args:
        compared: Runs with one setting for each architecture; none where no such choice was made.
        swept: The runs at all points of the grid.
        grid: The options that were swept, each of them a panel.
    """
    count = (3 if compared else 0) + len(grid)
    figure = Figure(figsize=(5 * count, 4.2), layout="constrained")
    FigureCanvasAgg(figure)
    panels = list(figure.subplots(1, count, squeeze=False)[0])
    for option in reversed(grid):
        _swept(panels.pop(), swept, option, alone=len(grid) == 1)
    if compared:
        evaluated = "val" if all("val/acc" in outcome.epochs[0] for outcome in compared) else "test"
        _by_epoch(panels[0], compared, "train/loss", 1, "training loss")
        _by_epoch(panels[1], compared, f"{evaluated}/acc", 100, f"{evaluated} accuracy [%]")
        _final(panels[2], compared)
    return figure


def save(figure: Figure, path: Path) -> None:
    figure.savefig(path, dpi=120)


def _by_epoch(panel: Axes, outcomes: Sequence[Outcome], metric: str, scale: float, label: str) -> None:
    """Individual runs faint, their mean as a line, one standard deviation as a band; collapsed runs apart."""
    shown = []
    for index, (arch, runs) in enumerate(by_arch(outcomes).items()):
        look = style(index)
        own = [outcome for outcome in runs if not outcome.collapsed]
        if not own:
            continue
        # Runs may end themselves, and not every epoch need be evaluated.
        values = [[row.get(metric, np.nan) for row in outcome.epochs] for outcome in own]
        curves = scale * np.ma.masked_invalid(np.array(list(zip_longest(*values, fillvalue=np.nan))).T)
        epochs = np.arange(1, curves.shape[1] + 1)
        mean = curves.mean(axis=0)
        panel.plot(epochs, curves.T, color=look.colour, alpha=0.25, linewidth=0.7)
        panel.plot(epochs, mean, look.line, color=look.colour, marker=look.marker, label=arch)
        if len(own) > 1:
            deviation = curves.std(axis=0, ddof=1)
            panel.fill_between(epochs, mean - deviation, mean + deviation, color=look.colour, alpha=0.15)
        shown += own
    collapsed = len(outcomes) - len(shown)
    panel.set(xlabel="epoch", ylabel=label, title=f"{collapsed} collapsed not shown" if collapsed else "")
    panel.xaxis.set_major_locator(MaxNLocator(integer=True))
    panel.grid(alpha=0.3)
    if shown:
        panel.legend()


def _final(panel: Axes, outcomes: Sequence[Outcome]) -> None:
    """Every seed a dot, the mean of those that trained a bar; collapsed runs are crosses at the lower edge."""
    trained = [100 * outcome.accuracy for outcome in outcomes if not outcome.collapsed]
    low = min(trained, default=0)
    span = max(max(trained, default=100) - low, 0.1)
    floor = low - 0.15 * span
    for index, own in enumerate(by_arch(outcomes).values()):
        look = style(index)
        spread = index + np.linspace(-0.2, 0.2, len(own)) if len(own) > 1 else np.array([float(index)])
        for x, outcome in zip(spread, own, strict=True):
            y = floor if outcome.collapsed else 100 * outcome.accuracy
            marker = "x" if outcome.collapsed else look.marker
            panel.plot(x, y, marker, color=look.colour, markersize=6)
        finished = [100 * outcome.accuracy for outcome in own if not outcome.collapsed]
        if finished:
            panel.hlines(np.mean(finished), index - 0.3, index + 0.3, color="black", linewidth=1)
    collapsed = sum(outcome.collapsed for outcome in outcomes)
    panel.set_xticks(range(len(by_arch(outcomes))), list(by_arch(outcomes)))
    panel.set(ylabel="final test accuracy [%]", title=f"crosses: collapsed ({collapsed})" if collapsed else "")
    panel.set_ylim(floor - 0.1 * span, low + 1.1 * span)
    panel.grid(alpha=0.3, axis="y")


def _swept(panel: Axes, outcomes: Sequence[Outcome], option: str, alone: bool) -> None:
    """Mean accuracy of the runs that trained against a swept option, with its 95 % interval as a band."""

    def value(settings: Settings) -> str:
        return dict(settings)[option]

    values = list(dict.fromkeys(value(outcome.settings) for outcome in outcomes))
    numeric = all(_is_number(text) for text in values)
    for index, (arch, own) in enumerate(by_arch(outcomes).items()):
        look = style(index)
        points = []
        for position, text in enumerate(values):
            here = [100 * one.accuracy for one in own if value(one.settings) == text and not one.collapsed]
            if here:
                points.append((float(text) if numeric else position, mean_interval(here)))
        points.sort(key=lambda point: point[0])
        x = [point[0] for point in points]
        panel.plot(x, [mean.mean for _, mean in points], look.line, color=look.colour, marker=look.marker, label=arch)
        panel.fill_between(
            x, [mean.low for _, mean in points], [mean.high for _, mean in points], color=look.colour, alpha=0.15
        )
    if numeric and min(map(float, values)) > 0:
        panel.set_xscale("log")
    elif not numeric:
        panel.set_xticks(range(len(values)), values)
    collapsed = sum(outcome.collapsed for outcome in outcomes)
    remarks = [] if alone else ["over all other options"]
    remarks += [f"{collapsed} collapsed not shown"] if collapsed else []
    panel.set(xlabel=option, ylabel="final test accuracy [%]", title=", ".join(remarks))
    panel.grid(alpha=0.3)
    panel.legend()


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
