"""A person's own pictures, from the command line to a table of what they show."""

import sys
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image, ImageDraw, ImageFont, ImageOps
from rich.table import Table

from convblocks.command_line import Parser, output_file
from convblocks.console import echo
from convblocks.data.pictures import to_picture
from convblocks.errors import UsageError, UserError
from convblocks.evaluation.trained import TrainedNetwork, load_network
from convblocks.handwriting.sight import Pixels, look
from convblocks.tables import as_json, as_shown, terminal

# On the sheet that --show writes, in pixels.
CELL = 168
CAPTION = 24
COLUMNS = 3

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


@dataclass(frozen=True)
class Prediction:
    """What a network makes of one picture: the image it saw (C, H, W) uint8, and the probability of each class."""

    path: Path
    picture: Image.Image
    seen: Pixels
    classes: Sequence[str]
    probabilities: Sequence[float]

    @property
    def ranking(self) -> list[tuple[str, float]]:
        """The classes with their probabilities, the most probable one first."""
        return sorted(zip(self.classes, self.probabilities, strict=True), key=lambda pair: -pair[1])


def main(arguments: list[str]) -> None:
    """Recognise pictures and print what they show.

    Raises:
        UserError: the checkpoint cannot be used, or some of the pictures cannot; the others are done by then.
    """
    options = parse(arguments)
    trained = load_network(options.checkpoint, options.arch)
    paths = find_pictures(options.pictures)
    if options.show and options.show.resolve() in [path.resolve() for path in paths]:
        raise UsageError(f"--show {options.show}: this is one of the pictures, and would be overwritten")
    predictions, problems = recognise(trained, paths)
    if options.json:
        print(as_json(as_record(trained, predictions, problems)))
    elif predictions:
        terminal().print(as_table(predictions))
    if options.show and predictions:
        write_sheet(predictions, options.show)
        if not options.json:
            echo(f"{options.show}: each picture beside what the network saw of it")
    for path, problem in problems.items():
        print(f"{as_shown(path)}: {problem}", file=sys.stderr)
    if problems:
        raise UserError(f"{len(problems)} of {len(paths)} pictures could not be recognised")


def parse(arguments: list[str]) -> Namespace:
    parser = Parser()
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--arch", action="append", default=[])
    parser.add_argument("pictures", type=Path, nargs="+")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--show", type=Path)
    return parser.parse_args(arguments)


def find_pictures(paths: Sequence[Path]) -> list[Path]:
    """The files among the paths, and those in folders whose names end as pictures' do, in alphabetical order."""
    pictures: list[Path] = []
    for path in paths:
        if path.is_dir():
            endings = Image.registered_extensions()
            found = sorted(file for file in path.iterdir() if file.suffix.lower() in endings)
            if not found:
                raise UserError(f"there are no pictures in the folder {path}")
            pictures += found
        else:
            pictures.append(path)
    return pictures


def recognise(trained: TrainedNetwork, paths: Sequence[Path]) -> tuple[list[Prediction], dict[Path, str]]:
    """Predictions for the pictures that can be used, and what is wrong with the others."""
    predictions: list[Prediction] = []
    problems: dict[Path, str] = {}
    for path in paths:
        try:
            picture, seen = look(path, trained.image_spec)
        except UserError as error:
            problems[path] = str(error)
            continue
        probabilities = trained.probabilities(torch.from_numpy(seen)[None])[0].tolist()
        picture.thumbnail((CELL, CELL))  # all that is shown of it: many large ones would not fit into memory
        predictions.append(Prediction(path, picture, seen, trained.image_spec.classes, probabilities))
    return predictions, problems


def in_percent(probability: float) -> str:
    """With a decimal; what is neither 0 nor 1 is not called so."""
    if probability < 0.001:
        return "<0.1 %"
    return ">99.9 %" if probability > 0.999 else f"{100 * probability:.1f} %"


def as_table(predictions: Sequence[Prediction]) -> Table:
    table = Table("picture", "class", "probability", "runner-up", "probability")
    for prediction in predictions:
        cells = [as_shown(prediction.path)]
        for name, probability in prediction.ranking[:2]:
            cells += [name, in_percent(probability)]
        table.add_row(*cells)
    return table


def as_record(
    trained: TrainedNetwork, predictions: Sequence[Prediction], problems: dict[Path, str]
) -> dict[str, object]:
    """The same as the table, with the probabilities of all classes, and what is wrong with the other pictures."""
    return {
        "checkpoint": str(trained.path),
        "arch": trained.arch,
        "classes": trained.image_spec.classes,
        "pictures": [
            {
                "picture": str(prediction.path),
                "class": prediction.ranking[0][0],
                "runner_up": prediction.ranking[1][0],
                "probabilities": [round(value, 6) for value in prediction.probabilities],
            }
            for prediction in predictions
        ],
        "problems": {str(path): problem for path, problem in problems.items()},
    }


def write_sheet(predictions: Sequence[Prediction], path: Path) -> None:
    """Write a picture that shows each input beside what the network saw, and its answer.

    Raises:
        UserError: the file cannot be written, or its name does not end as a picture's.
    """
    rows = -(-len(predictions) // COLUMNS)
    columns = min(len(predictions), COLUMNS)
    gap = 8
    sheet = Image.new("RGB", (columns * (2 * CELL + 2 * gap), rows * (CELL + CAPTION + gap)), "white")
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(15)
    for index, prediction in enumerate(predictions):
        left = index % COLUMNS * (2 * CELL + 2 * gap) + gap
        top = index // COLUMNS * (CELL + CAPTION + gap)
        draw.text((left, top + 3), caption_of(prediction, font, 2 * CELL), fill="black", font=font)
        picture = prediction.picture.convert("RGBA")
        sheet.paste(picture, (left, top + CAPTION), picture)
        seen = ImageOps.contain(to_picture(prediction.seen), (CELL, CELL), Image.Resampling.NEAREST)
        sheet.paste(seen, (left + CELL, top + CAPTION))
    try:
        picture_format = Image.registered_extensions()[path.suffix.lower()]
        with output_file(path) as file:
            sheet.save(file, picture_format)
    except KeyError as error:
        raise UserError(f"--show {path}: the name must end as a picture's does, such as .png") from error


def caption_of(prediction: Prediction, font: Font, room: int) -> str:
    """The file's name, or as much of it as fits into so many pixels, and the answer."""
    answer, probability = prediction.ranking[0]
    name = prediction.path.name.encode(errors="backslashreplace").decode()  # which may be no text
    told = f": {answer} ({in_percent(probability)})"
    while name != "…" and font.getlength(name + told) > room:
        name = f"{name.removesuffix('…')[:-1]}…"
    return name + told
