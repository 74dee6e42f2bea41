"""The README's answer, and docs/lab/results.md: which network is better, and all that the study found."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from benchmarks.pages import picture
from convblocks.comparison.analysis import ArmSummary, Comparison
from convblocks.comparison.details import differences_tables, notebook_table, times_table
from convblocks.comparison.study import report
from convblocks.comparison.study.dead_units import dead_unit_sentences, dead_units_table
from convblocks.comparison.study.decision import Decision, decide
from convblocks.comparison.study.stages import choices_of
from convblocks.comparison.wording import settings_text
from convblocks.estimates import cell
from convblocks.figures.curves import comparison_figure, dead_units_figure
from convblocks.figures.style import save_in_both_themes
from convblocks.figures.sweep import sweep_figure
from convblocks.runs.result import read_results
from convblocks.tables import Table, to_markdown
from docs.experiments import sources
from docs.writing import table, write_page, write_sections

ANSWER = (
    "Left: test error against learning rate, every run a dot, and below it the share of collapsed runs. Right: the "
    "differences of the networks in test accuracy, with 95 % intervals"
)
DEAD_UNITS = "The share of dead units behind each ReLU, by epoch"
FIGURES = {
    "curves": (comparison_figure, "Loss and test error by epoch, every run a line, and every run's final test error"),
    "dead-units": (dead_units_figure, DEAD_UNITS),
}


def write_results(data: Path, out: Path) -> None:
    """Make both from the records of the study's two stages."""
    choice, confirmed = (read_results(data / f"study-{stage}.jsonl") for stage in ("choose", "confirm"))
    choices = choices_of(choice)
    decision = decide(confirmed, choices)
    answer, why = report.conclusions(decision), dead_unit_sentences([*choice, *confirmed])
    lab = out / "docs" / "lab"
    draw = partial(sweep_figure, [*choice, *confirmed], report.differences_of(decision))
    save_in_both_themes(draw, lab / "results.png")
    short = [line for line in answer if line.startswith((report.AT_BEST, report.AT_NOTEBOOKS))]
    sections = {
        "answer": f"{' '.join(short)}\n\n{picture('docs/lab/results', ANSWER)}",
        "networks": to_markdown([networks_table(decision)]).strip(),
        "dead units": "\n\n".join([*why[:1], picture("docs/lab/dead-units-notebook", DEAD_UNITS)]),
    }
    write_sections(out, "README.md", sections)
    write_page(
        lab / "results.md",
        "# Results",
        "Which network is better? [The protocol](protocol.md) says how that is decided, in two stages.",
        picture("results", ANSWER),
        "\n".join(f"- {line}" for line in [*answer, *why]),
        sources("study-confirm", confirmed),
        [*report.decision_tables(decision), dead_units_table([*choice, *confirmed])],
        [report.choice_table(choice, choices)],
        sources("study-choose", choice),
        "## At the notebook's setting",
        *setting(lab, "notebook", decision.at_notebooks),
        "## Each network at its own best setting",
        *setting(lab, "best", decision.at_best),
    )


def networks_table(decision: Decision) -> Table:
    """A line for each network: what it reaches at both settings."""

    def reached(arm: ArmSummary) -> str:
        """``97.01 [96.46, 97.57], 8 of 12 trained``, the count only if some collapsed."""
        return cell(arm.accuracy) + (f", {arm.trained_runs} of {arm.runs} trained" if arm.collapsed_at else "")

    at_notebooks = {arm.arch: reached(arm) for arm in decision.at_notebooks.arms}
    rows = [
        {
            "network": best.arch,
            "parameters": f"{best.parameters:,}",
            "at the notebook's setting": at_notebooks[best.arch],
            "at its own best setting": reached(best),
            "best setting": settings_text(best.overrides, report.SWEPT),
        }
        for best in decision.at_best.arms
    ]
    note = "Test accuracy in per cent, the mean of the runs that trained, with its 95 % interval."
    return table("Accuracies", rows, note)


def setting(folder: Path, name: str, comparison: Comparison) -> Iterator[str]:
    """The runs at one setting of each network: the curves, the dead units, and the details."""
    results = comparison.results
    for kind, (figure, description) in FIGURES.items():
        save_in_both_themes(partial(figure, results), folder / f"{kind}-{name}.png")
        yield picture(f"{kind}-{name}", description)
    details = [notebook_table(comparison), times_table(results), *differences_tables(comparison)]
    yield to_markdown(details, level=3).strip()
