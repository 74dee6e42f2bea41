"""usage: python docs/pages.py [--out FOLDER]

Make every page of the documentation that has numbers, and the parts of README.md and docs/manual/use.md that have, from
docs/data/ alone: tables, figures, what commands print and the folder docs/play, without training, in seconds. Pages
whose numbers are missing are left as they are. At the end it prints how many commits have touched the measured code
since each of the runs.

  --out FOLDER         where README.md and docs/ are written (default: this repository)
"""

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # docs/ and benchmarks/ are no part of the package

from benchmarks.growth import page as growth
from benchmarks.handwriting import page as handwriting
from benchmarks.handwriting.results import Results as HandwritingResults
from benchmarks.pages import Page, output_folder, read_raw_numbers
from benchmarks.pictures import page as pictures
from benchmarks.processes import page as processes
from benchmarks.rows import Results
from benchmarks.search import page as search
from benchmarks.training import page as performance
from convblocks.command_line import Parser
from convblocks.console import answer, end
from convblocks.errors import UserError
from convblocks.figures.tables import to_console
from convblocks.run.progress import terminal
from docs import play
from docs.board import write_board
from docs.experiments import write_experiments, write_operations
from docs.provenance import changes_table
from docs.results import write_results
from docs.sessions import README, USE, write_transcripts
from docs.wings import write_wings
from docs.writing import DATA, REPOSITORY

# What writes a page into a folder, from the numbers in another.
Writer = Callable[[Path, Path], None]


def main(arguments: list[str]) -> None:
    parser = Parser()
    parser.add_argument("--out", type=Path, default=REPOSITORY)
    write_pages(DATA, parser.parse_args(arguments).out)
    # No page has these numbers: every later commit would make it differ from its data.
    to_console([changes_table(DATA)], terminal())


def write_pages(data: Path, out: Path) -> None:
    """Write README.md and docs/ into a folder, as far as the numbers are there.

    Raises:
        UserError: numbers are missing or damaged.
    """
    for folder in ("lab", "manual"):
        output_folder(out / "docs" / folder)
    unwritten = []
    for name, (command, write_page) in PAGES.items():
        try:
            write_page(data, out)
        except (UserError, OSError) as error:
            unwritten.append(f"{name} ({error}: python {command})")
    if unwritten:
        raise UserError(f"these pages are left as they are: {', '.join(unwritten)}")


def benchmark(page: Page) -> Writer:
    """A benchmark's page, as the benchmark itself writes it."""
    return lambda data, out: page.write(out / "docs" / "lab", read_raw_numbers(data, page.template.stem, Results))


def write_handwriting(data: Path, out: Path) -> None:
    handwriting.write_page(out / "docs" / "lab", read_raw_numbers(data, "handwriting", HandwritingResults))


# Each with the command that makes its numbers.
PAGES: dict[str, tuple[str, Writer]] = {
    "results": ("docs/train.py study", write_results),
    "operations": ("docs/train.py", write_operations),
    "experiments": ("docs/train.py", write_experiments),
    "board": ("docs/train.py", write_board),
    "performance": ("-m benchmarks.training --out docs", benchmark(performance.PAGE)),
    "growth": ("-m benchmarks.growth --out docs", benchmark(growth.PAGE)),
    "processes": ("-m benchmarks.processes --out docs", benchmark(processes.PAGE)),
    "pictures": ("-m benchmarks.pictures --out docs", benchmark(pictures.PAGE)),
    "search": ("docs/train.py search", benchmark(search.PAGE)),
    "handwriting": ("docs/train.py handwriting", write_handwriting),
    "readme": ("docs/train.py sessions", partial(write_transcripts, README)),
    "use": ("docs/train.py sessions", partial(write_transcripts, USE)),
    "play": ("docs/train.py play", play.write_page),
    "code": ("docs/pages.py", write_wings),
}


if __name__ == "__main__":
    end(answer(main, __doc__))
