"""usage: python docs/pages.py [results] [recipes] [sprint] [batches]

Write pages of the documentation, from the repository's folder, out of the comparisons that they show; what is missing
of these is trained in lightning_logs/.

  results              README.md's results and docs/results.md; about an hour on two CPUs
  recipes              docs/recipes.md; about 20 minutes on two CPUs
  sprint               docs/sprint.md, and in docs/sprint.json the runs of all machines that it shows; about 3 minutes
  batches              docs/batches.md; about 5 minutes on two CPUs

Without a name all are written.
"""

import json
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import mean, median, stdev

from convblocks.atomic import write
from convblocks.comparison import compare, options
from convblocks.comparison.details import as_markdown
from convblocks.comparison.findings import find
from convblocks.comparison.outcomes import Outcome, read_outcome
from convblocks.comparison.report import results_table
from convblocks.comparison.trials import Trial
from convblocks.comparison.verdicts import compare as compared
from convblocks.console import answer
from convblocks.errors import UsageError
from convblocks.runs.directory import LOGS
from convblocks.tables import Table, as_json, percent, to_markdown

DOCS = Path(__file__).resolve().parent
README = DOCS.parent / "README.md"

RESULTS = ["--name", "results"]
RATES = [
    *["--name", "rates", "--seeds", "3", "--data.val_size", "5000"],
    *["--grid", "lr=1e-3,1e-2", "--grid", "lr_scheduler=constant,onecycle"],
]
ONECYCLE = ["--name", "onecycle", "--config", "configs/onecycle.yaml", "--arch", "maxpool", "batchnorm", "--seeds", "5"]
SPRINT = [
    *["--name", "sprint", "--config", "configs/sprint.yaml", "--arch", "maxpool", "--seeds", "5"],
    *["--jobs", "1", "--threads", "2", "--grid", "trainer.precision=bf16-mixed,32-true"],
]
# Without changing the learning rate when the batch grows, and with it, as the batch's size or as its square root.
BATCHES = [
    *["--name", "batches", "--arch", "mlp", "--seeds", "3"],
    *["--grid", "batch_size=64,256,1024,4096", "--grid", "lr=0.01,0.02,0.04,0.08,0.16,0.64"],
]

BEGIN, END = "<!-- results: begin -->", "<!-- results: end -->"

# What a sprint runs for.
GOAL = 0.99


def main(arguments: list[str]) -> None:
    """Train what is missing of the pages' comparisons, and write the pages.

    Raises:
        UsageError: a page that there is not.
    """
    for name in arguments:
        if name not in PAGES:
            raise UsageError(f"there is no page {name}: choose from {', '.join(PAGES)}, or none for all")
    for name in arguments or PAGES:
        PAGES[name]()


def write_results() -> None:
    """The README's section and docs/results.md."""
    trials = trained(RESULTS)
    outcomes = [read_outcome(trial) for trial in trials]
    before, _, rest = README.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    summary = to_markdown([summary_table(outcomes)], level=3).partition("\n\n")[2].strip()
    blocks = [BEGIN, picture("results", folder="docs/"), summary, claims(outcomes), provenance(RESULTS, trials), END]
    README.write_text(before + "\n\n".join(blocks) + after)
    rates = trained(RATES)
    write_page(
        "results",
        "# Results",
        "Written by `python docs/pages.py results`, which trains what is missing, then writes this page and the "
        "README's section.",
        "## Defaults, as in the notebook",
        provenance(RESULTS, trials),
        picture("results"),
        report(trials),
        "## Learning rate and schedule",
        "Each network at its own best setting. The setting is chosen by the mean accuracy on 5,000 training "
        "images that were held out; the test set was looked at once a run, after that.",
        provenance(RATES, rates),
        picture("rates"),
        report(rates),
    )


def write_recipes() -> None:
    """docs/recipes.md."""
    onecycle = trained(ONECYCLE)
    means = results_table("Results", [compared([read_outcome(trial) for trial in onecycle])])
    write_page(
        "recipes",
        "# Recipes",
        "Written by `python docs/pages.py recipes`, which trains what is missing. The settings were chosen by "
        "hand, by their accuracy on 10,000 training images that were held out; what is reported here is the test set. "
        "The goals were a mean of 99.45 % for maxpool and of 99.30 % for batchnorm.",
        "## One cycle and augmentation: configs/onecycle.yaml",
        provenance(ONECYCLE, onecycle),
        to_markdown([means], level=3).strip(),
    )


def write_sprint() -> None:
    """docs/sprint.md: what this machine's runs took, beside those of the machines on which it was written before."""
    trials = trained(SPRINT)
    machine = trials[0].run.read_summary()["machine"]
    stored = DOCS / "sprint.json"
    by_machine = json.loads(stored.read_text()) | {machine: sprint_rows([read_outcome(trial) for trial in trials])}
    write(stored, as_json(by_machine, indent=1))
    columns = ["precision", "seed", "seconds from the first step", "test accuracy"]
    write_page(
        "sprint",
        f"# Sprint: the MaxPool network to {GOAL:.0%} in one epoch",
        "Written by `python docs/pages.py sprint`, which trains what is missing on the machine where it runs, with "
        f"`python scripts/compare.py {' '.join(SPRINT)}`, and keeps the figures of other machines; the EPYC's "
        "are from before both precisions were compared. Seconds of training and evaluation, until the goal was "
        "reached.",
        to_markdown([Table(name, columns, rows) for name, rows in by_machine.items()], level=2).strip(),
    )


