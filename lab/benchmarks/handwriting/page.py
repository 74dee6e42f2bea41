"""How well other digits than MNIST's are recognised: the table, the sheet of drawings,
and the page.
"""

import io
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from statistics import fmean

from PIL import Image, ImageDraw, ImageFont, ImageOps

from convblocks.figures.grouping import grouped
from convblocks.figures.tables import Table
from convblocks.handwriting.ink import STROKE_WIDTHS
from convblocks.text import counted, percent
from exact_resume.files import write
from lab.benchmarks.handwriting.drawing import BACKGROUNDS, FONT_FOLDER, Drawing, draw_all
from lab.benchmarks.handwriting.results import Network, Results
from lab.estimates import count_text
from lab.pages.writing import Block, brief_machine, table, write_page

# Pixels of a drawing's place on the sheet, and of the drawing.
CELL = 48
LARGEST = 46
PALE = "#ebebeb"

# Letters can be read on white and on black; the headings are those of the first drawing
# of each kind.
INK = "#808080"
HEADINGS = {"drawn with a pen": "strokes", "printed in a font": "font"}


def publish(folder: Path, results: Results) -> None:
    """Write the page and the sheet of drawings, which are drawn again."""
    content = io.BytesIO()
    sheet(draw_all(results.seed)).save(content, "png")
    write(folder / "drawings.png", content.getvalue())
    write_page(folder / "handwriting.md", *blocks(results))


def blocks(results: Results) -> list[Block]:
    """The page."""
    digits = Counter(drawing.digit for drawing in results.drawn)
    kinds = Counter(drawing.kind for drawing in results.drawn)
    n = len(results.drawn)
    return [
        "# Does it read digits that are not from MNIST? Synthetic strokes and fonts",
        """
        A network that gets 99 % of MNIST right may still fail on the digit that you
        draw. What counts is how well a picture is turned into one that looks like
        MNIST's. `src/convblocks/handwriting/ink.py` does that:
        """,
        f"""
        1. Rotate the picture as its EXIF data says, put a transparent one on a contrasting
           background, scale it down to 400 pixels.
        2. Fit a smooth background to most of its pixels. Ink is whatever differs from that in one
           direction of colour.
        3. Drop dust, and anything beside the digit that runs out of the picture. Many separate
           parts are not a digit, and the answer says so.
        4. Make strokes as wide as MNIST's: between {STROKE_WIDTHS[0]} and {STROKE_WIDTHS[1]}
           pixels, the quartiles of 3,000 training images.
        5. As MNIST's authors did, scale the longer side to 20 pixels and move the centre of mass to
           pixel (14, 14).
        """,
        f"## {n} pictures that are not MNIST's",
        f"""
        `lab/benchmarks/handwriting/` draws {n // len(digits)} pictures of each digit:
        {kinds["strokes"] // len(digits)} with a pen's strokes, in four shapes on
        {len(BACKGROUNDS)} kinds of background, with random size, pen, aspect, slant,
        tilt and place, and {kinds["font"] // len(digits)} printed in matplotlib's
        fonts. Every second one:
        """,
        f"![Every second of the {n} pictures, a digit in each row](drawings.png)",
        """
        Nothing was tuned on single pictures, and none was left out. A picture must hold
        one digit. Squared or ruled paper whose lines cross the digit does not work, and
        a hard shadow across it may be taken for ink.
        """,
        f"""
        `python -m lab.train handwriting`: [raw numbers](../data/handwriting.json) with
        every answer; pictures of seed {results.seed}.
        """,
        [networks_table(results)],
        """
        A line is one network: another seed recognises some pictures more or fewer. In
        brackets is Wilson's interval, as if the pictures were independent; but a
        shape's are alike, and they are this project's own drawings, so they say little
        of how well it reads what people write.
        """,
    ]


def sheet(drawings: Iterable[Drawing]) -> Image.Image:
    """Every second drawing, a row for each digit, strokes left and fonts right, on
    paper of the page's colour.
    """
    by_digit = grouped(drawings, lambda drawing: drawing.digit)  # from 0 on
    rows = [own[::2] for own in by_digit.values()]
    paper = Image.new("RGBA", (CELL * (1 + max(map(len, rows))), CELL * (1 + len(rows))))
    pen = ImageDraw.Draw(paper)
    font = ImageFont.truetype(FONT_FOLDER / "DejaVuSans.ttf", CELL // 2)
    kinds = [drawing.kind for drawing in rows[0]]
    for title, kind in HEADINGS.items():
        first = 1 + kinds.index(kind)
        pen.text((CELL * first, CELL // 2), title, INK, font, anchor="lm")
    for row, own in enumerate(rows, start=1):
        place = CELL // 2, CELL * row + LARGEST // 2
        pen.text(place, str(own[0].digit), INK, font, anchor="mm")
        for column, drawing in enumerate(own, start=1):
            stored = Image.open(io.BytesIO(drawing.content))
            picture = ImageOps.exif_transpose(stored).convert("RGBA")
            picture.thumbnail((LARGEST, LARGEST))
            behind = Image.new("RGBA", picture.size, PALE)  # where a drawing is transparent
            opaque = Image.alpha_composite(behind, picture)
            paper.paste(opaque, (CELL * column, CELL * row))
    return paper


def networks_table(results: Results) -> Table:
    """A line for each network."""
    digits = {drawn.digit for drawn in results.drawn}
    rows = []
    origins = []
    for network in results.networks:
        shares = [(fmean(results.right(network, digit=digit)), digit) for digit in digits]
        least, worst = min(shares)
        rows.append(
            {
                "network": network.arch,
                "schedule": network.schedule,
                "MNIST test set": percent(network.accuracy),
                "all pictures": recognised(results, network),
                "strokes": recognised(results, network, kind="strokes"),
                "fonts": recognised(results, network, kind="font"),
                "worst digit": f"{worst}: {100 * least:.1f} %",
            }
        )
        origins.append(
            f"Trained for {counted(network.epochs, 'epoch')} at a learning rate of {network.lr:g} "
            f"with seed {network.seed}, "
            f"{counted(network.threads, 'thread')}, on {brief_machine(network.machine)}; commit "
            f"{network.commit or 'unknown'}."
        )
    return table("Networks", rows, *dict.fromkeys(origins))


def recognised(results: Results, network: Network, **labels: str) -> str:
    """How many of the pictures with these labels a network gets right."""
    right = results.right(network, **labels)
    return count_text(sum(right), len(right))
