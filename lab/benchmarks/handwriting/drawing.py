"""Draws pictures of digits that are not MNIST's: a pen's strokes and printed fonts, on
many kinds of background.
"""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont, ImageOps
from scipy.interpolate import CubicHermiteSpline

from lab.benchmarks.handwriting.results import Drawn
from lab.benchmarks.handwriting.shapes import SHAPES, Shape, Stroke

# Comes with matplotlib, so it is installed wherever the project is.
FONT_FOLDER = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
FONTS = (
    "DejaVuSans",
    "DejaVuSans-Bold",
    "DejaVuSans-Oblique",
    "DejaVuSans-BoldOblique",
    "DejaVuSansMono",
    "DejaVuSansMono-Bold",
    "DejaVuSerif",
    "DejaVuSerif-Bold",
    "DejaVuSerif-Italic",
    "STIXGeneral",
    "STIXGeneralBol",
    "STIXGeneralItalic",
    "cmr10",
    "cmb10",
    "cmss10",
    "cmtt10",
)

BACKGROUNDS = ("paper", "dark", "colours", "photo", "transparent", "noisy")

# What draws sizes, widths, slants, places, colours and noise.
Random = np.random.Generator


@dataclass(frozen=True)
class Drawing(Drawn):
    """A picture of a digit as the content of a PNG or JPEG file."""

    content: bytes


def draw_all(seed: int) -> Iterator[Drawing]:
    """Every shape on every background, and every digit of every font: the same pictures
    for the same seed.
    """
    random = np.random.default_rng(seed)
    for digit, shapes in SHAPES.items():
        for form, shape in shapes.items():
            for background in BACKGROUNDS:
                content = on_background(strokes(shape, random), background, random)
                yield Drawing(digit, "strokes", form, background, content)
        for number, form in enumerate(FONTS):
            background = BACKGROUNDS[(number + digit) % len(BACKGROUNDS)]
            content = on_background(printed(digit, form, random), background, random)
            yield Drawing(digit, "font", form, background, content)


def strokes(shape: Shape, random: Random) -> Image.Image:
    """A mask of a shape drawn with a pen: of random size, width, aspect, slant, tilt
    and unsteadiness.
    """
    height = random.uniform(25, 420)
    width = height * random.uniform(0.55, 0.9)
    pen = max(1.5, height * random.uniform(0.04, 0.15))
    slant = random.uniform(-0.15, 0.35)
    tilt = np.deg2rad(random.uniform(-8, 8))
    cos, sin = np.cos(tilt), np.sin(tilt)
    turn = np.array([[cos, -sin], [sin, cos]])
    lines = []
    for stroke in shape:
        x, y = smooth(unsteady(stroke, random)).T / 100
        across = x * width + (0.5 - y) * slant * height
        lines.append(np.stack([across, y * height], axis=1) @ turn.T)
    return _pen(lines, pen)


def printed(digit: int, font: str, random: Random) -> Image.Image:
    """A mask of a font's digit, of random size."""
    size = int(random.integers(24, 400))
    face = ImageFont.truetype(FONT_FOLDER / f"{font}.ttf", size)
    left, top, right, bottom = face.getbbox(str(digit))
    mask = Image.new("L", (int(right - left) + 4, int(bottom - top) + 4))
    ImageDraw.Draw(mask).text((2 - left, 2 - top), str(digit), fill=255, font=face)
    return mask


