"""Reports as web pages to send: one file each that loads nothing, light and dark, for a phone and for paper."""

import re
from collections.abc import Callable, Sequence
from io import StringIO
from pathlib import Path
from string import Template
from typing import NamedTuple

from matplotlib.figure import Figure

from convblocks.figures.style import DARK, LIGHT, WIDTH, Theme, render, themed
from convblocks.figures.tables import as_html

# Text stays text, and the numbers of elements depend on the content only: the same figure has the same bytes.
SVG: Theme = {"svg.fonttype": "none", "svg.hashsalt": "convblocks", "font.sans-serif": ["DejaVu Sans", "Verdana"]}

# In CSS pixels for an inch of a figure: a narrower page scrolls the figure, as letters would be too small.
LEAST_SCALE = 62


class Chart(NamedTuple):
    """The function that draws a figure, and what it shows in a phrase."""

    draw: Callable[[], Figure]
    caption: str


def page(title: str, parts: Sequence[str]) -> str:
    """The whole page.

    Args:
        title: Plain text.
        parts: HTML, in which everything from elsewhere is escaped.
    """
    style = _template("page.css").substitute(light=_variables(LIGHT), dark=_variables(DARK))
    return _template("page.html").substitute(title=as_html(title), style=style, body="\n".join(parts))


def _template(name: str) -> Template:
    return Template(Path(__file__).with_name(name).read_text())


def charts(drawn: Sequence[Chart]) -> str:
    """Figures with their captions, side by side where there is room."""
    return "\n".join(['<div class="charts">', *map(_figure, drawn), "</div>"])


def _figure(chart: Chart) -> str:
    with themed(LIGHT | SVG):
        figure, file = render(chart.draw), StringIO()
        figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
    svg, caption = re.sub(r'<g id="[^"]*"', "<g", file.getvalue()), as_html(chart.caption)  # figures share these ids
    for name, colour in _colours(LIGHT).items():
        svg = svg.replace(f": {colour}", f": var(--{name})")
    size = f"min-width: {LEAST_SCALE * figure.get_figwidth():.0f}px"
    svg = f'<svg role="img" aria-label="{caption}" style="{size}" ' + svg.partition("<svg ")[2].strip()
    row = ' class="row"' if figure.get_figwidth() > WIDTH / 2 else ""
    return f'<figure{row}><div class="wide">{svg}</div><figcaption>{caption}</figcaption></figure>'


def _variables(theme: Theme) -> str:
    return " ".join(f"--{name}: {colour};" for name, colour in _colours(theme).items())


def _colours(theme: Theme) -> dict[str, str]:
    """The colours of a theme, by their names in the style sheet."""
    names = {"paper": "figure.facecolor", "ink": "text.color", "pale": "xtick.color", "grid": "grid.color"}
    cycle = enumerate(theme["axes.prop_cycle"].by_key()["color"])
    return {name: theme[key] for name, key in names.items()} | {f"colour{n}": colour.lower() for n, colour in cycle}
