"""usage: python docs/pages.py [--out FOLDER]

Make every page of the documentation that has numbers, and the parts of README.md and docs/manual/use.md that have, from
docs/data/ alone: tables, figures and what commands print, without training, in seconds. Pages whose numbers are missing
are left as they are.

  --out FOLDER         where README.md and docs/ are written (default: this repository)
"""

import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # docs/ and benchmarks/ are no part of the package

from benchmarks.handwriting import page as handwriting
from benchmarks.handwriting.results import Results as HandwritingResults
from benchmarks.pages import read_raw_numbers
from benchmarks.pictures import page as pictures
from benchmarks.processes import page as processes
from benchmarks.rows import Results
from benchmarks.search import page as search
from benchmarks.training import page as performance
from convblocks.atomic import write
from convblocks.command_line import Parser, output_folder
from convblocks.comparison.analysis import compare
from convblocks.comparison.report import results_table
from convblocks.comparison.study.decision import at_notebooks
from convblocks.console import answer, end
from convblocks.errors import UserError
from convblocks.runs.result import by_arch, read_results
from convblocks.tables import Table, to_markdown
from docs.board import write_board
from docs.comparisons import DATA, REPOSITORY
from docs.results import write_results
from docs.sessions import README, USE, numbers_of, write_transcripts
from docs.tables import SPRINT_GOAL, batches_table, candidates_table, channels_table, sources, sprint_tables

# Recipes by the names of their records, and of what they were chosen.
RECIPES = {"onecycle": "Five epochs: configs/onecycle.yaml", "long": "Thirty epochs: configs/long.yaml"}
CANDIDATES = ("candidates-batchnorm", "candidates-long", "candidates-sprint")


class Page(NamedTuple):
    """A page: the numbers that it is made of, the command that makes these, and what writes it into a folder."""

    numbers: tuple[str, ...]
    command: str
    write: Callable[[Path, Path], None]

    def missing(self, data: Path) -> list[str]:
        """The numbers that are not there."""
        return [name for name in self.numbers if not any(data.glob(f"{name}.*"))]


def main(arguments: list[str]) -> None:
    """Write the pages.

    Raises:
        UserError: numbers are missing or damaged.
    """
    parser = Parser()
    parser.add_argument("--out", type=Path, default=REPOSITORY)
    write_pages(DATA, parser.parse_args(arguments).out)


def write_pages(data: Path, out: Path) -> None:
    """Write README.md and docs/ into a folder, as far as the numbers are there.

    Raises:
        UserError: numbers are missing or damaged.
    """
    for folder in ("lab", "manual"):
        output_folder(out / "docs" / folder)
    for page in PAGES.values():
        if not page.missing(data):
            page.write(data, out)
    if lacking := {name: page for name, page in PAGES.items() if page.missing(data)}:
        told = [f"{name} ({' and '.join(page.missing(data))}: {page.command})" for name, page in lacking.items()]
        raise UserError(f"numbers are missing in {data}, and these pages left as they are: {', '.join(told)}")


def write_recipes(data: Path, out: Path) -> None:
    """docs/lab/recipes.md."""
    blocks = [
        "# Recipes",
        "What the best settings reach on the test set, and how they were chosen: by hand, from a few candidates, by "
        "their accuracy on 10,000 training images that were held out. The five epochs' recipe was chosen for the "
        "BatchNorm network, and the sprint's in float32, since its runs were to be compared on any machine. "
        "[The board](board.md) has what they cost.",
    ]
    for name, title in RECIPES.items():
        results = read_results(data / f"{name}.jsonl")
        table = results_table(title, [compare(results)])
        blocks += [_markdown([table]), sources(name, results)]
    for name in CANDIDATES:
        results = read_results(data / f"{name}.jsonl")
        blocks += [_markdown([candidates_table(own) for own in by_arch(results).values()]), sources(name, results)]
    _write(out / "docs" / "lab" / "recipes.md", *blocks)


def write_sprint(data: Path, out: Path) -> None:
    """docs/lab/sprint.md."""
    results = read_results(data / "sprint.jsonl")
    _write(
        out / "docs" / "lab" / "sprint.md",
        f"# Sprint: the MaxPool network to {SPRINT_GOAL:.0%} in one epoch",
        "Seconds of training and evaluation, until the goal was reached.",
        sources("sprint", results),
        _markdown(sprint_tables(results)),
    )


def write_batches(data: Path, out: Path) -> None:
    """docs/lab/batches.md."""
    results = read_results(data / "batches.jsonl")
    _write(
        out / "docs" / "lab" / "batches.md",
        "# The learning rate when the batch grows",
        sources("batches", results),
        _markdown([batches_table(results)]),
    )


def write_channels(data: Path, out: Path) -> None:
    """docs/lab/channels.md."""
    first = read_results(data / "channels.jsonl")
    last = [one for one in at_notebooks(read_results(data / "study-confirm.jsonl")) if one.arch == "batchnorm"]
    _write(
        out / "docs" / "lab" / "channels.md",
        "# Batch normalisation in torch's two orders of memory",
        "Networks here compute in channels_last, in which torch's convolutions are fastest. On a CPU torch's batch "
        "normalisation then adds up the values of a channel one after the other, and some gradients of BatchNorm are "
        "less exact ([cluster.md](../manual/cluster.md)) than with channels first. Does a network learn less from "
        "them? `docs/channels.py` has the BatchNorm network with the exact sums: the same weights at the beginning, the same "
        "batches, the notebook's setting.",
        _markdown([channels_table(first, last)]),
        sources("channels", first),
        sources("study-confirm", last),
    )


def write_benchmark(name: str, page: ModuleType, kind: type[Any], data: Path, out: Path) -> None:
    """A benchmark's page, by the function with which the benchmark itself writes it."""
    page.write_page(out / "docs" / "lab", read_raw_numbers(data, name, kind))


def _benchmark(name: str, command: str, page: ModuleType, kind: type[Any]) -> Page:
    return Page((name,), command, partial(write_benchmark, name, page, kind))


def _sessions(page: str) -> Page:
    return Page(numbers_of(page), "python docs/train.py sessions", partial(write_transcripts, page))


PAGES = {
    "results": Page(("study-choose", "study-confirm"), "python docs/train.py study", write_results),
    "recipes": Page((*RECIPES, *CANDIDATES), "python docs/train.py onecycle long candidates", write_recipes),
    "sprint": Page(("sprint",), "python docs/train.py sprint", write_sprint),
    "batches": Page(("batches",), "python docs/train.py batches", write_batches),
    "channels": Page(("channels", "study-confirm"), "python docs/train.py study channels", write_channels),
    "board": Page(
        ("study-choose", "study-confirm", "onecycle", "long", "sprint", "performance", "public"),
        "python docs/train.py",
        write_board,
    ),
    "performance": _benchmark("performance", "python scripts/benchmark.py --out docs", performance, Results),
    "processes": _benchmark("processes", "python -m benchmarks.processes --out docs", processes, Results),
    "pictures": _benchmark("pictures", "python -m benchmarks.pictures --out docs", pictures, Results),
    "search": _benchmark("search", "python docs/train.py search", search, Results),
    "handwriting": _benchmark("handwriting", "python docs/train.py handwriting", handwriting, HandwritingResults),
    "readme": _sessions(README),
    "use": _sessions(USE),
}


def _write(path: Path, *blocks: str) -> None:
    write(path, "\n\n".join(blocks) + "\n")


def _markdown(tables: Sequence[Table], level: int = 2) -> str:
    return to_markdown(tables, level).strip()


if __name__ == "__main__":
    end(answer(main, __doc__))
