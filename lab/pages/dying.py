"""docs/manual/dying.gif, README's picture: the same step of three runs of docs/play
side by side, in both themes.

`python -m lab.pages.screenshots gif` draws it from docs/data/play.json.
"""

import io
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from convblocks.figures.style import DARK, LIGHT, muted, render, style, themed
from convblocks.model.names import RECORDS, name_of
from exact_resume.files import write
from lab.pages.play import SEED, SHADES, read_numbers, unpacked

# Network and learning rate of the runs, from left to right.
RUNS = (("maxpool", "1e-3"), ("maxpool", "1e-2"), ("batchnorm", "1e-2"))

# How long each moment is shown, and the last one, with which the picture begins, in
# milliseconds: in a still only that is seen.
PACE = 600
REST = 6000
COLOURS = 64

# The picture, in pixels.
WIDTH = 960
HEIGHT = 556
PIXELS_PER_INCH = 100

# A panel, and the gap to the next.
MARGIN = 16
PANEL = 296
GAP = 20

# Its maps begin so far from the top.
MAPS = 142

# Of a panel: 8 x 8 maps of 7 x 7 values.
UNITS = 64
COLUMNS = 8
SIDE = 7

# Those of the play page, from no output to the highest; dead units are grey.
SHADE = LinearSegmentedColormap.from_list("shades", ["#000000", "#d55e00", "#f0e442", "#ffffff"])
GREY = (150, 150, 150)


class Panel(NamedTuple):
    """One run: at each step what its block 2 makes of a 7, which units of it are dead,
    and how many digits are right.

    Args:
        maps: (steps, 64, 7, 7) uint8 shades.
        dead: (steps, 64) bool.
        accuracies: On 1,000 test images, in 0..1.
    """

    arch: str
    rate: str
    maps: NDArray[np.uint8]
    dead: NDArray[np.bool_]
    accuracies: Sequence[float]


def draw_gif(data: Path, folder: Path) -> None:
    """Write dying.gif and dying-dark.gif."""
    numbers = read_numbers(data)
    steps: list[int] = numbers["steps"]
    panels = [panel_of(numbers["runs"], arch, rate) for arch, rate in RUNS]
    moments = [len(steps) - 1, *range(len(steps) - 1)]
    for theme, name in ((LIGHT, "dying.gif"), (DARK, "dying-dark.gif")):
        with themed(theme):
            frames = [
                picture_of(render(partial(frame, panels, steps, moment))) for moment in moments
            ]
        write(folder / name, gif(frames, [REST] + [PACE] * (len(frames) - 1)))


def panel_of(runs: Sequence[Mapping[str, Any]], arch: str, rate: str) -> Panel:
    wanted = arch, rate, SEED
    (run,) = (run for run in runs if (run["arch"], run["lr"], run["seed"]) == wanted)
    maps = np.frombuffer(unpacked(run["maps"]), np.uint8).reshape(-1, UNITS, SIDE, SIDE)
    dead = np.array([[mark == "1" for mark in second] for _, second, _ in run["dead"]])
    return Panel(arch, rate, maps, dead, run["accuracies"])


def frame(panels: Sequence[Panel], steps: Sequence[int], moment: int) -> Figure:
    """All runs after the same step."""
    inches = WIDTH / PIXELS_PER_INCH, HEIGHT / PIXELS_PER_INCH
    figure = Figure(figsize=inches, dpi=PIXELS_PER_INCH)
    for place, panel in enumerate(panels):
        _draw(figure, panel, moment, MARGIN + place * (PANEL + GAP))
    step = f"after {steps[moment]:,} of {steps[-1]:,} steps"
    _write(figure, WIDTH // 2, 522, step, 15, color=muted(), ha="center")
    return figure


def _draw(figure: Figure, panel: Panel, moment: int, left: int) -> None:
    box = (left / WIDTH, 1 - (MAPS + PANEL) / HEIGHT, PANEL / WIDTH, PANEL / HEIGHT)
    axes = figure.add_axes(box)
    axes.imshow(mosaic(panel.maps[moment], panel.dead[moment]), interpolation="nearest")
    axes.set_axis_off()
    colour = style(RECORDS[panel.arch].style).colour
    _write(figure, left, 6, name_of(panel.arch), 21, color=colour, fontweight="bold")
    _write(figure, left, 44, "learning rate", 15, color=muted())
    _write(figure, left, 68, f"{float(panel.rate):g}", 44, fontweight="bold")
    right = f"{100 * panel.accuracies[moment]:.0f} % right"
    _write(figure, left, 446, right, 21, fontweight="bold")
    _write(figure, left, 484, f"{panel.dead[moment].sum()} of {UNITS} units dead", 15)


def _write(figure: Figure, left: int, top: int, text: str, size: float, **how: Any) -> None:
    figure.text(left / WIDTH, 1 - top / HEIGHT, text, fontsize=size, va="top", **how)


def mosaic(maps: NDArray[np.uint8], dead: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """The maps of 64 units side by side, with transparent gaps: (63, 63, 4) uint8."""
    colours = SHADE(maps / (SHADES - 1), bytes=True)
    colours[dead, ..., :3] = GREY
    tiles = np.pad(colours, ((0, 0), (0, 1), (0, 1), (0, 0)))
    rows = [np.hstack([*row]) for row in np.split(tiles, COLUMNS)]
    return np.vstack(rows)[:-1, :-1]


def picture_of(figure: Figure) -> Image.Image:
    # Its methods have no types.
    canvas: Any = figure.canvas
    canvas.draw()
    return Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")


def gif(frames: Sequence[Image.Image], times: Sequence[int]) -> bytes:
    """A GIF in one set of colours, those of all frames, which are each shown for so
    many milliseconds.
    """
    sheet = Image.fromarray(np.concatenate([*map(np.asarray, frames)]))
    colours = sheet.quantize(COLOURS, Image.Quantize.MAXCOVERAGE)
    pictures = [shown.quantize(palette=colours, dither=Image.Dither.NONE) for shown in frames]
    content = io.BytesIO()
    pictures[0].save(
        content, "GIF", save_all=True, append_images=pictures[1:], duration=[*times], loop=0
    )
    return content.getvalue()
