"""``report.html`` of a run: its result, curves, mistakes, settings and origin on one page."""

from collections.abc import Mapping, Sequence
from functools import partial
from shlex import quote
from typing import Any

import yaml

from convblocks.console import command_words
from convblocks.data.images import ImageSpec
from convblocks.figures.curves import dead_units_figure, layers, metric_figure
from convblocks.figures.page import Chart
from convblocks.figures.panels import Panel, figure_of
from convblocks.figures.report import Report
from convblocks.figures.tables import Table
from convblocks.model.evaluation import Evaluation
from convblocks.run.directory import RunDirectory
from convblocks.run.provenance import read_origin
from convblocks.run.result import EPOCHS, RunResult
from convblocks.text import as_shown, counted, percent

CAPTIONS = {
    "confusion": "Confusion: true classes down, predicted ones across",
    "hardest_images": "The images with the highest loss",
    "calibration": "How often answers of each probability are right",
    "class_errors": "Errors of each class",
}


def run_report(
    directory: RunDirectory,
    result: RunResult,
    evaluation: Evaluation,
    panels: dict[str, Panel],
    tables: Sequence[Table],
) -> str:
    """The page of a finished run, as HTML; evaluation, panels and tables are of its network's answers to test images.

    Raises:
        UserError: its config is damaged.
    """
    config = as_shown(directory.config)
    figures = {
        "loss": Chart(partial(metric_figure, result, "loss"), "Loss by epoch"),
        "error": Chart(partial(metric_figure, result, "acc"), "Error by epoch"),
    }
    if layers([result]):
        figures["dead"] = Chart(partial(dead_units_figure, [result]), "Dead units of each layer by epoch")
    figures |= {name: Chart(partial(figure_of, panel), CAPTIONS[name]) for name, panel in panels.items()}
    again = [*command_words("fit"), "--config", quote(config)]
    found = result.facts.get("diagnosis", {"sentence": "", "options": []})
    sentences = [
        f"Test accuracy {percent(evaluation.accuracy)}.",
        found["sentence"],
        "" if result.ended_by == EPOCHS else f"Ended by {result.ended_by}.",
        "Try next:" if found["options"] else "",
    ]
    report = Report(
        name="report",
        tables=[_numbers(result, evaluation), *tables, _origin(directory, result)],
        sentences=[*filter(None, sentences)],
        figures=figures,
        command=" ".join([*again, *found["options"]]) if found["options"] else "",
        repeat=" ".join(again),
        texts={f"Settings, as in {config}": yaml.safe_dump(directory.read_config(), sort_keys=False)},
    )
    return report.to_html(f"{result.arch}: {directory.name}")


def _numbers(result: RunResult, evaluation: Evaluation) -> Table:
    wrong = int((evaluation.predicted != evaluation.targets).sum())
    numbers = {
        "test accuracy": percent(evaluation.accuracy),
        "wrong": f"{wrong:,} of {len(evaluation.targets):,}",
        "loss": f"{evaluation.loss:.4f}",
        "parameters": f"{result.parameters:,}",
        "trained": counted(len(result.epochs), "epoch"),
        "training time": f"{result.seconds:.1f} s",
    }
    return Table("Result", list(numbers), [list(numbers.values())])


def _origin(directory: RunDirectory, result: RunResult) -> Table:
    """Machine, versions, code and data."""
    known, began = result.provenance, read_origin(directory.provenance) or {}
    images = result.facts.get("images")
    rows = {
        "machine and versions": known.machine,
        "device": known.device,
        "processes x threads": f"{known.processes} x {known.threads}",
        "commit": known.commit or "unknown",
        "seed": str(result.seed),
        **({"images": _images_text(images)} if images else {}),
        **{f"MD5 of {name}": md5 for name, md5 in (known.data or {}).items()},
        "started with": str(began.get("command", "unknown")),
    }
    return Table("Where it comes from", ["", "value"], [[name, value] for name, value in rows.items()])


def _images_text(images: Mapping[str, Any]) -> str:
    return f"{images['train']:,} training and {images['test']:,} test images, {ImageSpec.from_dict(images['spec'])}"
