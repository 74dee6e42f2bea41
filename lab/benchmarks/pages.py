"""Pages with numbers: raw numbers that are kept and read again, templates in Markdown,
pictures in both themes.
"""

import shlex
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from matplotlib.figure import Figure

from convblocks.console import echo
from convblocks.errors import UserError
from convblocks.figures.style import DARK, save
from convblocks.figures.tables import Table, to_console, to_markdown
from convblocks.text import as_json
from exact_resume.files import write
from lab.benchmarks.rows import Results as Rows

Results = TypeVar("Results")

# Below --out: the raw numbers, and the pages.
DATA = "data"
PAGES = "lab"


@dataclass(frozen=True)
class Page:
    """A benchmark's page.

    Args:
        template: A file of Markdown that names tables and texts in braces; page and raw
            numbers are called like it.
        tables: Functions by the tables' names in the template; the benchmark prints
            these tables in this order.
        texts: The template's other names, beside those of all results.
        figure: Draws the picture, if the page has one, and what it shows.
    """

    template: Path
    tables: Mapping[str, Callable[[Rows], Table | list[Table]]]
    texts: Callable[[Rows], Mapping[str, object]]
    figure: tuple[Callable[[Rows], Figure], str] | None = None

    def publish(self, out: Path, results: Rows) -> None:
        """Print the tables, and write page, picture and raw numbers."""
        for tables in self.made(results).values():
            to_console(tables)
        name = self.template.stem
        results.write(out / DATA / f"{name}.json")
        self.write(output_folder(out / PAGES), results)
        echo(f"Written to {out / PAGES / name}.md and {out / DATA / name}.json.")

    def write(self, folder: Path, results: Rows) -> None:
        """Write the page and its picture."""
        shown = ""
        if self.figure:
            draw, description = self.figure
            path = folder / f"{self.template.stem}.png"
            shown = picture(partial(draw, results), path, description)
        write(folder / self.template.name, self.markdown(results, shown))

    def made(self, results: Rows) -> dict[str, list[Table]]:
        made = {}
        for name, table in self.tables.items():
            tables = table(results)
            made[name] = [tables] if isinstance(tables, Table) else tables
        return made

    def markdown(self, results: Rows, picture: str) -> str:
        """The whole page."""
        parts = {
            "picture": picture,
            "arguments": shlex.join(results.arguments),
            "minutes": f"{results.minutes:.0f}",
            "machine": brief_machine(results.machine),
            "commit": results.commit or "unknown",
            "rounds": results.rounds,
            "remark": f"\n{results.remark}\n" if results.remark else "",
            **results.settings,
            **self.texts(results),
            **{name: to_markdown(tables).strip() for name, tables in self.made(results).items()},
        }
        return self.template.read_text(encoding="utf-8").format_map(parts)


def brief_machine(machine: str) -> str:
    """Processors and torch, of a machine with all its versions: docs/lab/README.md has
    the others.
    """
    parts = machine.split(", ")
    return ", ".join([parts[0], *(part for part in parts if part.startswith("torch "))])


def output_folder(path: Path) -> Path:
    """Create a folder given on the command line if it does not exist, or raise a
    UserError that says why not.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot write to {path}: {error.strerror}") from error
    return path


def write_raw_numbers(folder: Path, name: str, results: Any) -> None:
    """Write a dataclass of results to ``<name>.json``."""
    folder.mkdir(parents=True, exist_ok=True)
    write(folder / f"{name}.json", as_json(asdict(results), indent=1) + "\n")


def read_raw_numbers(folder: Path, name: str, kind: type[Results]) -> Results:
    """The results, of that dataclass, from ``<name>.json``.

    Raises:
        UserError: the file is missing or damaged, or of something else.
    """
    path = folder / f"{name}.json"
    try:
        # It reads "nan" as a number.
        return msgspec.json.decode(path.read_bytes(), type=kind, strict=False)
    except (OSError, ValueError, RecursionError) as error:  # msgspec's own errors are ValueErrors
        reason = error.strerror if isinstance(error, OSError) else error
        raise UserError(f"cannot read {path} ({reason})") from error


def picture(draw: Callable[[], Figure], path: Path, description: str) -> str:
    """Write ``name.png`` and, in the dark theme, ``name-dark.png``; the image as a page
    beside them has it for GitHub.

    Its alternative text begins with the titles of its panels, which are what it shows.
    """
    dark = path.with_stem(f"{path.stem}-dark")
    save(draw, dark, DARK)
    titles = [axes.get_title("left") for axes in save(draw, path).axes]
    text = ". ".join([*filter(None, titles), description]).replace("\n", " ")
    return (
        "<picture>\n"
        f'  <source media="(prefers-color-scheme: dark)" srcset="{dark.name}">\n'
        f'  <img alt="{text}" src="{path.name}">\n'
        "</picture>"
    )
