"""Regenerates the figures in README.md and docs/results.md from real runs."""

import os
import shutil
from pathlib import Path

import pandas

from convblocks import compare
from convblocks.errors import UsageError
from convblocks.machine import describe_machine
from convblocks.runs import LOGS

REPOSITORY = Path(__file__).resolve().parents[2]

RESULTS = ["--name", "results"]
RATES = [
    *["--name", "rates", "--seeds", "3", "--data.val_size", "5000"],
    *["--grid", "lr=1e-3,1e-2", "--grid", "model.schedule=constant,onecycle"],
]

BEGIN, END = "<!-- results: begin -->", "<!-- results: end -->"


def main(arguments: list[str]) -> None:
    """Train what is missing of both comparisons, and write their reports into the documentation.

    Raises:
        UsageError: there are no options to give.
    """
    if arguments:
        raise UsageError(f"unrecognized arguments: {' '.join(arguments)}")
    compare.main(RESULTS)
    compare.main(RATES)
    tables = (LOGS / "results" / "comparison.md").read_text().split("\n## ")
    readme = REPOSITORY / "README.md"
    before, _, rest = readme.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    section = "\n\n".join(
        [
            BEGIN,
            provenance(RESULTS),
            picture("results"),
            "### " + tables[0].removeprefix("## ").strip(),
            "### " + tables[1].strip(),
            "The paired differences behind these verdicts, and a study of the learning rate, are in "
            "[docs/results.md](docs/results.md).",
            END,
        ]
    )
    readme.write_text(before + section + after)
    (REPOSITORY / "docs" / "results.md").write_text(
        "\n\n".join(
            [
                "# Results",
                "Written by `python scripts/results.py`, which trains what is missing, then writes this page and the "
                "README's section.",
                "## Defaults, as in the notebook",
                provenance(RESULTS),
                picture("results").replace("docs/", ""),
                (LOGS / "results" / "comparison.md").read_text().replace("## ", "### ").strip(),
                "## Learning rate and schedule",
                "Each network at its own best setting. The setting is chosen by the mean accuracy on 5,000 training "
                "images that were held out; the test set was looked at once a run, after that.",
                provenance(RATES),
                picture("rates").replace("docs/", ""),
                (LOGS / "rates" / "comparison.md").read_text().replace("## ", "### ").strip(),
            ]
        )
        + "\n"
    )


def provenance(arguments: list[str]) -> str:
    """How the figures came about: command, machine, number of runs, time."""
    seconds = pandas.read_csv(LOGS / arguments[1] / "comparison.csv")["seconds"]
    return (
        f"`python scripts/compare.py {' '.join(arguments)}`: {len(seconds)} runs, {seconds.sum() / 60:.0f} minutes of "
        f"training in all, side by side on {os.cpu_count()} CPUs with one thread each. {describe_machine()}."
    )


def picture(name: str) -> str:
    """Copy a comparison's picture into the documentation, and link to it."""
    shutil.copy(LOGS / name / "comparison.png", REPOSITORY / "docs" / f"{name}.png")
    return f"![Loss and accuracy by epoch, and every run's final accuracy](docs/{name}.png)"
