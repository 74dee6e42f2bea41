"""usage: python docs/screenshots.py [board] [stills] [pictures] [gif]

Draw the pictures of TensorBoard and of the demo that the documentation shows, with Chromium: to be called in the
repository's folder. Runs that are missing in lightning_logs/ are trained; that takes some ten minutes on two CPUs.

  board                docs/manual/tensorboard.png
  stills               docs/manual/demo.png, in the dark theme docs/manual/demo-dark.png, and docs/manual/demo-maps.png
  pictures             docs/manual/pictures-demo.png
  gif                  docs/manual/demo.gif, six seconds of drawing

Without a name all are drawn.
"""

import io
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from itertools import pairwise
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # tests/ and benchmarks/ are no part of the package

from PIL import Image
from selenium.common.exceptions import TimeoutException
from selenium.webdriver import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from benchmarks.handwriting.shapes import SHAPES, Shape
from convblocks.atomic import write
from convblocks.console import answer, end
from convblocks.errors import UsageError
from convblocks.evaluation.trained import load_network
from convblocks.handwriting.demo.server import Server
from convblocks.runs.directory import RunDirectory
from convblocks.training import fit
from tests.data.pictures import SHAPES as SHAPES_IN_COLOUR
from tests.data.pictures import write_pictures
from tests.evaluation import board
from tests.handwriting.browser import chromium
from tests.handwriting.pages import Form, Page, places, serving

MANUAL = Path(__file__).resolve().parent / "manual"

# The notebook's networks with its settings, and two for pictures; what each is trained with.
OF_DIGITS = {"notebook-maxpool": ["--arch", "maxpool"], "notebook-batchnorm": ["--arch", "batchnorm"]}
OF_PICTURES = {
    "shapes": ["--arch", "batchnorm", "--epochs", "2"],
    "shapes-maxpool": ["--arch", "maxpool", "--lr", "1e-3", "--epochs", "4"],
}

STILL, TALL, MOVING = Form(1160, 870, 1.25), Form(1160, 1500, 1.25), Form(1000, 870)
BOARD = {"width": 1280, "height": 900, "deviceScaleFactor": 1.25, "mobile": False}
CROSS: Shape = [[(50, -5), (50, 105)], [(-7, 50), (107, 50)]]

# How long the GIF is, and how long it rests on each finished digit, in milliseconds.
LENGTH, REST = 6000, 900
COLOURS = 64

# Seconds that TensorBoard needs to draw the curves once they have a place, and that a point's answer is waited for.
SETTLING, MOST_WAITING = 5, 5


def main(arguments: list[str]) -> None:
    """Draw the pictures that are asked for.

    Raises:
        UserError: there are no such pictures, or a run cannot be trained.
    """
    drawers = {"board": draw_board, "stills": draw_stills, "pictures": draw_pictures, "gif": draw_gif}
    if unknown := [name for name in arguments if name not in drawers]:
        raise UsageError(f"there are no pictures {unknown[0]!r}: choose some of {', '.join(drawers)}")
    for name in arguments or drawers:
        drawers[name]()


def draw_board() -> None:
    train_missing(OF_DIGITS)
    with tempfile.TemporaryDirectory() as folder:
        for name in OF_DIGITS:
            (Path(folder) / name).symlink_to(RunDirectory(name).path.resolve())
        with board.serving(Path(folder)) as address, chromium(Path(folder) / "profile") as window:
            window.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", BOARD)
            window.get(address)
            WebDriverWait(window, 120).until(lambda _: len(window.find_elements(By.CSS_SELECTOR, "line-chart")) >= 4)
            time.sleep(SETTLING)
            save(screenshot(Page(window)), "tensorboard.png")


def draw_stills() -> None:
    with demo(OF_DIGITS) as (page, server):
        for theme, name in (("light", "demo.png"), ("dark", "demo-dark.png")):
            page.open(server, STILL, theme)
            page.draw(SHAPES[6]["hooked"])
            save(screenshot(page), name)
        page.open(server, TALL)
        page.draw(SHAPES[6]["hooked"])
        page.find("#maps summary").click()
        WebDriverWait(page.window, 60).until(lambda _: page.find("#layers").is_displayed())
        save(Image.open(io.BytesIO(page.find("#maps").screenshot_as_png)), "demo-maps.png")


