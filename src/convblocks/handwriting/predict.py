"""Recognise digits in your own pictures, or predict with any run.

usage: convblocks predict CHECKPOINT PICTURE... [options]
       convblocks predict RUN [options]

One digit in each picture: drawn, printed, photographed or scanned, of any size
and colour. For a network trained on other pictures, yours are resized to match.
A folder stands for all pictures in it. A picture that cannot be recognised gets
a line that says why, and the exit status is then 1.

Without pictures, what the module of a run predicts for its data is written to a
file. Options of fit change the run's settings, as those of `test` do.

  --arch NAME          allow the import of your own network, such as mynets.Rows
  --weights_only false  read the objects in a checkpoint of your own
  --threads N          CPU threads; 1 is faster on a busy machine
  --json               print the probabilities of all classes as JSON
  --show FILE          write a figure: each picture beside what the network saw
  --output FILE        where predictions go (default: predictions.pt)

Example:
  convblocks predict lightning_logs/mlp/version_0/checkpoints/last.ckpt 7.png
"""

import sys
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from PIL import Image, ImageDraw, ImageOps
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Column, Table

from convblocks.command_line import Parser
from convblocks.console import echo, only_json
from convblocks.data.images import MNIST, ImageSpec
from convblocks.errors import UsageError, UserError, printable
from convblocks.files import refuse_to_overwrite
from convblocks.handwriting.ink import to_mnist
from convblocks.model.restore import TrainedNetwork, load_network
from convblocks.pictures.decoding import (
    LARGEST_PICTURE,
    Pixels,
    read_picture,
    to_picture,
    to_pixels,
)
from convblocks.pictures.source import pictures_in
from convblocks.text import as_json, as_shown
from convblocks.working import each
from exact_resume.files import atomic_write

# The sheet that --show writes: pixels of a side of its cells, of the pictures in them, around
# these, between pairs of cells, of the lines below; and pairs in a row.
CELL, INSIDE = 176, (168, 168)
EDGE, GAP = 4, 12
LINE = 30
COLUMNS = 3

# More characters than a line has, where it is not read on a terminal.
UNLIMITED = 10_000


class Prediction(NamedTuple):
    """A picture, the image (C, H, W) uint8 that the network saw of it, and the classes,
    the most probable one first.
    """

    path: Path
    picture: Image.Image
    seen: Pixels
    ranking: Sequence[tuple[str, float]]


def main(arguments: list[str]) -> None:
    """Predict the classes of pictures and print them; without pictures, see
    ``loops.command``.

    Raises:
        UserError: the checkpoint cannot be used, or some pictures cannot; the others
            are done by then.
    """
    parser = Parser()
    parser.add_argument("checkpoint", type=Path)
    parser.add_loading()
    parser.add_argument("pictures", type=Path, nargs="+")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--show", type=Path)
    try:
        options = parser.parse_args(arguments)
    except UsageError:
        if arguments[1:] and not arguments[1].startswith("--"):
            raise
    else:
        predict_pictures(options)
        return
    # There are no pictures, or options of fit.
    from convblocks.evaluate import loops  # slow to load

    loops.command("predict", arguments)


def predict_pictures(options: Namespace) -> None:
    """Predict, print and show them; see ``main``."""
    trained = load_network(options.checkpoint, options.arch, options.weights_only, options.threads)
    paths = find_pictures(options.pictures)
    if options.show:
        refuse_to_overwrite(options.show, [options.checkpoint, *paths])
    # Progress goes beside the table, which another program may read.
    with only_json(True):
        predictions, problems = recognise(trained, paths)
    if options.json:
        print(as_json({str(made.path): dict(made.ranking) for made in predictions}))
    elif predictions:
        # Names are never cut: on a terminal they go on in the next line.
        width = None if sys.stdout.isatty() else UNLIMITED
        console = Console(width=width, markup=False, emoji=False, highlight=False)
        console.print(as_table(predictions))
    if options.show and predictions:
        write_sheet(predictions, options.show)
        if not options.json:
            echo(f"{options.show}: each picture beside what the network saw of it")
    for path, problem in problems.items():
        print(printable(f"{as_shown(path)}: {problem}"), file=sys.stderr)
    if problems:
        raise UserError(f"{len(problems)} of {len(paths)} pictures could not be recognised")


