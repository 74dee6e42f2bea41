"""How well other digits than MNIST's are recognised: the table, the sheet of drawings,
and the page.
"""

import io
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

from PIL import Image, ImageDraw, ImageFont, ImageOps

from convblocks.figures.grouping import grouped
from convblocks.figures.tables import Table, to_markdown
from convblocks.handwriting.ink import STROKE_WIDTHS
from convblocks.text import counted, percent
from exact_resume.files import write
from lab.benchmarks.handwriting.drawing import BACKGROUNDS, FONT_FOLDER, Drawing, draw_all
from lab.benchmarks.handwriting.results import Results
from lab.benchmarks.pages import brief_machine

TEMPLATE = Path(__file__).with_name("handwriting.md")

# Pixels of a drawing's place on the sheet, and of the drawing.
CELL = 48
LARGEST = 46
PALE = "#ebebeb"

# Letters can be read on white and on black; the headings are those of the first drawing
# of each kind.
INK = "#808080"
HEADINGS = {"drawn with a pen": "strokes", "printed in a font": "font"}


def write_page(folder: Path, results: Results, drawings: Sequence[Drawing] | None = None) -> None:
    """Write the page and the sheet of drawings, which are drawn again if they are not at hand."""
    content = io.BytesIO()
    sheet(drawings or list(draw_all(results.seed))).save(content, "png")
    write(folder / "drawings.png", content.getvalue())
    write(folder / "handwriting.md", markdown(results))


def markdown(results: Results) -> str:
    """The whole page."""
    digits = Counter(drawing.digit for drawing in results.drawn)
    kinds = Counter(drawing.kind for drawing in results.drawn)
    return TEMPLATE.read_text().format(
        seed=results.seed,
        n=len(results.drawn),
        of_each=len(results.drawn) // len(digits),
        strokes=kinds["strokes"] // len(digits),
        fonts=kinds["font"] // len(digits),
        backgrounds=len(BACKGROUNDS),
        widths=STROKE_WIDTHS,
        networks=to_markdown([networks_table(results)]),
    )


def sheet(drawings: Sequence[Drawing]) -> Image.Image:
    """Every second drawing, a row for each digit, strokes left and fonts right, on
    paper of the page's colour.
    """
    by_digit = grouped(drawings, lambda drawing: drawing.digit)
    rows = [by_digit[digit][::2] for digit in sorted(by_digit)]
    paper = Image.new("RGBA", (CELL * (1 + max(map(len, rows))), CELL * (1 + len(rows))))
    pen = ImageDraw.Draw(paper)
    font = ImageFont.truetype(FONT_FOLDER / "DejaVuSans.ttf", CELL // 2)
    kinds = [drawing.kind for drawing in rows[0]]
    for title, kind in HEADINGS.items():
        first = 1 + kinds.index(kind)
        pen.text((CELL * first, CELL // 2), title, INK, font, anchor="lm")
    for row, own in enumerate(rows, start=1):
        pen.text((CELL // 2, CELL * row + LARGEST // 2), str(own[0].digit), INK, font, anchor="mm")
        for column, drawing in enumerate(own, start=1):
            stored = Image.open(io.BytesIO(drawing.content))
            picture = ImageOps.exif_transpose(stored).convert("RGBA")
            picture.thumbnail((LARGEST, LARGEST))
            behind = Image.new("RGBA", picture.size, PALE)  # where a drawing is transparent
            paper.paste(Image.alpha_composite(behind, picture), (CELL * column, CELL * row))
    return paper


def networks_table(results: Results) -> Table:
    """A line for each network."""
    digits = sorted({drawn.digit for drawn in results.drawn})
    rows = []
    origins = []
    for network in results.networks:
        kinds = [results.right(network, kind=kind) for kind in ("strokes", "font")]
        by_digit = {digit: results.right(network, digit=digit) for digit in digits}
        worst = min(digits, key=lambda digit: fmean(by_digit[digit]))
        counts = [f"{sum(own)} of {len(own)}" for own in (results.right(network), *kinds)]
        measured = [percent(network.accuracy), *counts, f"{worst}: {share(by_digit[worst])}"]
        rows.append([network.arch, network.schedule, *measured])
        origins.append(
            f"Trained for {counted(network.epochs, 'epoch')} with seed {network.seed}, "
            f"{counted(network.threads, 'thread')}, on {brief_machine(network.machine)}; commit "
            f"{network.commit or 'unknown'}."
        )
    header = [
        "network",
        "schedule",
        "MNIST test set",
        "all pictures",
        "strokes",
        "fonts",
        "worst digit",
    ]
    return Table("Networks", header, rows, list(dict.fromkeys(origins)))


def share(right: Sequence[bool]) -> str:
    return f"{100 * fmean(right):.1f} %"
