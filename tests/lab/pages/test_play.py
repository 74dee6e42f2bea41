"""The page docs/play, opened from a folder as a reader opens it: its networks, its runs, and the one that it trains."""

import base64
import io
import re
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from selenium.webdriver import ActionChains
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from convblocks.data.images import MNIST, ImageSets
from convblocks.handwriting.ink import to_mnist
from convblocks.model.networks import build_network, evaluating
from lab.benchmarks.handwriting.shapes import SHAPES
from lab.pages import play
from lab.pages.provenance import is_committed
from lab.pages.writing import DATA
from lab.snapshots import FILE, STEPS, Snapshots
from tests.demo.browser import chromium
from tests.demo.pages import COUNT_SHIFTS, DESKTOP, SCREENS, Form, Page

pytestmark = pytest.mark.slow

LARGEST = 1_500_000  # bytes, of all files together
GREY = [150, 150, 150]
NETWORKS = ["maxpool", "batchnorm"]

# The colours in the middle of each map.
MIDDLES = """
  const { brush, maps, height, right, down, columns } = app.collapse.mosaic, half = Math.floor(height / 2);
  return Array.from({ length: maps }, (_, m) => [...brush.getImageData(
    m % columns * right + half, Math.floor(m / columns) * down + half, 1, 1).data].slice(0, 3));
"""


class PlayPage(Page):
    """The page in a browser."""

    def value(self, output: str) -> str:
        shown: str = self.run("return document.getElementById(arguments[0]).value", output)
        return shown

    def until(self, condition: str) -> None:
        WebDriverWait(self.window, 60, 0.05).until(lambda _: self.run(f"return {condition}"))

    def choose(self, slider: str, value: float) -> None:
        self.run(
            "const slider = document.getElementById(arguments[0]); slider.value = arguments[1];"
            "slider.dispatchEvent(new Event('input'))",
            slider,
            value,
        )

    def choose_network(self, number: int) -> None:
        self.click(f"input[name=net][value='{number}']")

    def focus_stage(self, number: int) -> None:
        self.run("document.querySelectorAll('#stages canvas')[arguments[0]].focus()", number)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("play")
    play.write_page(DATA, out)
    return out / "docs" / "play"


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PlayPage]:
    with chromium(tmp_path_factory.mktemp("profile")) as window:
        window.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": COUNT_SHIFTS})
        yield PlayPage(window)


def visit(page: PlayPage, folder: Path, state: str = "step=938", form: Form = DESKTOP, theme: str = "light") -> None:
    """Open the page anew; another state of an open page would only be a jump in it."""
    page.window.get("about:blank")
    page.visit(f"{(folder / 'index.html').as_uri()}#{state}", form, theme)


def numbers(text: str) -> list[float]:
    return [float(number) for number in re.findall(r"-?\d+\.\d+", text.replace("\u2212 ", "-").replace("\u2212", "-"))]


@pytest.mark.parametrize("arch", NETWORKS)
def test_the_browser_answers_as_torch_does(arch: str, page: PlayPage, folder: Path, digits: ImageSets) -> None:
    visit(page, folder)
    network, images = build_network(arch), digits.test.images[:100]
    network.load_state_dict(play.weights_of(play.read_numbers(DATA)["readers"][arch]), strict=False)
    with evaluating(network), torch.no_grad():
        expected = network(MNIST.normalize(images))
    looks = "return arguments[0].map((image) => app.source.setup.networks[arguments[1]].inside.look(image).shares)"
    shares = page.run(looks, images.flatten(1).tolist(), NETWORKS.index(arch))
    assert (torch.tensor(shares) - expected.softmax(dim=1)).abs().max() < 1e-5


