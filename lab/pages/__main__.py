"""usage: python -m lab.pages [--out FOLDER]

Make every page of the documentation that has numbers, and the parts of README.md and
docs/manual/use.md that have, from docs/data/ alone: tables, figures, what commands
print and the folder docs/play, without training, in seconds. Pages whose numbers are
missing are left as they are.

  --out FOLDER         where README.md and docs/ are written (default: this repository)
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from convblocks.command_line import Parser
from convblocks.console import answer, end
from convblocks.errors import UserError
from lab.benchmarks.growth import page as growth
from lab.benchmarks.handwriting import page as handwriting
from lab.benchmarks.handwriting.results import Results as HandwritingResults
from lab.benchmarks.pictures import page as pictures
from lab.benchmarks.processes import page as processes
from lab.benchmarks.resume import page as resume
from lab.benchmarks.rows import Results
from lab.benchmarks.search import page as search
from lab.benchmarks.training import page as performance
from lab.benchmarks.training.history import read_history
from lab.pages import play
from lab.pages.board import write_board
from lab.pages.experiments import PAGES as EXPERIMENTS
from lab.pages.experiments import write_experiments_of, write_readme
from lab.pages.overview import write_overview, write_wings
from lab.pages.results import write_results
from lab.pages.sessions import README, USE, write_transcripts
from lab.pages.teacher import write_lesson
from lab.pages.writing import DATA, REPOSITORY, Block, output_folder, read_raw_numbers, write_page

# What writes a page into a folder, from the numbers in another.
Writer = Callable[[Path, Path], None]


def main(arguments: list[str]) -> None:
    """Write README.md and docs/ into a folder, as far as the numbers are there.

    Raises:
        UserError: numbers are missing or damaged.
    """
    parser = Parser()
    parser.add_argument("--out", type=Path, default=REPOSITORY)
    out = parser.parse_args(arguments).out
    for folder in ("lab", "manual"):
        output_folder(out / "docs" / folder)
    unwritten = []
    for name, (command, write_one) in PAGES.items():
        try:
            write_one(DATA, out)
        except (UserError, OSError) as error:
            unwritten.append(f"{name} ({error}: python {command})")
    if unwritten:
        raise UserError(f"these pages are left as they are: {', '.join(unwritten)}")


def benchmark(name: str, blocks: Callable[[Results], list[Block]]) -> Writer:
    """A benchmark's page, as the benchmark itself writes it."""
    return lambda data, out: write_page(
        out / "docs" / "lab" / f"{name}.md", *blocks(read_raw_numbers(data, name, Results))
    )


def write_performance(data: Path, out: Path) -> None:
    results = read_raw_numbers(data, "performance", Results)
    blocks = performance.blocks(results, read_history(data))
    write_page(out / "docs" / "lab" / "performance.md", *blocks)


def write_handwriting(data: Path, out: Path) -> None:
    answers = read_raw_numbers(data, "handwriting", HandwritingResults)
    handwriting.publish(out / "docs" / "lab", answers)


# Each with the command that makes its numbers.
PAGES: dict[str, tuple[str, Writer]] = {
    "lab": ("-m lab.train", write_overview),
    "results": ("-m lab.train study", write_results),
    **{page: ("-m lab.train", partial(write_experiments_of, page)) for page in EXPERIMENTS},
    "front page": ("-m lab.train", write_readme),
    "board": ("-m lab.train", write_board),
    "performance": (f"-m {performance.__package__} --out docs", write_performance),
    **{
        name: (f"-m {page.__package__} --out docs", benchmark(name, page.blocks))
        for name, page in {
            "growth": growth,
            "processes": processes,
            "pictures": pictures,
            "resume": resume,
        }.items()
    },
    "exact_resume": ("-m lab.benchmarks.resume --out docs", resume.write_sections_of_readme),
    "search": ("-m lab.train search", benchmark("search", search.blocks)),
    "handwriting": ("-m lab.train handwriting", write_handwriting),
    "readme": ("-m lab.train sessions", partial(write_transcripts, README)),
    "use": ("-m lab.train sessions", partial(write_transcripts, USE)),
    "play": ("-m lab.train play", play.write_page),
    "lesson": ("-m lab.lesson", write_lesson),
    "code": ("-m lab.pages", write_wings),
}


if __name__ == "__main__":
    end(answer(main, __doc__))