def find_pictures(paths: Sequence[Path]) -> list[Path]:
    """The files among the paths, and in place of a folder the pictures in it, by their
    names, in sorted order.
    """
    pictures = []
    for path in paths:
        pictures += (path.is_dir() and pictures_in(path)) or [path]
    return pictures


def recognise(
    trained: TrainedNetwork, paths: Sequence[Path]
) -> tuple[list[Prediction], dict[Path, str]]:
    """The predictions, and what is wrong with each picture that cannot be used."""
    predictions = []
    problems = {}
    for path in each(paths, "looking at pictures"):
        try:
            picture, seen = look(path, trained.image_spec)
        except UserError as error:
            problems[path] = str(error)
            continue
        # Many large pictures would not fit into memory.
        picture.thumbnail(INSIDE)
        (probabilities,) = trained.probabilities(torch.from_numpy(seen)[None]).tolist()
        classes = zip(trained.image_spec.classes, probabilities, strict=True)
        ranking = sorted(classes, key=lambda pair: -pair[1])
        predictions.append(Prediction(path, picture, seen, ranking))
    return predictions, problems


def look(
    source: Path | bytes, image_spec: ImageSpec, most_pixels: int = LARGEST_PICTURE
) -> tuple[Image.Image, Pixels]:
    """Read a picture, and make the image that a network sees of it: (C, H, W) uint8.

    Args:
        source: The file, or its content.
        image_spec: The images that the network was trained on. For MNIST the picture is
            turned into one of its digits.
        most_pixels: Larger pictures are refused.

    Raises:
        UserError: the picture cannot be read, or shows no digit although the network
            was trained on MNIST.
    """
    picture = read_picture(source, most_pixels)
    if image_spec == MNIST:
        return picture, to_mnist(picture)[None]
    return picture, to_pixels(picture, *image_spec.shape)


def in_percent(probability: float) -> str:
    """A probability in per cent, with one decimal, but never as 0 or 100 %."""
    if probability < 0.001:
        return "<0.1 %"
    if probability > 0.999:
        return ">99.9 %"
    return f"{100 * probability:.1f} %"


def as_table(predictions: Sequence[Prediction]) -> Table:
    table = Table(
        Column("picture", overflow="fold"),
        "class",
        "probability",
        "runner-up",
        "probability",
        box=SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
    )
    for prediction in predictions:
        (best, certainty), (second, rest), *_ = prediction.ranking
        name = printable(as_shown(prediction.path))
        table.add_row(name, best, in_percent(certainty), second, in_percent(rest))
    return table


def write_sheet(predictions: Sequence[Prediction], path: Path) -> None:
    """Write an image that shows each picture beside what the network saw of it, in
    rows, above the class that it answers.

    Raises:
        UserError: its suffix is not that of a picture format.
    """
    picture_format = Image.registered_extensions().get(path.suffix.lower(), "")
    if picture_format not in Image.SAVE:
        raise UserError(f"--show {path} must end in the suffix of a picture format, such as .png")
    rows = -(-len(predictions) // COLUMNS)
    width, height = 2 * CELL + GAP, CELL + LINE + GAP
    sheet = Image.new("RGB", (COLUMNS * width, rows * height), "white")
    pen = ImageDraw.Draw(sheet)
    for place, prediction in enumerate(predictions):
        row, column = divmod(place, COLUMNS)
        left, top = column * width, row * height
        frame = left, top, left + width - GAP, top + height - GAP
        pen.rectangle(frame, "gainsboro")
        name, probability = prediction.ranking[0]
        answer = f"{name}   {in_percent(probability)}"
        pen.text((left + CELL, top + CELL - 4), answer, "black", font_size=LINE - 6)
        for picture in (prediction.picture, to_picture(prediction.seen)):
            cell = ImageOps.contain(picture.convert("RGBA"), INSIDE, Image.Resampling.NEAREST)
            sheet.paste(cell, (left + EDGE, top + EDGE), cell)
            left += CELL
    with atomic_write(path) as file:
        sheet.save(file, picture_format)
