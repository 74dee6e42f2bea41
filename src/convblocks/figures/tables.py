"""Tables of results: for a terminal, in Markdown and in HTML."""

import html
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table as RichTable

from convblocks.errors import printable

# Wider than any terminal, in columns.
WIDEST = 1000

# Longer lines of a cell in HTML are wrapped.
LONGEST_LINE = 32


@dataclass(frozen=True)
class Table:
    """A table with a title, and notes below it.

    Line breaks within cells apply on a terminal only. A narrow terminal drops as many of the ``droppable`` columns as
    it must, the first ones first.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str] = ()
    droppable: Sequence[str] = ()


def to_markdown(tables: Sequence[Table], level: int = 2) -> str:
    """Tables as GitHub's Markdown, each with a title under a heading of that level."""
    blocks: list[str] = []
    for table in tables:
        if table.title:
            blocks.append(f"{'#' * level} {without_html(table.title)}")
        lines = [table.columns, ["---"] * len(table.columns), *table.rows]
        blocks.append("\n".join("| " + " | ".join(map(as_cell, line)) + " |" for line in lines))
        blocks += map(without_html, table.notes)
    return "\n\n".join(blocks) + "\n"


def as_cell(text: str) -> str:
    """Text as a cell of Markdown, in which names from outside are neither HTML nor the end of the cell."""
    return without_html(printable(text.replace("\n", " ")).replace("|", "\\|"))


def without_html(text: str) -> str:
    """Text for Markdown, in which tags are shown."""
    return re.sub(r"<(?=[A-Za-z/!?])", "&lt;", text)


def to_html(table: Table, folded: bool = False) -> str:
    """A table as HTML, with its title as a heading; ``folded`` shows the title only until that is clicked."""
    heading = f"<h2>{as_html(table.title)}</h2>"
    heads = "".join(f'<th scope="col">{as_html(name)}</th>' for name in table.columns)
    rows = []
    for first, *others in table.rows:
        cells = "".join(map(_html_cell, others))
        rows.append(f'<tr><th scope="row">{as_html(first)}</th>{cells}</tr>')
    content = [
        f'<div class="wide"><table><caption>{as_html(table.title)}</caption>',
        f"<thead><tr>{heads}</tr></thead>",
        *["<tbody>", *rows, "</tbody>"],
        "</table></div>",
        *(f"<p>{as_html(note)}</p>" for note in table.notes),
    ]
    return "\n".join(
        [f"<details><summary>{heading}</summary>", *content, "</details>"] if folded else [heading, *content]
    )


def _html_cell(text: str) -> str:
    """A cell that keeps its line breaks; only a long text is wrapped."""
    is_long = max(map(len, text.split("\n"))) > LONGEST_LINE
    return f"<td{' class=long' if is_long else ''}>{as_html(text)}</td>"


def as_html(text: str) -> str:
    """Text of any origin as content of an HTML element, or as an attribute between double quotes."""
    return html.escape(printable(text, allowed="\n"))


def to_console(tables: Sequence[Table], console: Console) -> None:
    """Print tables on a terminal, or as plain text into a pipe."""
    for table in tables:
        dropped: list[str] = []
        grid = _grid(table, dropped)
        for column in table.droppable:
            if console.measure(grid, options=console.options.update(width=WIDEST)).maximum <= console.width:
                break
            dropped += [column] if column in table.columns else []
            grid = _grid(table, dropped)
        console.print(grid)
        for note in [
            *table.notes,
            *([f"Columns dropped: {', '.join(dropped)}.".replace("\n", " ")] if dropped else []),
        ]:
            console.print(note)
        console.print()


def _grid(table: Table, dropped: Sequence[str]) -> RichTable:
    """A table for rich, without some of its columns."""
    shown = [index for index, column in enumerate(table.columns) if column not in dropped]
    names = [table.columns[index] for index in shown]
    grid = light_table(*names, title=table.title, title_justify="left", title_style="bold")
    for row in table.rows:
        grid.add_row(*[printable(row[index], allowed="\n") for index in shown])
    return grid


def light_table(*columns: str, **options: Any) -> RichTable:
    """An empty table for a terminal: no lines but one below the heading."""
    return RichTable(*columns, box=SIMPLE_HEAD, show_edge=False, pad_edge=False, **options)