def draw_pictures() -> None:
    with tempfile.TemporaryDirectory() as folder:
        write_pictures(Path(folder), classes=tuple(SHAPES_IN_COLOUR), train=1200, test=360, size=(32, 40))
        with demo(OF_PICTURES, "--data.root", folder) as (page, server):
            page.open(server, STILL)
            page.draw(CROSS)
            save(screenshot(page), "pictures-demo.png")


def draw_gif() -> None:
    """A digit and then another, point by point; each point has been answered before its picture is taken."""
    frames, ends = [], []
    with demo(OF_DIGITS) as (page, server):
        page.open(server, MOVING)
        for shape in (SHAPES[2]["straight foot"], SHAPES[6]["hooked"]):
            page.press(Keys.ESCAPE)
            frames += list(screenshots_while_drawing(page, shape))
            ends.append(len(frames) - 1)
    pace = (LENGTH - REST * len(ends)) // (len(frames) - len(ends)) // 10 * 10  # GIFs count hundredths
    times = [REST if index in ends else pace for index in range(len(frames))]
    times[-1] += LENGTH - sum(times)
    colours = frames[-1].quantize(COLOURS)
    colours.putpalette([255 if value >= 245 else value for value in colours.getpalette() or []])  # white is white
    pictures = [frame.quantize(palette=colours, dither=Image.Dither.NONE) for frame in frames]
    content = io.BytesIO()
    pictures[0].save(content, "GIF", save_all=True, append_images=pictures[1:], duration=times, loop=0)
    write(MANUAL / "demo.gif", content.getvalue())


def train_missing(runs: Mapping[str, Sequence[str]], *more: str) -> None:
    for name, flags in runs.items():
        if not RunDirectory(name).summary.is_file():
            fit.main([*flags, *more, "--name", name, "--threads", "1"])


@contextmanager
def demo(runs: Mapping[str, Sequence[str]], *more: str) -> Iterator[tuple[Page, Server]]:
    """A browser, and a server of the networks of runs, which are trained if they are missing."""
    train_missing(runs, *more)
    networks = [load_network(RunDirectory(name).last_checkpoint) for name in runs]
    with tempfile.TemporaryDirectory() as profile, chromium(Path(profile)) as window, serving(*networks) as server:
        yield Page(window), server


def screenshots_while_drawing(page: Page, shape: Shape) -> Iterator[Image.Image]:
    """Draw strokes, with a picture at each point."""
    sheet = page.find("#drawing")

    def seen() -> str | None:
        return page.find("#seen").get_attribute("src")

    def move(right: int, down: int) -> None:
        """Move the mouse, and wait for the answer; a point may change nothing."""
        old = seen()
        ActionChains(page.window, duration=0).move_by_offset(right, down).perform()
        with suppress(TimeoutException):
            WebDriverWait(page.window, MOST_WAITING, 0.02).until(lambda _: seen() != old)

    for stroke in shape:
        points = places(sheet, stroke)
        ActionChains(page.window, duration=0).move_to_element_with_offset(sheet, *points[0]).click_and_hold().perform()
        for before, after in pairwise(points):
            move(after[0] - before[0], after[1] - before[1])
            yield screenshot(page)
        ActionChains(page.window).release().perform()
        page.wait()
    yield screenshot(page)


def screenshot(page: Page) -> Image.Image:
    return Image.open(io.BytesIO(page.window.get_screenshot_as_png())).convert("RGB")


def save(picture: Image.Image, name: str) -> None:
    content = io.BytesIO()
    picture.convert("RGB").save(content, "PNG", optimize=True)
    write(MANUAL / name, content.getvalue())


if __name__ == "__main__":
    end(answer(main, __doc__))