def test_drawn_digits_become_images_as_in_the_demo(page: PlayPage, folder: Path) -> None:
    visit(page, folder)
    for digit in range(10):
        page.press(str(digit))
        assert page.message == f"Both say {digit}."
        drawn, seen = page.window.execute_async_script("""
            const [done] = arguments, reader = new FileReader(), { pad } = app.page;
            reader.onload = () => done([reader.result, [...toDigit(pad.state.strokes)]]);
            pad.picture().then((picture) => reader.readAsDataURL(picture));
        """)
        with Image.open(io.BytesIO(base64.b64decode(drawn.partition(",")[2]))) as picture:
            expected = to_mnist(picture)
        # A centre of mass halfway between two pixels may be rounded to either.
        moved = [np.roll(expected, (down, right), (0, 1)).ravel() for down in (-1, 0, 1) for right in (-1, 0, 1)]
        assert max(np.corrcoef(image, seen)[0, 1] for image in moved) > 0.8
    page.run("document.getElementById('drawing').scrollIntoView({ block: 'center' })")
    page.press(Keys.ESCAPE)
    page.draw(SHAPES[2]["straight foot"])
    assert page.message == "Both say 2."
    assert "digit=" not in page.run("return location.hash")
    assert page.complaints() == []


@pytest.mark.parametrize(("arch", "stage"), [("maxpool", 0), ("batchnorm", 3), ("maxpool", 6)])
def test_a_pixel_of_a_convolution_is_explained(arch: str, stage: int, page: PlayPage, folder: Path) -> None:
    visit(page, folder, f"step=938&digit=3&net={arch}")
    canvas = page.window.find_elements("css selector", "#stages canvas")[stage]
    page.run("arguments[0].scrollIntoView({ block: 'center' })", canvas)
    ActionChains(page.window, duration=0).move_to_element_with_offset(canvas, 20, 10).perform()
    page.until(f"app.page.maps.selected.index === {stage}")
    window, weights, products = (
        numbers(" ".join(page.texts(f".{part} span"))) for part in ("window", "weights", "products")
    )
    assert products == pytest.approx(
        [one * other for one, other in zip(window, weights, strict=True)], rel=0.05, abs=0.03
    )
    *parts, value = numbers(page.texts("#result")[0])
    assert sum(products) == pytest.approx(parts[0], abs=0.05)
    assert sum(parts) == pytest.approx(value, abs=0.03)
    shown = page.run(
        "const { index, place: { m, y, x } } = app.page.maps.selected;"
        "const { values, height, width } = app.page.maps.stages[index].stage;"
        "return values[(m * height + y) * width + x]"
    )
    assert shown == pytest.approx(value, abs=0.006)
    assert len(page.run("return [...document.querySelectorAll('.mark')].filter((mark) => mark.checkVisibility())")) == 2


@pytest.mark.parametrize("step", [0, 4, 938])
def test_maps_are_grey_as_the_masks_say(step: int, page: PlayPage, folder: Path) -> None:
    runs = play.read_numbers(DATA)["runs"]
    visit(page, folder, f"lr=1e-2&step={step}")
    dead = {}
    for number, net in enumerate(NETWORKS):
        page.choose_network(number)
        (run, *_) = [one for one in runs if (one["arch"], one["lr"]) == (net, "1e-2")]
        dead[net] = run["dead"][STEPS.index(step)][1]
        assert [colour == GREY for colour in page.run(MIDDLES)] == [unit == "1" for unit in dead[net]]
        assert f"net={net}" in page.run("return location.hash")
    if step == 938:
        assert dead["maxpool"].count("1") >= 60 > 10 > dead["batchnorm"].count("1")
        page.choose_network(0)
        assert "are dead" in page.texts("#verdict")[0]


def test_a_run_is_played_and_another_learns_on_the_page_until_its_units_die_of_a_high_rate(
    page: PlayPage, folder: Path
) -> None:
    visit(page, folder, "")
    page.until("app.collapse.state.step > 2")  # the collapsed run plays by itself until it is paused
    page.click("#play")
    assert "step=" in page.run("return location.hash")
    page.find("#train").click()
    page.until("Number(document.getElementById('live-loss').value || 9) < 1")
    before = int(page.find("#weights").get_attribute("aria-label").split()[0])  # type: ignore[union-attr]
    page.choose("rate", -1)
    assert page.value("rate-shown") == "0.1"
    page.until(f"parseInt(document.getElementById('weights').ariaLabel) >= {before + 10}")
    page.find("#train").click()
    page.find("#reset").click()
    page.until("document.getElementById('progress').textContent === 'Press Start.'")
    assert page.complaints() == []


