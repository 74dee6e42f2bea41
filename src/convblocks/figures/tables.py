"""Tables of results, made of one list of columns: for a terminal, in Markdown, and as
plain numbers.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import isfinite
from operator import attrgetter, itemgetter
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Column as RichColumn
from rich.table import Table as RichTable

from convblocks.errors import printable
from convblocks.figures.estimates import RATIO, Estimate, Unit, Value, cell

# The width of a table that is wider than any terminal, in characters.
WIDEST = 1000

# A pattern for the cells of a column of numbers, of which some may be empty.
NUMBER = re.compile(r"[\d+<−-]|$")

# The priority of columns that every screen shows.
ALWAYS = 100


@dataclass(frozen=True)
class Column:
    """A column of a table: what it shows of a row, and how.

    Args:
        name: The heading; a line break in it applies on a terminal, as in cells.
        value: A function that gives the value of a row.
        unit: The unit in which numbers are written; an estimate has its own.
        signed: Whether numbers are written with their sign.
        priority: A narrow terminal drops the columns with the lowest ones, but none with ALWAYS.
        key: The name in JSON; without one it is not there.
        text: A function that writes the cell of a row, where its value does not say it all.
        optional: Whether the column is left out where no row has a value.
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
        title: The heading of the table.
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
        shown = []
        for place, column in enumerate(self.columns):
            if isinstance(column, str):
                column = Column(column, itemgetter(place))
            if not column.optional or any(column.value(row) is not None for row in self.rows):
                shown.append(column)
        return shown

    @cached_property
    def cells(self) -> list[list[str]]:
        """A list of texts for each row."""
        return [[column.cell(row) for column in self.fields] for row in self.rows]

    @cached_property
    def of_numbers(self) -> list[bool]:
        """A list of bools, True for a column that holds numbers; the first column never counts,
        since it names the rows.
        """
        columns = range(len(self.fields))
        return [
            place > 0 and all(NUMBER.match(row[place]) for row in self.cells) for place in columns
        ]

    def numbers(self) -> list[dict[str, Any]]:
        """The values of the columns that have a key, for JSON."""
        named = [column for column in self.fields if column.key]
        return [{column.key: _plain(column.value(row)) for column in named} for row in self.rows]


def _plain(value: Value) -> Any:
    """A value for JSON; of an estimate the numbers that it has."""
    if isinstance(value, float):
        return value if isfinite(value) else None
    if not isinstance(value, Estimate):
        return value
    plain = {"value": value.value, "n": value.n}
    for name in ("low", "high", "p"):
        part = getattr(value, name)
        if isfinite(part):
            plain[name] = part
    return plain


def to_markdown(tables: Sequence[Table], level: int = 2, rule: str = "---") -> str:
    """Tables as GitHub's Markdown, each with a title under a heading of that level;
    ``rule`` stands below the names of columns of numbers.
    """
    blocks = []
    for table in tables:
        if table.title:
            blocks.append(f"{'#' * level} {without_html(table.title)}")
        names = [column.name for column in table.fields]
        rules = [rule if is_number else "---" for is_number in table.of_numbers]
        lines = [names, rules, *table.cells]
        rows = [" | ".join(map(as_cell, line)) for line in lines]
        blocks.append("\n".join(f"| {row} |" for row in rows))
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


def to_console(tables: Sequence[Table], everything: str = "") -> None:
    """Print tables on a terminal, which drops columns that the file ``everything`` has,
    or as text into a pipe.
    """
    # Without markup: ``[red]`` in a file name is text.
    console = Console(markup=False, emoji=False, highlight=False)
    unlimited = console.options.update(width=WIDEST)
    see = f" See {everything}." if everything else ""
    for table in tables:
        columns = list(table.fields)
        dropped = []
        grid = _grid(table, columns)
        for column in sorted(columns, key=attrgetter("priority")):
            fits = console.measure(grid, options=unlimited).maximum <= console.width
            if fits or column.priority == ALWAYS:
                break
            columns.remove(column)
            dropped.append(column.name.replace("\n", " "))
            grid = _grid(table, columns)
        console.print(grid)
        for note in table.notes:
            console.print(note)
        if dropped:
            console.print(f"Hidden at this width: {', '.join(dropped)}.{see}")
        console.print()


def _grid(table: Table, columns: Sequence[Column]) -> RichTable:
    """A table for rich, with no lines but one below the heading."""
    are_numbers = dict(zip(table.fields, table.of_numbers, strict=True))
    grid = RichTable(
        # names that begin alike are not cut to the same text
        *[
            RichColumn(
                column.name, justify="right" if are_numbers[column] else "left", overflow="fold"
            )
            for column in columns
        ],
        title=table.title,
        title_justify="left",
        title_style="bold",
        box=SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
    )
    for row in table.rows:
        cells = [printable(column.cell(row), allowed="\n") for column in columns]
        grid.add_row(*cells)
    return grid
