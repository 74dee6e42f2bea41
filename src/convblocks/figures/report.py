"""The one way in which results are reported: printed, and kept as files.

A page to send is one file that loads nothing, light and dark, for a phone and for paper.
"""

import re
import shlex
from collections.abc import Mapping, Sequence
from html import escape
from io import StringIO
from pathlib import Path
from string import Template
from textwrap import indent
from typing import Any, NamedTuple

from markdown_it import MarkdownIt

from convblocks.console import command_text, echo, prose
from convblocks.errors import printable
from convblocks.figures.style import LIGHT, NARROW, Draw, render, save, themed
from convblocks.figures.tables import Table, to_console, to_markdown, without_html
from convblocks.record.directory import RunDirectory
from convblocks.text import Settings, as_csv, as_json, as_shown
from exact_resume.files import write

# Words that must not be split over two lines: intervals, p-values, settings such as ``lr 1e-3``.
VALUE = re.compile(r"\[[\d+−][^][<]{,30}\]|p (=|&lt;) [\d.]+|\w*[ =]?\d[\d.]*e-\d+")

# Fonts of which every reader of an SVG has one, whatever a matplotlibrc asks for here.
FONTS = {"font.sans-serif": ["DejaVu Sans", "Verdana"]}


class Chart(NamedTuple):
    """The function that draws a figure, and what it shows in a phrase.

    A page that says its finding, or is as narrow as a phone, has those ``on_page``
    instead, the wide one first.
    """

    draw: Draw
    caption: str
    on_page: Sequence[Draw] = ()


class Report(NamedTuple):
    """The content of a report.

    Args:
        name: The name of its files, without their endings.
        tables: The tables for the screen, which come first in the Markdown file.
        sentences: The conclusions, which follow the tables.
        figures: The figures by the end of their names, which is empty for the main one.
        runs: A line of the CSV file for each, by the names of columns.
        details: Tables for the Markdown and HTML files only.
        numbers: Numbers for the JSON file, beside those of the tables that have a key.
        command: The command that the last sentence refers to.
        repeat: The command that makes the report again, and trains what it needs.
        texts: Further texts of the page by their headings, such as settings.
    """

    name: str
    tables: Sequence[Table]
    sentences: Sequence[str]
    figures: Mapping[str, Chart]
    runs: Sequence[Mapping[str, Any]] = ()
    details: Sequence[Table] = ()
    numbers: Mapping[str, Any] = {}
    command: str = ""
    repeat: str = ""
    texts: Mapping[str, str] = {}

    def to_markdown(self) -> str:
        details = [to_markdown(self.details)] if self.details else []
        return "\n".join([to_markdown(self.tables), self._sentences(), *self._command(), *details])

    def to_html(self, title: str) -> str:
        """A page of its own: conclusions, tables and figures, then everything else folded."""
        tables, folded = [to_markdown(part, rule="---:") for part in (self.tables, self.details)]
        head = [self._sentences(), *self._command(), tables]
        details = [folded]
        texts = {**self.texts, "Repeat it": self.repeat}
        for name, text in texts.items():
            if text:
                details.append(f"## {name}\n\n{indent(text, ' ' * 4)}\n")
        template = Path(__file__).with_name("page.html")
        return Template(template.read_text()).substitute(
            title=escape(printable(title)),
            style=template.with_suffix(".css").read_text(),
            summary=_as_html("\n".join(head)),
            charts="\n".join(map(_figure, self.figures.values())),
            details=_as_html("\n".join(details)),
        )

    def _sentences(self) -> str:
        return "\n".join(f"- {without_html(line)}" for line in self.sentences) + "\n"

    def _command(self) -> list[str]:
        return [f"```bash\n{self.command}\n```\n"] if self.command else []

    def plain_numbers(self) -> Settings:
        """The numbers for the JSON file: those of every table that has a key, and the others."""
        tables = (*self.tables, *self.details)
        return {table.key: table.numbers() for table in tables if table.key} | dict(self.numbers)


def repeat_of(command: str, arguments: Sequence[str]) -> str:
    """The command line that makes a report again, and trains what is missing."""
    once = ("--no-fit", "--retrain")
    return command_text(command, *[word for word in arguments if word not in once])


def publish(report: Report, directory: RunDirectory, figure: Path | None = None) -> None:
    """Write a report into the directory of its runs, over a former one, and print its
    tables, sentences and command; the main figure goes into a file of its own too.
    """
    directory.create()
    path = directory.path / report.name
    folder = as_shown(directory.path)
    files = {
        ".html": report.to_html(f"{report.name.capitalize()} in {folder}"),
        ".md": report.to_markdown(),
        ".csv": as_csv(report.runs),
    }
    numbers = report.plain_numbers()
    if numbers:
        files[".json"] = as_json(numbers)
    former = path.with_suffix(".csv")
    replaced = former.read_bytes().count(b"\n") - 1 if former.is_file() else 0
    for suffix, text in files.items():
        write(path.with_suffix(suffix), text)
    for end, chart in report.figures.items():
        ending = f"-{end}.png" if end else ".png"
        save(chart.draw, directory.path / f"{report.name}{ending}")
    endings = [*files, ".png"] if report.figures else files
    if figure:
        save(report.figures[""].draw, figure)
    curves = ""
    if any(directory.path.rglob("events.out.tfevents.*")):
        curves = f"\nCurves: tensorboard --logdir {shlex.quote(folder)}"
    echo(f"\nDetails: {as_shown(path)}{', '.join(endings)}{curves}\n")
    if replaced > len(report.runs):
        echo(f"It replaces a report on {replaced} runs by one on {len(report.runs)}.\n")
    to_console(report.tables, f"{report.name}.html")
    for line in report.sentences:
        echo(prose(line))
    if report.command:
        echo(report.command)


def _as_html(markdown: str) -> str:
    """Names from elsewhere stay text: there are no tags, links or emphasis."""
    parser = MarkdownIt("commonmark", {"html": False})
    parser.enable("table").disable(["link", "image", "emphasis"])
    html = parser.render(printable(markdown, allowed="\n"))
    # Dotted names may go on in another line, and options may not.
    html = re.sub(r"--[\w.]+", r"<span>\g<0></span>", html)
    html = re.sub(r"(?<=\w[._])(?=[A-Za-z][^<]*</(td|th|li|h2)>)", "<wbr>", html)
    return VALUE.sub(r"<span>\g<0></span>", html)


def _figure(chart: Chart) -> str:
    row = ""
    found = []
    for number, draw in enumerate(chart.on_page or [chart.draw]):
        file = StringIO()
        # Nothing may refer to a part of a figure that is not shown.
        with themed(LIGHT | FONTS | {"svg.hashsalt": f"{number}"}):
            figure = render(draw)
            metadata = {"Date": None, "Creator": None}
            figure.savefig(file, format="svg", transparent=True, metadata=metadata)
        if figure.get_figwidth() > NARROW:
            row = ' class="row"'
        svg = re.sub(r'<g id="[^"]*"', "<g", file.getvalue())  # figures share these ids
        svg = re.sub("#([0-9a-f]{6})", r"var(--\1, #\1)", svg)  # page.css has those of the dark
        says = figure.axes[0].get_title("left").replace("\n", " ")
        words = escape(": ".join(filter(None, [says, chart.caption])))
        label = f'<svg role="img" aria-label="{words}" '
        found.append(label + svg.partition("<svg ")[2].strip())
    return f"<figure{row}>{''.join(found)}</figure>"
