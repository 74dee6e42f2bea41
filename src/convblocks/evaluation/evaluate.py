"""A checkpoint on a test set, from the command line to its measures."""

from argparse import Namespace
from functools import partial
from pathlib import Path

from convblocks.command_line import Parser, output_file
from convblocks.console import echo
from convblocks.errors import UserError
from convblocks.evaluation.data import add_data_options, read_data
from convblocks.evaluation.trained import TrainedNetwork, load_network
from convblocks.figures.evaluation import evaluation_panels, figure_of
from convblocks.figures.style import render
from convblocks.model.evaluation import Evaluation
from convblocks.tables import Table, as_json, as_shown, percent, terminal, to_console

# So many characters side by side fit into any terminal, and so many columns of numbers.
TABLE_WIDTH, TABLE_COLUMNS = 76, 12

# Of how many pairs of classes the table tells that are taken for each other, where there are too many for a matrix.
MOST_PAIRS = 20


def main(arguments: list[str]) -> None:
    """Evaluate on the test images and print the measures.

    Raises:
        UserError: the checkpoint, the data or the picture's file cannot be used.
    """
    options = parse(arguments)
    trained = load_network(options.checkpoint, options.arch)
    files = read_data(options, trained)
    evaluation = Evaluation(trained.logits(files.test.images), files.test.labels, trained.image_spec.classes)
    if options.json:
        print(as_json(as_record(trained, files.folder, evaluation)))
    else:
        echo(as_shown(trained.path))
        echo(f"{trained.arch} on the {len(files.test.labels):,} test images in {as_shown(files.folder)}\n")
        to_console([classes_table(evaluation), confusion_table(evaluation)], terminal())
    if options.show:
        draw = partial(figure_of, *evaluation_panels(evaluation, files.test.images).values())
        try:
            with output_file(options.show) as file:
                render(draw).savefig(file, format=options.show.suffix.lstrip(".") or "png")
        except ValueError as error:  # a format that matplotlib does not know
            raise UserError(f"cannot write {options.show}: {error}") from error
    if not options.json:
        tell(evaluation, options.show)


def tell(evaluation: Evaluation, picture: Path | None) -> None:
    """Print where the picture is, if there is one, and last how good the network is."""
    if picture:
        echo(f"{picture}: confusion matrix, hardest images, calibration, errors of each class")
    if confused := most_confused(evaluation):
        echo(f"most confused: {confused}")
    images, wrong = len(evaluation.targets), int((evaluation.predicted != evaluation.targets).sum())
    measures = f"loss {evaluation.loss:.4f}, calibration error {percent(evaluation.calibration_error)}"
    echo(f"accuracy {percent(evaluation.accuracy)} ({wrong:,} of {images:,} wrong), {measures}")


def parse(arguments: list[str]) -> Namespace:
    parser = Parser()
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--arch", action="append", default=[])
    add_data_options(parser)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--show", type=Path)
    return parser.parse_args(arguments)


def as_record(trained: TrainedNetwork, folder: Path, evaluation: Evaluation) -> dict[str, object]:
    measures = zip(evaluation.precision, evaluation.recall, evaluation.f1, strict=True)
    return {
        "checkpoint": str(trained.path),
        "arch": trained.arch,
        "data": str(folder),
        "n": len(evaluation.targets),
        "loss": evaluation.loss,
        "accuracy": evaluation.accuracy,
        "expected_calibration_error": evaluation.calibration_error,
        "classes": [
            {"class": name, "precision": float(precision), "recall": float(recall), "f1": float(f1)}
            for name, (precision, recall, f1) in zip(evaluation.classes, measures, strict=True)
        ],
        "confusion": evaluation.confusion.tolist(),
    }


def classes_table(evaluation: Evaluation) -> Table:
    columns = zip(evaluation.confusion.sum(dim=1), evaluation.precision, evaluation.recall, evaluation.f1, strict=True)
    rows = [
        [name, f"{n:,}", *(percent(float(value)) if n else "-" for value in values)]
        for name, (n, *values) in zip(evaluation.classes, columns, strict=True)
    ]
    return Table("Classes", ["class", "n", "precision", "recall", "F1"], rows)


def confusion_table(evaluation: Evaluation) -> Table:
    """How often each class is taken for each; names that do not fit side by side are numbered.

    Of more classes than have room side by side, the mistakes that are made most often.
    """
    if len(evaluation.classes) > TABLE_COLUMNS:
        return mistakes_table(evaluation)
    names, heads = list(evaluation.classes), list(evaluation.classes)
    if max(map(len, names)) + sum(len(name) + 3 for name in names) > TABLE_WIDTH:
        heads = [str(number) for number in range(1, len(names) + 1)]
        names = [f"{head} {name}" for head, name in zip(heads, names, strict=True)]
    rows = [
        [name, *(str(count) if count else "" for count in counts)]
        for name, counts in zip(names, evaluation.confusion.tolist(), strict=True)
    ]
    return Table("Confusion: true classes down, predicted ones across", ["", *heads], rows)


def mistakes_table(evaluation: Evaluation) -> Table:
    """The pairs of a true and a predicted class that come most often."""
    rows = [[true, predicted, f"{count:,}"] for true, predicted, count in mistakes(evaluation)[:MOST_PAIRS]]
    return Table("Most frequent mistakes", ["true class", "predicted", "n"], rows)


def most_confused(evaluation: Evaluation) -> str:
    """The most frequent mistakes in a line that fits any terminal; empty where there are none."""
    line = ""
    for true, predicted, count in mistakes(evaluation):
        longer = f"{line}, {true} as {predicted} ({count:,})".removeprefix(", ")
        if line and len(longer) > TABLE_WIDTH - len("most confused: "):
            break
        line = longer
    return line


def mistakes(evaluation: Evaluation) -> list[tuple[str, str, int]]:
    """Each true class with one that some of its images are taken for, and how many, the most frequent first."""
    counts = evaluation.confusion.fill_diagonal_(0)
    order = counts.flatten().argsort(descending=True, stable=True).tolist()
    pairs = [(*divmod(place, len(evaluation.classes)), int(counts.flatten()[place])) for place in order]
    names = evaluation.classes
    return [(names[true], names[predicted], count) for true, predicted, count in pairs if count]
