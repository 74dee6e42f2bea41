"""How pages are put together: blocks of whole pages, and the parts of written pages that
are made of numbers; and the raw numbers that they are made of.
"""

import re
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from textwrap import dedent
from typing import Any, TypeVar

import msgspec
from matplotlib.figure import Figure
from torch import nn
from torchinfo import summary

from convblocks.data.images import MNIST, ImageSpec
from convblocks.errors import UserError
from convblocks.figures.style import DARK, save
from convblocks.figures.tables import Table, to_markdown
from convblocks.text import as_json
from exact_resume.files import write
from lab.benchmarks.rows import Results

Numbers = TypeVar("Numbers")

REPOSITORY = Path(__file__).resolve().parents[2]
DATA = REPOSITORY / "docs" / "data"

# A part that is made of numbers stands between two marks that bear its name.
SECTION = re.compile(r"<!-- ([\w -]+): begin -->\n(?:(.*?)\n)?<!-- \1: end -->", re.DOTALL)

# The commas of a machine's line but those in its brackets.
OUTSIDE_BRACKETS = re.compile(r", (?![^(]*\))")

# The beginning of a line that must stay one, and the end of one within a paragraph.
MARKUP = re.compile(r"^(    |```|[|<>#]| *([-*+]|\d+\.) )", re.MULTILINE)
LINE_BREAK = re.compile(r"(?<!\n)\n(?!\n)")


@dataclass(frozen=True)
class Picture:
    """A figure on a page, in both themes: its name without an ending, what it shows, and
    what draws it.
    """

    name: str
    description: str
    draw: Callable[[], Figure]


Block = str | Sequence[Table] | Picture


def write_page(path: Path, *blocks: Block, level: int = 2) -> None:
    """Write texts, which may be indented as code is, tables, these under headings of that
    level, and pictures.
    """
    write(path, as_markdown(blocks, path.parent, level) + "\n")


def as_markdown(blocks: Iterable[Block], folder: Path, level: int = 2) -> str:
    """Blocks of a page in a folder, into which its pictures are written."""
    written = []
    for block in blocks:
        if isinstance(block, str):
            written.append(unwrapped(block))
        elif isinstance(block, Picture):
            written.append(drawn(block, folder))
        else:
            written.append(to_markdown(block, level).strip())
    return "\n\n".join(written)


def unwrapped(text: str) -> str:
    """A text without the layout that it has in code: each paragraph is one line, since numbers
    in it would leave lines of odd lengths; but not where there are lists, tables, headings,
    HTML or code.
    """
    text = dedent(text).strip("\n")
    return text if MARKUP.search(text) else LINE_BREAK.sub(" ", text)


def table(title: str, rows: Sequence[Mapping[str, str]], *notes: str) -> Table:
    """A table of rows that have the same columns."""
    columns = list(rows[0])
    lines = [[row[column] for column in columns] for row in rows]
    return Table(title, columns, lines, [*map(unwrapped, notes)])


def multiply_adds(network: nn.Module, image_spec: ImageSpec = MNIST) -> int:
    """The multiplications with an addition that a forward pass of one image takes, as
    torchinfo counts them.
    """
    count: int = summary(network, input_size=(1, *image_spec.shape), verbose=0).total_mult_adds
    return count


def millions(count: int) -> str:
    return f"{count / 1e6:.2f} M"


def write_sections(out: Path, page: str, sections: Mapping[str, Block]) -> None:
    """Write these sections, by their names, into a page that a folder has, or into its
    copy of the repository's.
    """
    path = out / page
    text = (path if path.is_file() else REPOSITORY / page).read_text()
    unknown = sections.keys() - {name for name, _ in SECTION.findall(text)}
    if unknown:
        raise ValueError(f"{page} has no marks for {', '.join(sorted(unknown))}")

    def marked(section: re.Match[str]) -> str:
        name, content = section.groups()
        if name in sections:
            content = as_markdown([sections[name]], path.parent)
        lines = [f"<!-- {name}: begin -->", content, f"<!-- {name}: end -->"]
        return "\n".join(filter(None, lines))

    write(path, SECTION.sub(marked, text))


def origin(package: str, page: str, results: Results, how: str) -> str:
    """The command of a benchmark, its raw numbers, and how and where they were measured."""
    command = shlex.join(["python", "-m", package, *results.arguments])
    return (
        f"`{command}`: [raw numbers](../data/{page}.json), {results.minutes:.0f} minutes; "
        f"{brief_machine(results.machine)}, {how}, commit {results.commit or 'unknown'}."
    )


def brief_machine(machine: str) -> str:
    """Processors and torch, of a machine with all its versions: docs/lab/README.md has
    the others.
    """
    parts = OUTSIDE_BRACKETS.split(machine)
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
    write(output_folder(folder) / f"{name}.json", as_json(asdict(results), indent=1) + "\n")


def read_raw_numbers(folder: Path, name: str, kind: type[Numbers]) -> Numbers:
    """The results, of that type, from ``<name>.json``.

    Raises:
        UserError: the file is missing or damaged, or of something else.
    """
    path = folder / f"{name}.json"
    try:
        # It reads "nan" as a number.
        return msgspec.json.decode(path.read_bytes(), type=kind, strict=False)
    # msgspec's own errors are ValueErrors.
    except (OSError, ValueError, RecursionError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise UserError(f"cannot read {path} ({reason})") from error


def drawn(picture: Picture, folder: Path) -> str:
    """Write ``name.png`` and, in the dark theme, ``name-dark.png``; the image as a page
    in that folder has it for GitHub.

    Its alternative text begins with the titles of its panels, which are what it shows.
    """
    path = folder / f"{picture.name}.png"
    save(picture.draw, path.with_stem(f"{picture.name}-dark"), DARK)
    titles = [axes.get_title("left") for axes in save(picture.draw, path).axes]
    text = ". ".join([*filter(None, titles), picture.description]).replace("\n", " ")
    return (
        "<picture>\n"
        f'  <source media="(prefers-color-scheme: dark)" srcset="{picture.name}-dark.png">\n'
        f'  <img alt="{text}" src="{picture.name}.png">\n'
        "</picture>"
    )
