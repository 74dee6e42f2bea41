"""The README's answer, and docs/results.md: which network is better, and all that the study found."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from benchmarks.pages import picture
from convblocks.atomic import write
from convblocks.comparison.details import differences_table, notebook_table, times_table
from convblocks.comparison.figure import comparison_figure, dead_units_figure
from convblocks.comparison.outcomes import RunResult
from convblocks.comparison.records import read_records
from convblocks.comparison.study.causes import causes, dead_units_table
from convblocks.comparison.study.decision import Decision, cell_of, decide
from convblocks.comparison.study.figure import decision_figure
from convblocks.comparison.study.plan import NOTEBOOK
from convblocks.comparison.study.report import AT_BEST, AT_NOTEBOOKS, SWEPT, choice_table, decision_tables, verdict
from convblocks.comparison.study.stages import choices_of
from convblocks.comparison.verdicts import Comparison, Row
from convblocks.comparison.wording import accuracy_text, settings_text
from convblocks.evaluation.drawing import save
from convblocks.tables import Table, to_markdown
from docs.sections import write_sections
from docs.tables import sources

ANSWER = (
    "Left: test error against learning rate, every run a dot, and below it the share of collapsed runs. Right: the "
    "differences of the networks in test accuracy, with 95 % intervals"
)
CURVES = "Loss and test error by epoch, every run a line, and every run's final test error"
DEAD = "The share of silent units behind each ReLU, by epoch"


def write_results(data: Path, out: Path) -> None:
    """Make both from the records of the study's two stages."""
    choice, confirmed = (read_records(data, f"study-{stage}") for stage in ("choose", "confirm"))
    choices = choices_of(choice)
    decision = decide(confirmed, choices)
    tables = decision_tables(decision)
    why = causes([*choice, *confirmed])
    save(partial(decision_figure, [*choice, *confirmed], decision), out / "docs" / "results.png")
    write_sections(out, "README.md", readme_sections(decision, why))
    at_notebooks = [one for one in confirmed if cell_of(one) == NOTEBOOK]
    at_best = [one for one in confirmed if cell_of(one) == choices[one.arch]]
    blocks = [
        "# Results",
        "Which network is better? [The protocol](protocol.md) says how that is decided, in two stages.",
        picture("results", ANSWER),
        "\n".join(f"- {line}" for line in [*verdict(decision), *why]),
        sources("study-confirm", confirmed),
        to_markdown([*tables, dead_units_table([*choice, *confirmed])]).strip(),
        to_markdown([choice_table(choice, choices)]).strip(),
        sources("study-choose", choice),
        "## At the notebook's setting",
        *setting(out / "docs", "notebook", decision.at_notebooks, at_notebooks),
        "## Each network at its own best setting",
        *setting(out / "docs", "best", decision.at_best, at_best),
    ]
    write(out / "docs" / "results.md", "\n\n".join(blocks) + "\n")


def readme_sections(decision: Decision, why: Sequence[str]) -> dict[str, str]:
    """The answer with its figure; what each network reaches, and what falls silent in it."""
    answer = [line for line in verdict(decision) if line.startswith((AT_BEST, AT_NOTEBOOKS))]
    return {
        "answer": f"{' '.join(answer)}\n\n{picture('docs/results', ANSWER)}",
        "networks": to_markdown([networks_table(decision)]).strip(),
        "silence": "\n\n".join([*why[:1], picture("docs/silence-notebook", DEAD)]),
    }


def networks_table(decision: Decision) -> Table:
    """A line for each network: what it reaches at both settings."""
    at_notebooks = {row.arch: row for row in decision.at_notebooks.rows}
    rows = []
    for best in decision.at_best.rows:
        reached = _reached(at_notebooks[best.arch]), _reached(best)
        rows.append([best.arch, f"{best.parameters:,}", *reached, settings_text(best.settings, SWEPT)])
    columns = ["network", "parameters", "at the notebook's setting", "at its own best setting", "best setting"]
    notes = ["Test accuracy in per cent, the mean of the runs that trained, with its 95 % interval."]
    return Table("Accuracies", columns, rows, notes)


def _reached(row: Row) -> str:
    """``97.01 [96.46, 97.57], 8 of 12 trained``; the count only where some did not."""
    lost = "" if row.trained == row.runs else f", {row.trained} of {row.runs} trained"
    return f"{accuracy_text(row.accuracy)}{lost}"


def setting(folder: Path, name: str, comparison: Comparison, outcomes: Sequence[RunResult]) -> list[str]:
    """What is to be seen of the runs at one setting of each network: the curves, the silent units, and the details."""
    save(partial(comparison_figure, outcomes), folder / f"curves-{name}.png")
    save(partial(dead_units_figure, outcomes), folder / f"silence-{name}.png")
    details = [notebook_table(comparison, outcomes), times_table(outcomes), differences_table(comparison)]
    return [picture(f"curves-{name}", CURVES), picture(f"silence-{name}", DEAD), to_markdown(details, level=3).strip()]