def write_batches() -> None:
    """docs/batches.md."""
    trials = trained(BATCHES)
    write_page(
        "batches",
        "# The learning rate when the batch grows",
        "Written by `python docs/pages.py batches`, which trains what is missing.",
        provenance(BATCHES, trials),
        to_markdown([batches_table([read_outcome(trial) for trial in trials])], level=2).strip(),
    )


PAGES: dict[str, Callable[[], None]] = {
    "results": write_results,
    "recipes": write_recipes,
    "sprint": write_sprint,
    "batches": write_batches,
}


def trained(arguments: list[str]) -> list[Trial]:
    """The runs of a comparison, all of them done."""
    compare.main(arguments)
    return compare.trials_of(options.parse(arguments))


def write_page(name: str, *blocks: str) -> None:
    (DOCS / f"{name}.md").write_text("\n\n".join(blocks) + "\n")


def report(trials: Sequence[Trial]) -> str:
    """All that a comparison tells."""
    return as_markdown(find([read_outcome(trial) for trial in trials]), level=3).strip()


def provenance(arguments: list[str], trials: Sequence[Trial]) -> str:
    """How the figures came about: command, machine, number of runs, time."""
    seconds = sum(read_outcome(trial).seconds for trial in trials)
    jobs = "one after the other" if "--jobs" in arguments else "side by side"
    threads = "two threads" if "--threads" in arguments else "one thread"
    machines = "; ".join(dict.fromkeys(trial.run.read_summary()["machine"] for trial in trials))
    return (
        f"`python scripts/compare.py {' '.join(arguments)}`: {len(trials)} runs, {seconds / 60:.0f} min of training in "
        f"all, {jobs} with {threads} each, on {machines}."
    )


def picture(name: str, folder: str = "") -> str:
    """Copy a comparison's picture into the documentation, and link to it."""
    shutil.copy(LOGS / name / "comparison.png", DOCS / f"{name}.png")
    return f"![Loss and accuracy by epoch, and every run's final accuracy]({folder}{name}.png)"


def summary_table(outcomes: Sequence[Outcome]) -> Table:
    """The least that a reader must see: a line for each network."""
    rows = [
        [
            row.arch,
            f"{row.parameters:,}",
            percent(median(accuracies)),
            f"{percent(min(accuracies))} to {percent(max(accuracies))}",
            f"{row.runs - row.trained} of {row.runs}",
        ]
        for row in compared(outcomes).rows
        if (accuracies := [one.accuracy for one in outcomes if one.arch == row.arch and not one.collapsed])
    ]
    columns = ["network", "parameters", "median test accuracy if trained", "range", "collapsed"]
    return Table("Summary", columns, rows)


def claims(outcomes: Sequence[Outcome]) -> str:
    """The notebook's claims by verdict, over all runs."""
    lines = [f"- {claim.text}: {claim.expected.verdict}." for claim in compared(outcomes).claims]
    return "The notebook's claims, over all runs, at 5 % after Holm's correction:\n\n" + "\n".join(lines)


def batches_table(outcomes: Sequence[Outcome]) -> Table:
    """Test accuracy by batch size and learning rate: mean, and standard deviation over seeds."""
    cells: dict[tuple[str, str], list[float]] = {}
    for outcome in outcomes:
        options = dict(outcome.settings)
        cells.setdefault((options["batch_size"], options["lr"]), []).append(100 * outcome.accuracy)
    sizes, rates = ([*dict.fromkeys(cell[part] for cell in cells)] for part in (0, 1))
    rows = [
        [size, *[f"{mean(cells[size, rate]):.2f} ± {stdev(cells[size, rate]):.2f}" for rate in rates]] for size in sizes
    ]
    notes = [
        f"Mean ± standard deviation of {len(outcomes) // len(cells)} seeds after 5 epochs: a batch of twice the size "
        "makes half as many steps. Scaled with the batch's size, the learning rate of 0.01 at 64 would be 0.04, 0.16 "
        "and 0.64; scaled with its square root, 0.02, 0.04 and 0.08."
    ]
    return Table(
        "Test accuracy in % by batch size and learning rate",
        ["batch size", *[f"lr {rate}" for rate in rates]],
        rows,
        notes,
    )


def sprint_rows(outcomes: Sequence[Outcome]) -> list[list[str]]:
    """When each run reached the goal for the first time, in seconds of training and evaluation since its first step."""
    rows = []
    for outcome in outcomes:
        seconds, reached = 0.0, "never"
        for epoch in outcome.epochs:
            seconds += epoch["seconds"]
            if epoch["test/acc"] >= GOAL:
                reached = f"{seconds:.1f}"
                break
        precision = dict(outcome.settings)["trainer.precision"]
        rows.append([precision, str(outcome.seed), reached, percent(outcome.accuracy)])
    return rows


if __name__ == "__main__":
    sys.exit(answer(main, __doc__))
