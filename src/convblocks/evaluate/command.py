"""Evaluate a checkpoint on test images.

usage: convblocks evaluate CHECKPOINT [options]

Prints loss, accuracy, expected calibration error, precision, recall and F1 of
each class, and the confusion matrix. For a finished run it also writes
report.html into its folder, with the hardest images, calibration and curves.

  --arch NAME          allow the import of your own network, such as mynets.Rows
  --data.root DIR      the data it was trained on, or similar (default: MNIST)
  --data.source NAME   a class of your own that reads the data
  --weights_only false  read the objects in a checkpoint of your own
  --threads N          CPU threads; 1 is faster on a busy machine
  --json               print the measures as JSON, and nothing else
  --figure FILE        draw the confusion matrix into a .pdf, .svg or .png

Example:
  convblocks evaluate lightning_logs/maxpool/version_0/checkpoints/last.ckpt
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path

from torch import Tensor
from torchmetrics.functional.classification import (
    multiclass_f1_score,
    multiclass_precision,
    multiclass_recall,
)

from convblocks.console import command_text, echo, only_json
from convblocks.data.images import ImageSets
from convblocks.errors import UserError
from convblocks.evaluate.subject import checkpoint_parser, load_network_and_data
from convblocks.figures.curves import metric_figure
from convblocks.figures.estimates import COUNT, Unit
from convblocks.figures.option import figure_file
from convblocks.figures.panels import (
    calibration_error,
    confusion,
    confusion_figure,
    evaluation_charts,
)
from convblocks.figures.report import Chart, Report
from convblocks.figures.style import save
from convblocks.figures.tables import Column, Table, to_console
from convblocks.model.names import title_of
from convblocks.model.restore import Evaluation, TrainedNetwork
from convblocks.record.directory import LOGS, RunDirectory
from convblocks.record.result import EPOCHS, RunResult
from convblocks.text import Settings, as_json, as_shown, as_yaml, counted, percent
from convblocks.working import working
from exact_resume.files import write

# Characters of class names that fit side by side in a terminal of 80 columns.
NAMES_WIDTH = 76


def main(arguments: list[str]) -> None:
    """Evaluate a checkpoint on the test images and print the measures.

    Raises:
        UserError: the checkpoint or the data cannot be used.
    """
    parser = checkpoint_parser()
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--figure", type=figure_file)
    options = parser.parse_args(arguments)
    with only_json(options.json):
        trained, data = load_network_and_data(options)
        with working(f"evaluating {len(data.test):,} test images"):
            evaluation = trained.evaluate(data.test)
    if options.figure:
        save(partial(confusion_figure, evaluation), options.figure)
    if options.json:
        print(as_json(measures(evaluation)))
        return
    echo(f"{trained.arch} on the {len(data.test):,} test images in {as_shown(options.root)}\n")
    to_console(tables(evaluation))
    write_report(trained, data, evaluation)
    echo(summary(evaluation))


def run_of(checkpoint: Path) -> RunDirectory | None:
    """The directory of the run that wrote a checkpoint; None if the checkpoint was
    moved or renamed.
    """
    path = checkpoint.absolute()
    logs = [folder for folder in path.parents[2:] if folder.name == LOGS.name]
    if not logs:
        return None
    run = RunDirectory(path.parents[1].relative_to(logs[0]).as_posix(), logs[0].parent)
    return run if path in (run.last_checkpoint, run.best_checkpoint) else None


def write_report(trained: TrainedNetwork, data: ImageSets, evaluation: Evaluation) -> None:
    """Write the report of the finished run that a checkpoint belongs to, if these are
    its images.
    """
    directory = run_of(trained.path)
    result = directory and directory.result_after(0)
    if not directory or not result:
        return
    if result.provenance.data not in (None, data.fingerprint):
        return
    name = as_shown(directory.report)
    try:
        with working(f"writing {name}"):
            page = run_report(directory, result, evaluation, data.test.images)
            write(directory.report, page)
        echo(f"{name}: all of this, curves and settings on one page")
    except (OSError, UserError) as error:
        echo(f"cannot write {name}: {error}")


def run_report(
    directory: RunDirectory, result: RunResult, evaluation: Evaluation, images: Tensor
) -> str:
    """The page of a finished run and its network's answers to images (N, C, H, W) uint8, as HTML.

    Raises:
        UserError: its config is damaged.
    """
    config = as_shown(directory.config)
    again = command_text("fit", "--config", config)
    diagnosis = result.facts.get("diagnosis", {"sentence": "", "options": []})
    sentences = [
        f"Test {summary(evaluation)}.",
        f"{title_of(result.arch)}: {result.parameters:,} parameters, "
        f"{counted(len(result.epochs), 'epoch')} in {result.seconds:.1f} s.",
    ]
    if diagnosis["sentence"]:
        sentences.append(diagnosis["sentence"])
    if result.ended_by != EPOCHS:
        sentences.append(f"Ended by {result.ended_by}.")
    command = ""
    if diagnosis["options"]:
        sentences.append("Try next:")
        command = " ".join([again, *diagnosis["options"]])
    report = Report(
        name="report",
        tables=(),
        sentences=sentences,
        figures={
            **evaluation_charts(evaluation, images),
            "loss": Chart(partial(metric_figure, result, "loss"), "Loss by epoch"),
            "acc": Chart(partial(metric_figure, result, "acc"), "Error by epoch"),
        },
        details=tables(evaluation),
        command=command,
        repeat=again,
        texts={
            "Where it comes from": as_yaml(asdict(result.provenance)),
            f"Settings, as in {config}": as_yaml(directory.read_config()),
        },
    )
    return report.to_html(f"Run {as_shown(directory.path)}")


def measures(evaluation: Evaluation) -> Settings:
    """The measures that ``--json`` prints; loss and accuracy have their names in
    ``summary.json``.
    """
    return {
        "test/loss": evaluation.loss,
        "test/acc": evaluation.accuracy,
        "calibration_error": calibration_error(evaluation),
        "classes": classes_table(evaluation).numbers(),
        "confusion": confusion(evaluation).tolist(),
    }


def tables(evaluation: Evaluation) -> Sequence[Table]:
    """The measures of each class, and the confusion matrix unless it is too wide."""
    widths = [len(name) for name in evaluation.classes]
    found = [classes_table(evaluation)]
    if max(widths) + sum(widths) + 3 * len(widths) <= NAMES_WIDTH:
        found.append(confusion_table(evaluation))
    return found


def classes_table(evaluation: Evaluation) -> Table:
    """The measures of each class; a class without images has none."""
    names = evaluation.classes
    counts = confusion(evaluation).sum(dim=1).tolist()

    def column(name: str, measure: Callable[..., Tensor]) -> Column:
        found = measure(evaluation.predicted, evaluation.targets, len(names), average="none")
        values = [x if n else None for x, n in zip(found.tolist(), counts, strict=True)]
        return Column(name, values.__getitem__, Unit(100, name=" %"), key=name.lower())

    columns = [
        Column("class", names.__getitem__, key="class"),
        Column("n", counts.__getitem__, COUNT, key="n"),
        column("precision", multiclass_precision),
        column("recall", multiclass_recall),
        column("F1", multiclass_f1_score),
    ]
    return Table("Classes", columns, range(len(names)))


def confusion_table(evaluation: Evaluation) -> Table:
    """A table of how often each class (row) is predicted as each class (column)."""
    names = evaluation.classes
    counts = confusion(evaluation).tolist()
    rows = [
        [name, *(f"{count:,}" if count else "" for count in row)]
        for name, row in zip(names, counts, strict=True)
    ]
    return Table("Confusion: true classes down, predicted ones across", ["", *names], rows)


def summary(evaluation: Evaluation) -> str:
    images = len(evaluation.targets)
    wrong = int((evaluation.predicted != evaluation.targets).sum())
    return (
        f"accuracy {percent(evaluation.accuracy)} ({wrong:,} of {images:,} wrong), "
        f"loss {evaluation.loss:.4f}, "
        f"calibration error {percent(calibration_error(evaluation))}"
    )
