"""Tables of results, made of one list of columns: for a terminal, in Markdown, and as
plain numbers.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import isfinite
from operator import itemgetter
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table as RichTable

from convblocks.errors import printable
from convblocks.figures.estimates import RATIO, Estimate, Unit, Value, cell

# Wider than any terminal, in columns.
WIDEST = 1000

# The priority of columns that every screen shows.
ALWAYS = 100


@dataclass(frozen=True)
class Column:
    """A column of a table: what it shows of a row, and how.

    Args:
        name: The heading; a line break in it applies on a terminal, as in cells.
        value: Of a row.
        unit: How a number is written; an estimate has its own unit.
        signed: Whether it is written with its sign.
        priority: A narrow terminal drops the columns with the lowest ones, but none with ALWAYS.
        key: The name in JSON; without one it is not there.
        text: How a row's cell is written if its value does not say it all.
        optional: Whether it is left out where no row has a value.
    """

    name: str
    value: Callable[[Any], Value]
    unit: Unit = RATIO
    signed: bool = False
    priority: int = ALWAYS
    key: str = ""
    text: Callable[[Any], str] | None = None
    optional: bool = False

    def cell(self, row: Any) -> str:
        """The row's cell; the interval of an estimate stands below it."""
        if self.text:
            return self.text(row)
        value = self.value(row)
        text = cell(value, self.unit, self.signed)
        return text.replace(" [", "\n[") if isinstance(value, Estimate) else text


@dataclass(frozen=True)
class Table:
    """A table with a title, and notes below it.

    Args:
        title: Its heading.
        columns: A text stands for a column of that name, with the row's item at that place.
        rows: Objects that the columns take.
        notes: Sentences below it.
        key: The name of its plain numbers in JSON; without one they are not there.
    """

    title: str
    columns: Sequence[Column | str]
    rows: Sequence[Any]
    notes: Sequence[str] = ()
    key: str = ""

    @cached_property
    def fields(self) -> list[Column]:
        """The columns that are shown, made of those that are text too."""
        columns = [
            Column(column, itemgetter(place)) if isinstance(column, str) else column
            for place, column in enumerate(self.columns)
        ]
        return [
            column
            for column in columns
            if not column.optional or any(column.value(row) is not None for row in self.rows)
        ]

    @cached_property
    def cells(self) -> list[list[str]]:
        """A list of texts for each row."""
        return [[column.cell(row) for column in self.fields] for row in self.rows]

    def numbers(self) -> list[dict[str, Any]]:
        """The values of the columns that have a key, for JSON."""
        return [
            {column.key: _plain(column.value(row)) for column in self.fields if column.key}
            for row in self.rows
        ]


def _plain(value: Value) -> Any:
    """A value for JSON; of an estimate the numbers that it has."""
    if not isinstance(value, Estimate):
        return None if isinstance(value, float) and not isfinite(value) else value
    parts = {name: getattr(value, name) for name in ("low", "high", "p")}
    return {"value": value.value, "n": value.n} | {
        name: part for name, part in parts.items() if isfinite(part)
    }


def to_markdown(tables: Sequence[Table], level: int = 2) -> str:
    """Tables as GitHub's Markdown, each with a title under a heading of that level."""
    blocks: list[str] = []
    for table in tables:
        if table.title:
            blocks.append(f"{'#' * level} {without_html(table.title)}")
        names = [column.name for column in table.fields]
        lines = [names, ["---"] * len(names), *table.cells]
        blocks.append("\n".join("| " + " | ".join(map(as_cell, line)) + " |" for line in lines))
        blocks += map(without_html, table.notes)
    return "\n\n".join(blocks) + "\n"


def as_cell(text: str) -> str:
    """Text as a cell of Markdown, in which names from outside are neither HTML nor the
    end of the cell.
    """
    return without_html(printable(text.replace("\n", " ")).replace("|", "\\|"))


def without_html(text: str) -> str:
    """Text for Markdown, in which tags are shown."""
    return re.sub(r"<(?=[A-Za-z/!?])", "&lt;", text)


def terminal() -> Console:
    """The console on which results are printed, without markup: ``[red]`` in a file
    name is text.
    """
    return Console(markup=False, emoji=False, highlight=False)


def to_console(tables: Sequence[Table], console: Console, everything: str = "") -> None:
    """Print tables on a terminal, which drops columns that the file ``everything`` has,
    or as text into a pipe.
    """
    unlimited = console.options.update(width=WIDEST)
    for table in tables:
        columns, dropped = list(table.fields), list[str]()
        expendable = sorted(
            (column for column in columns if column.priority < ALWAYS),
            key=lambda column: column.priority,
        )
        while (
            console.measure(grid := _grid(table, columns), options=unlimited).maximum
            > console.width
            and expendable
        ):
            columns.remove(column := expendable.pop(0))
            dropped.append(column.name.replace("\n", " "))
        console.print(grid)
        hidden = (
            f"Hidden at this width: {', '.join(dropped)}.{everything and f' See {everything}.'}"
        )
        for note in [*table.notes, *([hidden] if dropped else [])]:
            console.print(note)
        console.print()


def _grid(table: Table, columns: Sequence[Column]) -> RichTable:
    """A table for rich, with no lines but one below the heading."""
    names = [column.name for column in columns]
    grid = RichTable(
        *names, title=table.title, title_justify="left", title_style="bold", box=SIMPLE_HEAD
    )
    grid.show_edge = grid.pad_edge = False
    for row in table.rows:
        grid.add_row(*[printable(column.cell(row), allowed="\n") for column in columns])
    return grid
