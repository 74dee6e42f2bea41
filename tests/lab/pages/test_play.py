"""The page docs/play, opened from a folder as a reader opens it: its networks, its runs, and the one that it trains."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from convblocks.data.images import MNIST, ImageSets
from convblocks.model.networks import build_network, evaluating
from lab.benchmarks.handwriting.shapes import SHAPES
from lab.pages import play
from lab.pages.provenance import is_committed
from lab.pages.writing import DATA
from tests.demo.browser import chromium
from tests.demo.pages import DESKTOP, Form, Page

pytestmark = pytest.mark.slow

NETWORKS = ["maxpool", "batchnorm"]


class PlayPage(Page):
    """The page in a browser."""

    def until(self, condition: str) -> None:
        WebDriverWait(self.window, 60, 0.05).until(lambda _: self.run(f"return {condition}"))

    def choose(self, slider: str, value: float) -> None:
        self.run(
            "const slider = document.getElementById(arguments[0]); slider.value = arguments[1];"
            "slider.dispatchEvent(new Event('input'))",
            slider,
            value,
        )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("play")
    play.write_page(DATA, out)
    return out / "docs" / "play"


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PlayPage]:
    with chromium(tmp_path_factory.mktemp("profile")) as window:
        yield PlayPage(window)


def visit(page: PlayPage, folder: Path, state: str = "step=938", form: Form = DESKTOP, theme: str = "light") -> None:
    """Load the page again; another state of an open page would only be a jump in it."""
    page.window.get("about:blank")
    page.visit(f"{(folder / 'index.html').as_uri()}#{state}", form, theme)


@pytest.mark.parametrize("arch", NETWORKS)
def test_play_page_answers_as_torch_does(arch: str, page: PlayPage, folder: Path, digits: ImageSets) -> None:
    visit(page, folder)
    network, images = build_network(arch), digits.test.images[:100]
    network.load_state_dict(play.weights_of(play.read_numbers(DATA)["readers"][arch]), strict=False)
    with evaluating(network), torch.no_grad():
        expected = network(MNIST.normalize(images))
    looks = "return arguments[0].map((image) => app.source.setup.networks[arguments[1]].inside.look(image).shares)"
    shares = page.run(looks, images.flatten(1).tolist(), NETWORKS.index(arch))
    assert (torch.tensor(shares) - expected.softmax(dim=1)).abs().max() < 1e-5


def test_play_page_recognises_what_is_drawn(page: PlayPage, folder: Path) -> None:
    visit(page, folder)
    for digit in range(10):
        page.press(str(digit))
        assert page.message == f"Both say {digit}."
    page.run("document.getElementById('drawing').scrollIntoView({ block: 'center' })")
    page.press(Keys.ESCAPE)
    page.draw(SHAPES[2]["straight foot"])
    assert page.message == "Both say 2."
    assert page.complaints() == []


def test_play_page_trains_a_run_until_its_units_die_of_a_high_rate(page: PlayPage, folder: Path) -> None:
    visit(page, folder, "")
    page.until("app.collapse.state.step > 2")  # the collapsed run plays by itself until it is paused
    page.click("#play")
    page.find("#train").click()
    page.until("Number(document.getElementById('live-loss').value || 9) < 1")
    dead = "parseInt(document.getElementById('weights').ariaLabel)"
    before = page.run(f"return {dead}")
    page.choose("rate", -1)
    page.until(f"{dead} >= {before + 10}")
    page.find("#train").click()
    assert page.complaints() == []


def test_play_runs_were_trained_by_the_code_of_a_commit() -> None:
    numbers = play.read_numbers(DATA)
    assert sum(origin["runs"] for origin in numbers["origins"]) == len(numbers["runs"]) + len(numbers["readers"])
    assert all(is_committed(origin["git_commit"]) for origin in numbers["origins"])
