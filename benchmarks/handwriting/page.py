"""How well other digits than MNIST's are read: the tables, the sheet of drawings, and the page of the documentation."""

import io
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageOps

from benchmarks.handwriting.drawing import BACKGROUNDS, Drawing, draw_all
from benchmarks.handwriting.results import Network, Results, Score
from convblocks.atomic import write
from convblocks.handwriting.ink import STROKE_WIDTHS
from convblocks.tables import Table, percent, to_markdown

ABOUT = """\
# Does it read other digits than MNIST's?

A network that is 99 % right on MNIST may still fail on the digit you draw: what counts then is whether a picture is
made into what MNIST looks like. `src/convblocks/handwriting/ink.py` does that, and this page measures how well.

## From a picture to 28x28

1. Turn it as its EXIF data says, put transparent pictures on a background that their content stands out from, and
   scale it down to 400 pixels.
2. Fit a smooth background to most of its pixels. Ink is what differs from it in one direction of colour, so dark on
   light, light on dark, colours and uneven light are all one case. Where there is none, the answer is that the picture
   is blank.
3. Drop dust, and what runs out of the picture beside the digit, such as the table under the paper. Many separate parts
   are not a digit, and the answer says so.
4. Bring the strokes to the nearer end of what MNIST has: between {thinnest} and {thickest} pixels wide, the quartiles
   of 3,000 of its training images measured the same way.
5. As MNIST's authors did: the longer side becomes 20 pixels, the aspect is kept, and the centre of mass goes to pixel
   (14, 14), where it lies in MNIST on average.

## {n} pictures that are not MNIST's

`benchmarks/handwriting/` draws them, the same ones for the same seed: {of_each} of each digit. {strokes} of those are a
pen's strokes, in four shapes, each on {backgrounds} backgrounds (grey paper, dark, two strong colours, a photo with a
lamp at one side, blur, noise and EXIF rotation, transparent, noisy), with random size, pen, aspect, slant, tilt, place
and unsteadiness. {fonts} are printed in the fonts that come with matplotlib (DejaVu, STIX, Computer Modern), bold and
italic ones among them. Every second one:

![Every second of the {n} pictures, a digit in each row](drawings.png)

Nothing was tuned on single pictures, and none was left out. Limits: one digit in a picture; ruled or squared paper
whose lines cross the digit is not handled; a hard shadow across the digit may be taken for ink. The test suite holds a
BatchNorm network after two epochs to 90 % of all pictures and 80 % of each digit (`tests/handwriting/test_ink.py`).

`python docs/train.py handwriting` trained the networks and asked them; each answer is among the
[raw numbers](data/handwriting.json). The pictures are those of seed {seed}, drawn on {machine}; commit {commit}.

"""

# Pixels of a drawing's place on the sheet, and of the drawing.
CELL, LARGEST = 48, 46


def write_page(folder: Path, results: Results) -> None:
    """Write the page and the sheet of drawings."""
    content = io.BytesIO()
    sheet(list(draw_all(results.seed))).save(content, "png")
    write(folder / "drawings.png", content.getvalue())
    write(folder / "handwriting.md", markdown(results))


def sheet(drawings: Sequence[Drawing]) -> Image.Image:
    """Every second drawing, a row for each digit."""
    rows = [[one for one in drawings if one.digit == digit][::2] for digit in sorted({one.digit for one in drawings})]
    paper = Image.new("RGB", (CELL * max(map(len, rows)), CELL * len(rows)), "white")
    for row, own in enumerate(rows):
        for column, drawing in enumerate(own):
            picture = ImageOps.exif_transpose(Image.open(io.BytesIO(drawing.content))).convert("RGBA")
            picture.thumbnail((LARGEST, LARGEST))
            paper.paste(picture, (CELL * column, CELL * row), picture)
    return paper


def tables(results: Results) -> list[Table]:
    """All networks, then more of the first one."""
    first = results.networks[0]
    return [networks_table(results), recognised_table(results, first), confusion_table(results, first)]


def networks_table(results: Results) -> Table:
    """A line for each network."""
    rows = []
    for one in results.networks:
        scores = [results.score(one), *(results.score(one, kind=kind) for kind in ("strokes", "font"))]
        by_digit = {digit: results.score(one, digit=digit) for digit in results.digits()}
        worst = min(by_digit, key=lambda digit: by_digit[digit].share)
        of_worst = f"{worst}: {_share(by_digit[worst])}"
        counts = [f"{score.right} of {score.n}" for score in scores]
        rows.append(
            [one.arch, one.schedule, percent(one.accuracy), counts[0], _share(scores[0]), *counts[1:], of_worst]
        )
    header = ["network", "schedule", "MNIST test set", "all pictures", "share", "strokes", "fonts", "worst digit"]
    origins = dict.fromkeys(
        f"Trained for {one.epochs} epochs with seed {one.seed}, {one.threads} thread{'s' * (one.threads != 1)}, on "
        f"{one.machine}; commit {one.commit or 'unknown'}."
        for one in results.networks
    )
    return Table("Networks", header, rows, list(origins))


def recognised_table(results: Results, network: Network) -> Table:
    """How many are right, by kind and background."""
    groups = {"all": results.score(network)}
    groups |= {kind: results.score(network, kind=kind) for kind in dict.fromkeys(one.kind for one in results.drawn)}
    backgrounds = dict.fromkeys(one.background for one in results.drawn)
    groups |= {name: results.score(network, background=name) for name in backgrounds}
    rows = [[name, str(score.n), str(score.right), _share(score)] for name, score in groups.items()]
    return Table(f"Recognised by {network.arch}, {network.schedule}", ["pictures", "n", "right", "share"], rows)


def confusion_table(results: Results, network: Network) -> Table:
    """Which digits are taken for which."""
    pairs = [(picture.digit, answer) for picture, answer in results.answered(network)]
    rows = []
    for digit in results.digits():
        score = results.score(network, digit=digit)
        taken = [str(pairs.count((digit, other)) or "") for other in results.digits()]
        rows.append([f"**{digit}**", *taken, str(score.n), _share(score)])
    columns = ["drawn", *(f"as {digit}" for digit in results.digits()), "n", "right"]
    return Table(f"Confusion of {network.arch}, {network.schedule}", columns, rows)


def markdown(results: Results) -> str:
    """The whole page."""
    of_each = [one for one in results.drawn if one.digit == results.drawn[0].digit]
    strokes = sum(one.kind == "strokes" for one in of_each)
    about = ABOUT.format(
        thinnest=STROKE_WIDTHS[0],
        thickest=STROKE_WIDTHS[1],
        n=len(results.drawn),
        of_each=len(of_each),
        strokes=strokes,
        fonts=len(of_each) - strokes,
        backgrounds=len(BACKGROUNDS),
        seed=results.seed,
        machine=results.machine,
        commit=results.commit or "unknown",
    )
    return about + to_markdown(tables(results))


def _share(score: Score) -> str:
    return f"{100 * score.share:.1f} %"
