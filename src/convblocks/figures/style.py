"""The style of all figures: light and dark, readable in grey and at the 700 pixels that
a page may leave them.
"""

import math
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from matplotlib import rc_context, rc_params_from_file, rcParams
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullLocator

# The widths of figures, in inches of 160 pixels; a narrow one is for a phone, or half a page.
WIDTH = 10.0
NARROW = WIDTH / 2

# The sizes of letters, in points. They are 11 pixels high in a figure that is shown 700 pixels
# wide; small ones, for counts and captions, in one that is shown 838 pixels wide.
LETTERS, SMALL = 11.5, 9.5

# The most ticks of a logarithmic axis: with more it has those at powers of ten only. Below a
# narrow figure there is room for fewer.
MOST_TICKS, NARROW_TICKS = 9, 4

# The styles of lines and points, which distinguish curves in grey, as colours do on a screen. A
# dotted line is a run that collapsed.
LINES: tuple[Any, ...] = ("-", "--", "-.", (0, (6, 1, 1, 1, 1, 1)))
MARKERS = ("o", "s", "^", "D", "v", "P")

# Styles from this number on are for anything but the networks of the course, which have
# those before it.
OTHERS = 3

# Settings of matplotlib.
Theme = dict[Any, Any]

# A function that makes a figure.
Draw = Callable[[], Figure]


def _theme(name: str) -> Theme:
    path = Path(__file__).with_name(f"{name}.mplstyle")
    return dict(rc_params_from_file(path, use_default_template=False))


LIGHT = _theme("light")
DARK = LIGHT | _theme("dark")


@contextmanager
def themed(theme: Theme = LIGHT) -> Iterator[None]:
    """Figures have the theme where they are made and where they are saved, since ticks
    are made late.

    There are no warnings of letters that the font lacks: pages have their text as text.
    """
    with rc_context(theme), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        yield


def render(draw: Draw) -> Figure:
    """The figure that ``draw`` makes, with a canvas."""
    figure = draw()
    FigureCanvasAgg(figure)
    return figure


def save(draw: Draw, path: Path, theme: Theme = LIGHT) -> Figure:
    """Save the figure that ``draw`` makes, in the colours of a theme."""
    with themed(theme):
        figure = render(draw)
        figure.savefig(path)
    return figure


class Style(NamedTuple):
    """Colour, line style and marker of a curve."""

    colour: str
    line: Any
    marker: str


def style(index: int) -> Style:
    """The style of the curve of that number; colours repeat, with another line style."""
    kinds = rcParams["axes.prop_cycle"].by_key()["color"], LINES, MARKERS
    return Style(*[kind[index % len(kind)] for kind in kinds])


def foreground() -> str:
    return str(rcParams["text.color"])


def muted() -> str:
    return str(rcParams["xtick.color"])


class End(NamedTuple):
    """The last point of a curve, in the units of its axes, and the name of the curve."""

    name: str
    x: float
    y: float
    colour: str


def label_ends(figure: Figure, panels: Iterable[tuple[Axes, Sequence[End]]]) -> None:
    """Write the names of curves to the right of their axes: at the height of their
    ends, or as near above as fits.
    """
    figure.draw_without_rendering()  # now the heights of the axes are known
    leader = {"arrowstyle": "-", "linewidth": 0.8, "relpos": (0, 0.5), "shrinkA": 1}
    for axes, ends in panels:
        line = 1.25 * rcParams["font.size"] * figure.dpi / 72 / axes.bbox.height
        points = axes.transData.transform([(end.x, end.y) for end in ends] or np.empty((0, 2)))
        heights = axes.transAxes.inverted().transform(points)[:, 1]
        order = np.argsort(heights, kind="stable")
        sizes = np.array([ends[index].name.count("\n") + 1 for index in order])
        lines = line * (np.cumsum(sizes) - sizes / 2)
        places = np.maximum.accumulate(heights[order] - lines) + lines
        places -= max(0.0, places.max(initial=0.0) - 1)
        for index, place in zip(order, places, strict=True):
            name, x, y, colour = ends[index]
            axes.annotate(
                name,
                (x, y),
                (1.06, place),
                textcoords="axes fraction",
                va="center",
                parse_math=False,  # a name may hold dollar signs
                arrowprops={**leader, "color": colour},
            )


def log_axis(
    axes: Axes, which: Literal["x", "y"], values: Sequence[float], top: float = 0.0, unit: str = ""
) -> None:
    """Make a log axis that holds the values and ``top``, with ticks that are round
    numbers, a few or powers of ten.

    With a value of 0 the axis is linear below the smallest other value.
    """
    positive = [value for value in values if value > 0] or [1.0]
    low, high = min(positive), max(*positive, top)
    margin = max((high / low) ** 0.06, 1.03)
    bottom, top = low / margin, top or high * margin
    set_scale = getattr(axes, f"set_{which}scale")
    is_narrow = which == "x" and axes.figure.figure.get_figwidth() < WIDTH
    most = NARROW_TICKS if is_narrow else MOST_TICKS
    if min(values, default=1.0) == 0:
        ticks = [0.0, *_round_numbers(bottom, top, 0, most)]
        set_scale("symlog", linthresh=low, linscale=0.5)
        bottom = -0.2 * low
    else:
        ticks = _round_numbers(bottom, top, 3, most)
        set_scale("log")
    axes.set(**{f"{which}lim": (bottom, top)})
    axis = getattr(axes, f"{which}axis")
    axis.set_ticks(ticks, [f"{tick:,g}{unit}" for tick in ticks])
    axis.set_minor_locator(NullLocator())


def _round_numbers(low: float, high: float, least: int, most: int) -> list[float]:
    """Numbers from ``low`` to ``high`` that begin with 1, 2 or 5: with 1 if these are
    many, others if few.
    """
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    numbers = [digit * 10.0**decade for decade in decades for digit in (1, 2, 5)]
    ticks = [number for number in numbers if low <= number <= high]
    if len(ticks) > most:
        powers = [tick for tick in ticks if f"{tick:e}".startswith("1")]
        return powers if len(powers) > 1 else ticks[::2]
    if len(ticks) < least:
        others = MaxNLocator(5, steps=[1, 2, 5, 10]).tick_values(low, high)
        return [other for other in others if low <= other <= high]
    return ticks
