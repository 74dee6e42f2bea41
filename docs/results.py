"""The README's answer, and docs/lab/results.md: which network is better, and all that the study found."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from benchmarks.pages import picture
from convblocks.atomic import write
from convblocks.comparison.analysis import ArmSummary, Comparison
from convblocks.comparison.details import differences_tables, notebook_table, times_table
from convblocks.comparison.study.dead_units import dead_unit_sentences, dead_units_table
from convblocks.comparison.study.decision import Decision, decide
from convblocks.comparison.study.report import (
    AT_BEST,
    AT_NOTEBOOKS,
    SWEPT,
    choice_table,
    conclusions,
    decision_tables,
    differences_of,
)
from convblocks.comparison.study.stages import choices_of
from convblocks.comparison.wording import settings_text
from convblocks.estimates import cell
from convblocks.figures.curves import comparison_figure, dead_units_figure
from convblocks.figures.style import save_in_both_themes
from convblocks.figures.sweep import sweep_figure
from convblocks.runs.result import read_results
from convblocks.tables import Table, to_markdown
from docs.sections import write_sections
from docs.tables import sources

ANSWER = (
    "Left: test error against learning rate, every run a dot, and below it the share of collapsed runs. Right: the "
    "differences of the networks in test accuracy, with 95 % intervals"
)
CURVES = "Loss and test error by epoch, every run a line, and every run's final test error"
DEAD_UNITS = "The share of dead units behind each ReLU, by epoch"


def write_results(data: Path, out: Path) -> None:
    """Make both from the records of the study's two stages."""
    choice, confirmed = (read_results(data / f"study-{stage}.jsonl") for stage in ("choose", "confirm"))
    choices = choices_of(choice)
    decision = decide(confirmed, choices)
    tables = decision_tables(decision)
    why = dead_unit_sentences([*choice, *confirmed])
    draw = partial(sweep_figure, [*choice, *confirmed], differences_of(decision))
    save_in_both_themes(draw, out / "docs" / "lab" / "results.png")
    write_sections(out, "README.md", readme_sections(decision, why))
    blocks = [
        "# Results",
        "Which network is better? [The protocol](protocol.md) says how that is decided, in two stages.",
        picture("results", ANSWER),
        "\n".join(f"- {line}" for line in [*conclusions(decision), *why]),
        sources("study-confirm", confirmed),
        to_markdown([*tables, dead_units_table([*choice, *confirmed])]).strip(),
        to_markdown([choice_table(choice, choices)]).strip(),
        sources("study-choose", choice),
        "## At the notebook's setting",
        *setting(out / "docs" / "lab", "notebook", decision.at_notebooks),
        "## Each network at its own best setting",
        *setting(out / "docs" / "lab", "best", decision.at_best),
    ]
    write(out / "docs" / "lab" / "results.md", "\n\n".join(blocks) + "\n")


def readme_sections(decision: Decision, why: Sequence[str]) -> dict[str, str]:
    """The answer with its figure, the accuracy of each network, and its dead units."""
    answer = [line for line in conclusions(decision) if line.startswith((AT_BEST, AT_NOTEBOOKS))]
    return {
        "answer": f"{' '.join(answer)}\n\n{picture('docs/lab/results', ANSWER)}",
        "networks": to_markdown([networks_table(decision)]).strip(),
        "dead units": "\n\n".join([*why[:1], picture("docs/lab/dead-units-notebook", DEAD_UNITS)]),
    }


def networks_table(decision: Decision) -> Table:
    """A line for each network: what it reaches at both settings."""
    at_notebooks = {arm.arch: arm for arm in decision.at_notebooks.arms}
    rows = []
    for best in decision.at_best.arms:
        reached = _reached(at_notebooks[best.arch]), _reached(best)
        rows.append([best.arch, f"{best.parameters:,}", *reached, settings_text(best.overrides, SWEPT)])
    columns = ["network", "parameters", "at the notebook's setting", "at its own best setting", "best setting"]
    notes = ["Test accuracy in per cent, the mean of the runs that trained, with its 95 % interval."]
    return Table("Accuracies", columns, rows, notes)


def _reached(arm: ArmSummary) -> str:
    """``97.01 [96.46, 97.57], 8 of 12 trained``, the count only if some collapsed."""
    count = f", {arm.trained_runs} of {arm.runs} trained" if arm.collapsed_at else ""
    return f"{cell(arm.accuracy)}{count}"


def setting(folder: Path, name: str, comparison: Comparison) -> list[str]:
    """The runs at one setting of each network: the curves, the dead units, and the details."""
    results = comparison.results
    save_in_both_themes(partial(comparison_figure, results), folder / f"curves-{name}.png")
    save_in_both_themes(partial(dead_units_figure, results), folder / f"dead-units-{name}.png")
    details = [notebook_table(comparison), times_table(results), *differences_tables(comparison)]
    return [
        picture(f"curves-{name}", CURVES),
        picture(f"dead-units-{name}", DEAD_UNITS),
        to_markdown(details, level=3).strip(),
    ]
