"""A checkpoint on a test set, from the command line to its measures."""

from argparse import Namespace
from pathlib import Path

from convblocks.command_line import Parser, output_file
from convblocks.data import mnist
from convblocks.data.mnist import CLASSES
from convblocks.errors import UserError
from convblocks.evaluation.measures import Evaluation
from convblocks.evaluation.panels import evaluation_panels, figure_of
from convblocks.evaluation.trained import TrainedNetwork, load_network
from convblocks.tables import Table, as_json, percent, terminal, to_console


def main(arguments: list[str]) -> None:
    """Evaluate on the test images and print the measures.

    Raises:
        UserError: the checkpoint, the data or the picture's file cannot be used.
    """
    options = parse(arguments)
    trained = load_network(options.checkpoint, options.arch)
    mnist.prepare(options.root)
    files = mnist.load(options.root)
    evaluation = Evaluation(trained.logits(files.test.images), files.test.labels)
    if options.json:
        print(as_json(as_record(trained, files.folder, evaluation)))
    else:
        print(f"{trained.path}: {trained.arch} on the {len(files.test.labels):,} test images in {files.folder}")
        print(f"accuracy {percent(evaluation.accuracy)}, loss {evaluation.loss:.4f}, ", end="")
        print(f"expected calibration error {percent(evaluation.calibration_error)}\n")
        to_console([classes_table(evaluation), confusion_table(evaluation)], terminal())
    if options.show:
        panels = evaluation_panels(evaluation, files.test.images)
        try:
            with output_file(options.show) as file:
                figure_of(*panels.values()).savefig(file, format=options.show.suffix.lstrip(".") or "png")
        except ValueError as error:  # a format that matplotlib does not know
            raise UserError(f"cannot write {options.show}: {error}") from error


def parse(arguments: list[str]) -> Namespace:
    parser = Parser()
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--arch", action="append", default=[])
    parser.add_argument("--data.root", type=Path, dest="root", default=mnist.DEFAULT_ROOT)
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
            {"precision": float(precision), "recall": float(recall), "f1": float(f1)}
            for precision, recall, f1 in measures
        ],
        "confusion": evaluation.confusion.tolist(),
    }


def classes_table(evaluation: Evaluation) -> Table:
    columns = zip(evaluation.confusion.sum(dim=1), evaluation.precision, evaluation.recall, evaluation.f1, strict=True)
    rows = [
        [str(digit), f"{n:,}", *(percent(float(value)) for value in values)]
        for digit, (n, *values) in enumerate(columns)
    ]
    return Table("Classes", ["class", "n", "precision", "recall", "F1"], rows)


def confusion_table(evaluation: Evaluation) -> Table:
    rows = [
        [str(digit), *(str(count) if count else "" for count in counts)]
        for digit, counts in enumerate(evaluation.confusion.tolist())
    ]
    return Table("Confusion: true classes down, predicted ones across", ["", *map(str, range(CLASSES))], rows)
