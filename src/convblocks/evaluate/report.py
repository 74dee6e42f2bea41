"""``report.html`` of a run: its result, curves, mistakes, settings and origin on one page."""

from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from shlex import quote

from convblocks.console import command_words
from convblocks.figures.curves import layers, metric_figure
from convblocks.figures.page import Chart
from convblocks.figures.report import Report
from convblocks.figures.tables import Table
from convblocks.run.directory import RunDirectory
from convblocks.run.provenance import read_origin
from convblocks.run.result import EPOCHS, RunResult
from convblocks.text import as_shown, as_yaml, counted


def run_report(
    directory: RunDirectory, result: RunResult, summary: str, charts: dict[str, Chart], tables: Sequence[Table]
) -> str:
    """The page of a finished run, as HTML; summary, charts and tables are of its network's answers to test images.

    Raises:
        UserError: its config is damaged.
    """
    config = as_shown(directory.config)
    curves = {"loss": "Loss by epoch", "acc": "Error by epoch"}
    if layers([result]):
        curves["dead"] = "Dead units of each layer by epoch"
    figures = {metric: Chart(partial(metric_figure, result, metric), caption) for metric, caption in curves.items()}
    again = [*command_words("fit"), "--config", quote(config)]
    found = result.facts.get("diagnosis", {"sentence": "", "options": []})
    trained = f"{counted(len(result.epochs), 'epoch')} in {result.seconds:.1f} s"
    sentences = [
        f"Test {summary}.",
        f"{result.parameters:,} parameters, {trained}.",
        found["sentence"],
        "" if result.ended_by == EPOCHS else f"Ended by {result.ended_by}.",
        "Try next:" if found["options"] else "",
    ]
    began = read_origin(directory.provenance) or {}
    origin = asdict(result.provenance) | {
        "seed": result.seed,
        "images": result.facts.get("images"),
        "started with": began.get("command"),
    }
    report = Report(
        name="report",
        tables=(),
        sentences=[*filter(None, sentences)],
        figures=figures | charts,
        details=tables,
        command=" ".join([*again, *found["options"]]) if found["options"] else "",
        repeat=" ".join(again),
        texts={"Where it comes from": as_yaml(origin), f"Settings, as in {config}": as_yaml(directory.read_config())},
    )
    return report.to_html(f"{result.arch}: {directory.name}")
