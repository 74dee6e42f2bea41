"""The tables of the cost of exact_resume."""

from pathlib import Path
from statistics import median

from convblocks.figures.tables import Table
from lab.benchmarks.resume.measure import FIRST, LOADERS, STEPS
from lab.benchmarks.rows import Results, judged, ratio
from lab.pages.writing import (
    Block,
    brief_machine,
    origin,
    output_folder,
    read_raw_numbers,
    table,
    write_sections,
)

# The page of the distribution, which shows the tables too.
README = "src/exact_resume/README.md"


def blocks(results: Results) -> list[Block]:
    """The page."""
    batches = results.settings["batches"]
    return [
        "# What exact_resume costs",
        origin(__package__, "resume", results, "1 thread"),
        [costs_table(results)],
        f"""
        A plain Trainer, with ExactResume and without: an MLP of 256 hidden units on batches of
        64 x 784 numbers in memory; the steps {FIRST + 1} to {STEPS} of an epoch, and a save
        at its end. In each round all take turns.
        """,
        [replay_table(results)],
        f"""
        The first {batches} of {2 * batches} batches of 8 photographs of 500 x 375, decoded and
        cropped to 112 x 112 by two worker processes: training a small convolutional network
        on them, and reading them again, until the next batch is there.
        """,
    ]


def write_sections_of_readme(data: Path, out: Path) -> None:
    """Write the tables into the page of the distribution."""
    results = read_raw_numbers(data, "resume", Results)
    output_folder((out / README).parent)
    write_sections(out, README, {"costs": [costs_table(results), replay_table(results)]})


def costs_table(results: Results) -> Table:
    """A step, a save and a checkpoint's size, with each loader."""
    rows = []
    for loader in LOADERS:
        without, exact = ({"part": "step", "loader": loader, "exact": x} for x in (False, True))
        step = results.ratio("step", exact, without)
        added = results.values("step", **exact) - results.values("step", **without)
        grown = results.median("bytes", **exact) - results.median("bytes", **without)
        saves = [1000 * results.median("save", **case) for case in (without, exact)]
        rows.append(
            {
                "loader": loader,
                "a step without, ms": f"{1000 * results.median('step', **without):.2f}",
                "with / without": judged(step),
                "added, ms": f"{1000 * median(added):.3f}",
                "a save, ms": f"{saves[1]:.1f} ({saves[0]:.1f} without)",
                "a checkpoint grows by": f"{grown / 1000:,.0f} kB",
            }
        )
    machine = f"{brief_machine(results.machine)}, 1 thread"
    return table("", rows, f"Medians of {results.rounds} rounds, 95 % intervals; {machine}.")


def replay_table(results: Results) -> Table:
    """Reading again beside training."""
    training, again = (results.values(name, part="replay") for name in ("training", "replay"))
    row = {
        "training, s": f"{median(training):.1f}",
        "reading again, s": f"{median(again):.1f}",
        "reading again / training": judged(ratio(again, training)),
    }
    return table("", [row])
