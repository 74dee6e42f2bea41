"""How well other digits than MNIST's are read: the tables, the sheet of drawings, and the page of the documentation."""

import io
from collections import Counter
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

A network that gets 99 % of MNIST right may still fail on the digit that you draw. What counts then is how well a
picture is turned into one that looks like MNIST's. `src/convblocks/handwriting/ink.py` does that, and this page
measures how well.

## From a picture to 28x28

1. Rotate it as its EXIF data says, put a transparent picture on a background that its content stands out from, and
   scale it down to 400 pixels.
2. Fit a smooth background to most of its pixels. Ink is whatever differs from it in one direction of colour, so dark on
   light, light on dark, colours and uneven light are all the same case. A picture without ink is called blank.
3. Drop dust, and anything beside the digit that runs out of the picture, such as the table under the paper. Many
   separate parts are not a digit, and the answer says so.
4. Make the strokes as wide as MNIST's: if they are thinner than {thinnest} pixels or thicker than {thickest}, the
   quartiles of 3,000 of its training images measured the same way, bring them to the nearer of the two.
5. Do as MNIST's authors did: scale the longer side to 20 pixels, keep the aspect, and move the centre of mass to pixel
   (14, 14), where it lies in MNIST on average.

## {n} pictures that are not MNIST's

`benchmarks/handwriting/` draws them, the same ones for the same seed: {of_each} of each digit. {strokes} of those are a
pen's strokes, in four shapes, each on {backgrounds} backgrounds (grey paper, dark, two strong colours, a photo with a
lamp at one side, blur, noise and EXIF rotation, transparent, noisy), with random size, pen, aspect, slant, tilt, place
and unsteadiness. {fonts} are printed in the fonts that come with matplotlib (DejaVu, STIX, Computer Modern), some of
them bold or italic. Every second one:

![Every second of the {n} pictures, a digit in each row](drawings.png)

Nothing was tuned on single pictures, and none was left out. There are limits: a picture holds one digit; ruled or
squared paper whose lines cross the digit does not work; a hard shadow across the digit may be taken for ink. The tests
demand that a BatchNorm network reads 90 % of all pictures and 80 % of each digit after two epochs
(`tests/handwriting/test_ink.py`).

`python docs/train.py handwriting` trained the networks and asked them; each answer is among the [raw
numbers](../data/handwriting.json). The pictures are those of seed {seed}, drawn on {machine}; commit {commit}.

"""

# Rows of the table of mistakes.
MISTAKES = 10

# Pixels of a drawing's place on the sheet, and of the drawing.
CELL, LARGEST = 48, 46
PALE = "#ebebeb"


def write_page(folder: Path, results: Results, drawings: Sequence[Drawing] | None = None) -> None:
    """Write the page and the sheet of drawings; these are drawn anew if they are not at hand."""
    content = io.BytesIO()
    sheet(drawings or list(draw_all(results.seed))).save(content, "png")
    write(folder / "drawings.png", content.getvalue())
    write(folder / "handwriting.md", markdown(results))


def sheet(drawings: Sequence[Drawing]) -> Image.Image:
    """Every second drawing, a row for each digit, on paper of whatever colour the page has."""
    rows = [[one for one in drawings if one.digit == digit][::2] for digit in sorted({one.digit for one in drawings})]
    paper = Image.new("RGBA", (CELL * max(map(len, rows)), CELL * len(rows)))
    for row, own in enumerate(rows):
        for column, drawing in enumerate(own):
            picture = ImageOps.exif_transpose(Image.open(io.BytesIO(drawing.content))).convert("RGBA")
            picture.thumbnail((LARGEST, LARGEST))
            behind = Image.new("RGBA", picture.size, PALE)  # where a drawing is transparent
            paper.paste(Image.alpha_composite(behind, picture), (CELL * column, CELL * row))
    return paper


def tables(results: Results) -> list[Table]:
    """All networks, their mistakes, and what the first one recognises."""
    return [networks_table(results), mistakes_table(results), recognised_table(results, results.networks[0])]


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


def mistakes_table(results: Results) -> Table:
    """Which digits are most often taken for which, by all networks together, and how often by each."""
    counts = [
        Counter((picture.digit, answer) for picture, answer in results.answered(network) if answer != picture.digit)
        for network in results.networks
    ]
    found = sum(counts, Counter[tuple[int, int]]())
    frequent = sorted(found, key=lambda pair: (-found[pair], pair))[:MISTAKES]
    rows = [[str(digit), str(answer), *(str(own[digit, answer]) for own in counts)] for digit, answer in frequent]
    shown = sum(found[pair] for pair in frequent)
    columns = ["drawn", "read as", *(f"{network.arch}, {network.schedule}" for network in results.networks)]
    return Table("Mistakes", columns, rows, [f"The most frequent ones: {shown} of all {found.total()} mistakes."])


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
