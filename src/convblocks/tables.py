"""Results as text: tables for a terminal, Markdown, HTML and CSV, values as JSON, and progress bars."""

import csv
import html
import io
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress_bar import ProgressBar
from rich.table import Table as RichTable

from convblocks.errors import printable

# Wider than any terminal, in columns.
WIDEST = 1000

# Longer lines of a cell in HTML are wrapped.
LONGEST_LINE = 32

# With a label, a share, a note and a time a bar of this width fits into 80 columns.
BAR_WIDTH = 28


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


def terminal() -> Console:
    """The console on which results are printed, without markup: ``[red]`` in a file name is text."""
    return Console(markup=False, emoji=False, highlight=False)


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


def bar(label: str, done: float, total: float | None, note: str = "", pace: float = 0.0) -> RichTable:
    """One line of a live display: a bar, how much is done, and how long the rest takes at the pace so far.

    Args:
        label: The text before the bar.
        done: How much is done, of a total.
        total: None if the end is unknown.
        note: The text behind the share.
        pace: The seconds that an amount of 1 takes; 0 if unknown.
    """
    grid = RichTable.grid(padding=(0, 2))
    share = f"{100 * done / total:3.0f} %" if total else ""
    left = f"{duration(max(pace * (total - done), 1))} left" if total and pace and done < total else ""
    grid.add_row(label, ProgressBar(total, done, BAR_WIDTH, pulse=total is None), share, note, left)
    return grid


def duration(seconds: float) -> str:
    """A readable duration: ``9 s``, ``3 min``, ``2 h 5 min``."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"


def as_shown(path: Path) -> str:
    """A path relative to the current folder if it lies there, otherwise as given."""
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


def counted(count: int, noun: str) -> str:
    """``1 epoch``, ``2 epochs``."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def listed(words: Sequence[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    return " and ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))


def percent(accuracy: float) -> str:
    return f"{100 * accuracy:.2f} %"


def as_csv(rows: Sequence[Mapping[str, Any]], first_columns: Sequence[str] = ()) -> str:
    """Rows as CSV text, with a column for each of ``first_columns`` and every key of any row."""
    columns = list(dict.fromkeys([*first_columns, *(key for row in rows for key in row)]))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def as_json(value: Any, indent: int | None = 2) -> str:
    """A value as JSON text, which has no number for infinity and nan: they become ``"inf"`` and ``"nan"``."""
    return json.dumps(_finite(value), indent=indent, allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def flatten(nested: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings as one level of dotted options: ``{"data": {"shift": 1}}`` becomes ``{"data.shift": 1}``."""
    flat: dict[str, Any] = {}
    for option, value in nested.items():
        flat |= flatten(value, f"{prefix}{option}.") if isinstance(value, dict) else {f"{prefix}{option}": value}
    return flat


def is_number(text: str) -> bool:
    """Whether an option's value is a finite number."""
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False