def on_background(mask: Image.Image, background: str, random: Random) -> bytes:
    """Put what a mask shows somewhere on a background, in some colour; returns a file's content."""
    margins = random.uniform(0.05, 0.9, size=4) * max(mask.size)
    ink = ImageOps.expand(mask, tuple(map(int, margins)))
    dark = random.integers(0, 90, size=3)
    light = random.integers(190, 256, size=3)
    if background == "photo":
        return _photo(ink, light, dark, random)
    picture = _blend(ink, light, dark)
    match background:
        case "paper":
            picture = _blend(ink, light[0], dark[0])
        case "dark":
            picture = _blend(ink, dark, light)
        case "colours":
            hues = random.permutation(3)
            paper, pen = np.full((2, 3), 60)
            paper[hues[0]] = pen[hues[1]] = 230
            picture = _blend(ink, paper, pen)
        case "transparent":
            colour = (dark, light)[random.integers(2)].tolist()
            picture = Image.new("RGBA", ink.size, (*colour, 0))
            picture.putalpha(ink)
        case "noisy":
            picture = _image(_noisy(picture, random.uniform(4, 12), random))
    content = io.BytesIO()
    picture.save(content, "PNG", compress_level=1)  # it is read again at once
    return content.getvalue()


def unsteady(stroke: Stroke, random: Random) -> np.ndarray:
    """Move every point a little, and those that make a corner together."""
    moved = {point: point + random.normal(0, 2, size=2) for point in dict.fromkeys(stroke)}
    return np.array([moved[point] for point in stroke])


def smooth(stroke: Stroke | np.ndarray) -> np.ndarray:
    """A Catmull-Rom curve through a stroke's points; its tangent at a point is along
    that point's neighbours.
    """
    points = np.array([stroke[0], *stroke, stroke[-1]])
    tangents = (points[2:] - points[:-2]) / 2
    places = np.arange(len(stroke))
    curve = CubicHermiteSpline(places, points[1:-1], tangents)
    drawn: np.ndarray = curve(np.add.outer(places[:-1], np.linspace(0, 1, 24)).ravel())
    return drawn


def _pen(lines: list[np.ndarray], pen: float) -> Image.Image:
    """Lines drawn with a round pen, at four times the size and then reduced: Pillow's
    own have rough edges.
    """
    everything = np.concatenate(lines)
    low = everything.min(axis=0) - (pen + 2)
    width, height = np.ceil(everything.max(axis=0) + (pen + 2) - low)
    mask = Image.new("L", (4 * int(width), 4 * int(height)))
    draw = ImageDraw.Draw(mask)
    for line in lines:
        points = [*map(tuple, (4 * (line - low)).tolist())]
        draw.line(points, fill=255, width=round(4 * pen), joint="curve")
        for point in points:
            draw.circle(point, 2 * pen, fill=255)
    return mask.reduce(4)


def _blend(ink: Image.Image, paper: np.ndarray, pen: np.ndarray) -> Image.Image:
    """From one colour to the other as the ink says; grey where they are single numbers."""
    colours = np.linspace(paper, pen, 256).round().astype(np.uint8)
    return Image.fromarray(colours[np.asarray(ink)])


def _image(pixels: np.ndarray) -> Image.Image:
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def _noisy(picture: Image.Image, deviation: float, random: Random) -> np.ndarray:
    pixels = np.asarray(picture, dtype=float)
    return pixels + random.normal(0, deviation, pixels.shape)


def _photo(ink: Image.Image, paper: np.ndarray, pen: np.ndarray, random: Random) -> bytes:
    """Paper under a lamp at one side, a little out of focus, with a sensor's noise, as
    a rotated JPEG.
    """
    pixels = np.asarray(_blend(ink, paper, pen), dtype=float)
    y, x = np.mgrid[0 : ink.height, 0 : ink.width] / max(ink.size)
    lamp = random.uniform(-0.3, 1.3, size=2)
    light = 1.1 - random.uniform(0.3, 0.6) * ((x - lamp[0]) ** 2 + (y - lamp[1]) ** 2)
    lit = _image(pixels * light[..., None])
    blurred = lit.filter(ImageFilter.GaussianBlur(max(ink.size) / 300))
    upright = _noisy(blurred, random.uniform(2, 5), random)
    # How a viewer must turn the stored picture, and the quarter turns that it was given.
    orientation, turns = ((1, 0), (6, 1), (3, 2))[random.integers(3)]
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = io.BytesIO()
    _image(np.rot90(upright, turns)).save(content, "JPEG", quality=80, exif=exif)
    return content.getvalue()
