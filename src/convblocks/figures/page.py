"""Reports as web pages to send: one file each that loads nothing, light and dark, for a phone and for paper."""

import re
from collections.abc import Callable, Sequence
from html import escape
from io import StringIO
from pathlib import Path
from string import Template
from typing import NamedTuple

from markdown_it import MarkdownIt
from matplotlib.figure import Figure

from convblocks.errors import printable
from convblocks.figures.style import LIGHT, WIDTH, render, themed

# Text stays text, and the numbers of elements depend on the content only: the same figure has the same bytes.
SVG = {"svg.fonttype": "none", "svg.hashsalt": "convblocks", "font.sans-serif": ["DejaVu Sans", "Verdana"]}

# In CSS pixels for an inch of a figure: a narrower page scrolls the figure, as letters would be too small.
LEAST_SCALE = 62


class Chart(NamedTuple):
    """The function that draws a figure, and what it shows in a phrase."""

    draw: Callable[[], Figure]
    caption: str


def page(title: str, summary: str, figures: Sequence[Chart], details: str) -> str:
    """The whole page.

    Args:
        title: Plain text.
        summary: Markdown above the figures.
        figures: They stand side by side where there is room.
        details: Markdown, folded below the figures.
    """
    template, css = (Path(__file__).with_name(name).read_text() for name in ("page.html", "page.css"))
    charts, texts = "\n".join(map(_figure, figures)), {"summary": _as_html(summary), "details": _as_html(details)}
    return Template(template).substitute(texts, title=escape(printable(title)), style=css, charts=charts)


def _as_html(markdown: str) -> str:
    """Names from elsewhere stay text: there are no tags, links or emphasis."""
    parser = MarkdownIt("commonmark", {"html": False}).enable("table").disable(["link", "image", "emphasis"])
    return str(parser.render(printable(markdown, allowed="\n")))


def _figure(chart: Chart) -> str:
    with themed(LIGHT | SVG):
        figure, file = render(chart.draw), StringIO()
        figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
    svg, caption = re.sub(r'<g id="[^"]*"', "<g", file.getvalue()), escape(chart.caption)  # figures share these ids
    size = f"min-width: {LEAST_SCALE * figure.get_figwidth():.0f}px"
    svg = f'<svg role="img" aria-label="{caption}" style="{size}" ' + svg.partition("<svg ")[2].strip()
    row = ' class="row"' if figure.get_figwidth() > WIDTH / 2 else ""
    return f'<figure{row}><div class="wide">{svg}</div><figcaption>{caption}</figcaption></figure>'