def test_the_address_keeps_the_state(page: PlayPage, folder: Path) -> None:
    state = "net=batchnorm&lr=3e-4&run=1&step=30&digit=7&rate=0.03"
    visit(page, folder, state)
    shown: list[Any] = [page.value(name) for name in ("lr-shown", "step-shown", "rate-shown")]
    assert shown == ["0.0003", "30 steps", "0.03"]
    assert page.run("return location.hash") == f"#{state}"
    assert page.message == "Both say 7."
    page.run("document.getElementById('lr').focus()")
    page.press(Keys.ARROW_RIGHT)
    page.press("5")
    page.choose_network(0)
    changed = "net=maxpool&lr=1e-3&run=1&step=30&digit=5&rate=0.03"
    assert page.run("return location.hash") == f"#{changed}"
    page.run("location.hash = 'lr=nonsense&net=3&step=10&digit=12'")
    page.until("location.hash.includes('lr=1e-2')")
    assert page.run("return location.hash") == "#net=maxpool&lr=1e-2&run=1&step=10&digit=4&rate=0.001"


@pytest.mark.parametrize(("form", "theme"), [*SCREENS, (NARROW, "light")])
def test_the_page_fits_the_screen_and_nothing_jumps(form: Form, theme: str, page: PlayPage, folder: Path) -> None:
    visit(page, folder, "step=3", form, theme)
    for key in "16":
        page.press(key)
    page.choose("lr", 5)
    page.choose("step", 11)
    for number in (1, 0):
        page.choose_network(number)
    assert page.find("#flow").is_displayed() == (form == DESKTOP)
    assert page.run("return document.documentElement.scrollWidth") <= form.width
    assert page.shifts() == []
    assert page.complaints() == []


def test_weights_are_kept_from_the_steps_that_are_shown(tmp_path: Path) -> None:
    network = torch.nn.Linear(1, 1)
    module: Any = SimpleNamespace(network=network)
    trainer: Any = SimpleNamespace(global_step=0, log_dir=str(tmp_path))
    callback = Snapshots()
    callback.on_train_start(trainer, module)
    for step in range(1, STEPS[-1] + 1):
        trainer.global_step = step
        torch.nn.init.constant_(network.weight, step)
        callback.on_train_batch_end(trainer, module, {"loss": torch.tensor(1 / step)}, None, step - 1)
    callback.on_train_end(trainer, module)
    kept = torch.load(tmp_path / FILE, weights_only=True)
    assert [int(weights["weight"]) for weights in kept["weights"][1:]] == [*STEPS[1:]]
    curve = play.curve_of(kept["losses"])
    assert [step for step, _ in curve if step in STEPS] == [1, 2, 3, 4, 5, 6, 10, 938]
    assert curve[2] == (3, 0.333)


def test_every_run_was_trained_by_the_code_of_a_commit() -> None:
    numbers = play.read_numbers(DATA)
    assert sum(origin["runs"] for origin in numbers["origins"]) == len(numbers["runs"]) + len(numbers["readers"])
    assert all(is_committed(origin["git_commit"]) for origin in numbers["origins"])


def test_the_file_is_small_and_loads_no_other(page: PlayPage, folder: Path) -> None:
    (path,) = folder.iterdir()
    assert path.stat().st_size <= LARGEST
    assert not re.search(
        r"^(import|export) |fetch\(|(src|href)=.(?!data:)[^\s>]*\.(js|css)", path.read_text(), re.MULTILINE
    )
    visit(page, folder)
    assert page.run("return performance.getEntriesByType('resource').map(({ name }) => name)") == []
