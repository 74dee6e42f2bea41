"""usage: python -m lab.pages.screenshots [board] [report] [stills] [pictures] [gif] [handout]

Draw the pictures of TensorBoard, a report, the demo and dying units that the
documentation shows, and print the lesson's handout, with Chromium: to be called in the
repository's folder. Runs that
are missing in lightning_logs/ are trained; that takes ten minutes on two CPUs.

  board                docs/manual/tensorboard.png
  report               docs/manual/report.png, a run's report.html
  stills               docs/manual/demo.png, in the dark theme docs/manual/demo-dark.png,
                       and docs/manual/demo-maps.png
  pictures             docs/manual/pictures-demo.png
  gif                  docs/manual/dying.gif and docs/manual/dying-dark.gif, without Chromium
  handout              docs/lesson/handout.pdf of handout.md, one page of A4

Without a name all are drawn.
"""

import io
import tempfile
import time
from base64 import b64decode
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from hashlib import md5
from pathlib import Path
from urllib.parse import quote

from markdown_it import MarkdownIt
from PIL import Image
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait
from tensorboard.program import TensorBoard

from convblocks.console import answer, end
from convblocks.demo.server import Server
from convblocks.errors import UsageError
from convblocks.evaluate import command as evaluate
from convblocks.model.restore import load_network
from convblocks.record.directory import RunDirectory
from convblocks.run import fit
from exact_resume.files import write
from lab.benchmarks.handwriting.shapes import SHAPES, Shape
from lab.pages import dying
from lab.pages.writing import DATA, REPOSITORY
from tests.data.pictures import SHAPES as SHAPES_IN_COLOUR
from tests.data.pictures import write_pictures
from tests.demo.browser import chromium
from tests.demo.pages import Form, Page, serving

MANUAL = REPOSITORY / "docs" / "manual"
HANDOUT = REPOSITORY / "docs" / "lesson" / "handout.md"

# The notebook's networks with its settings, and two for pictures; what each is trained with.
OF_DIGITS = {"notebook-maxpool": "--arch maxpool", "notebook-batchnorm": "--arch batchnorm"}
OF_PICTURES = {
    "shapes": "--arch batchnorm --epochs 2",
    "shapes-maxpool": "--arch maxpool --lr 1e-3 --epochs 4",
}

STILL = Form(1160, 870, 1.25)
CROSS: Shape = [[(50, -5), (50, 105)], [(-7, 50), (107, 50)]]


def main(arguments: list[str]) -> None:
    """Draw the pictures that are asked for.

    Raises:
        UserError: there are no such pictures, or a run cannot be trained.
    """
    drawers: dict[str, Callable[[], None]] = {
        "board": draw_board,
        "report": draw_report,
        "stills": draw_stills,
        "pictures": draw_pictures,
        "gif": partial(dying.draw_gif, DATA, MANUAL),
        "handout": print_handout,
    }
    unknown = [name for name in arguments if name not in drawers]
    if unknown:
        raise UsageError(
            f"there are no pictures {unknown[0]!r}: choose some of {', '.join(drawers)}"
        )
    for name in arguments or drawers:
        drawers[name]()


def draw_board() -> None:
    train_missing(OF_DIGITS)
    with window_on(Form(1280, 900, 1.25)) as page, tempfile.TemporaryDirectory() as folder:
        for name in OF_DIGITS:
            (Path(folder) / name).symlink_to(RunDirectory(name).path.resolve())
        board = TensorBoard()
        board.configure(logdir=folder, host="127.0.0.1", port=0, load_fast="false")
        page.window.get(board.launch())
        WebDriverWait(page.window, 120).until(
            lambda window: len(window.find_elements(By.CSS_SELECTOR, "line-chart")) >= 4
        )
        # It draws the curves once they have a place.
        time.sleep(5)
        save(page.window.get_screenshot_as_png(), "tensorboard.png")


def draw_report() -> None:
    train_missing(OF_DIGITS)
    run = RunDirectory("notebook-maxpool")
    evaluate.main([str(run.last_checkpoint)])
    with window_on(Form(1120, 1260, 1.25)) as page:
        page.window.get(run.report.absolute().as_uri())
        page.run("document.documentElement.style.scrollbarWidth = 'none'")
        save(page.window.get_screenshot_as_png(), "report.png")


@contextmanager
def window_on(form: Form) -> Iterator[Page]:
    """A browser with a screen of that size."""
    with tempfile.TemporaryDirectory() as profile, chromium(Path(profile)) as window:
        page = Page(window)
        page.set_screen(form)
        yield page


def draw_stills() -> None:
    with demo(OF_DIGITS) as (page, server):
        for theme, name in (("light", "demo.png"), ("dark", "demo-dark.png")):
            page.open(server, STILL, theme)
            page.draw(SHAPES[6]["hooked"])
            save(page.window.get_screenshot_as_png(), name)
        page.open(server, Form(1160, 1500, 1.25))
        page.draw(SHAPES[6]["hooked"])
        save(page.find("#maps").screenshot_as_png, "demo-maps.png")


def draw_pictures() -> None:
    with tempfile.TemporaryDirectory() as folder:
        write_pictures(
            Path(folder), classes=tuple(SHAPES_IN_COLOUR), train=1200, test=360, size=(32, 40)
        )
        with demo(OF_PICTURES, "--data.root", folder) as (page, server):
            page.open(server, STILL)
            page.draw(CROSS)
            save(page.window.get_screenshot_as_png(), "pictures-demo.png")


def print_handout() -> None:
    text = HANDOUT.read_text()
    layout = Path(__file__).with_name("handout.html").read_text()
    page = layout + MarkdownIt().enable("table").render(text)
    with window_on(STILL) as browser:
        browser.window.get(f"data:text/html,{quote(page)}")
        printed = browser.window.execute_cdp_cmd("Page.printToPDF", {"preferCSSPageSize": True})
    # a comment tells what it was printed from
    origin = f"% handout.md: {md5(text.encode()).hexdigest()}\n"
    write(HANDOUT.with_suffix(".pdf"), b64decode(printed["data"]) + origin.encode())


def train_missing(runs: Mapping[str, str], *more: str) -> None:
    for name, flags in runs.items():
        if not RunDirectory(name).summary.is_file():
            fit.main([*flags.split(), *more, "--name", name, "--threads", "1"])


@contextmanager
def demo(runs: Mapping[str, str], *more: str) -> Iterator[tuple[Page, Server]]:
    """A browser, and a server of the networks of runs, which are trained if they are missing."""
    train_missing(runs, *more)
    networks = [load_network(RunDirectory(name).last_checkpoint) for name in runs]
    with window_on(STILL) as page, serving(*networks) as server:
        yield page, server


def save(screenshot: bytes, name: str) -> None:
    content = io.BytesIO()
    Image.open(io.BytesIO(screenshot)).convert("RGB").save(content, "PNG", optimize=True)
    write(MANUAL / name, content.getvalue())


if __name__ == "__main__":
    end(answer(main, __doc__))
