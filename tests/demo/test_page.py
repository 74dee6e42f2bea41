"""The demo's page: what it answers and explains. tests/lab/pages/test_play.py tests
what docs/play has of it, too.
"""

import copy
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from selenium.webdriver.common.keys import Keys

from convblocks.demo.server import HOST, Server
from convblocks.handwriting.predict import recognise
from convblocks.model.restore import load_network
from lab.benchmarks.handwriting.shapes import SHAPES as DIGITS
from tests.data.pictures import SHAPES
from tests.demo.browser import chromium
from tests.demo.pages import DESKTOP, PHONE, Form, Page, serving

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with chromium(tmp_path_factory.mktemp("profile")) as window:
        yield Page(window)


@pytest.fixture(scope="module")
def quarrel(trained: Path) -> Iterator[Server]:
    """Serves a network beside a copy that is unsure and predicts the next digit."""
    network = load_network(trained)
    other: Any = copy.deepcopy(network.network)
    with torch.no_grad():
        for values in other.head[-1].parameters():
            values.copy_(0.2 * values.roll(1, dims=0))
    with serving(network, replace(network, path=Path("changed.ckpt"), network=other)) as server:
        yield server


def test_page_answers_what_is_drawn_until_the_server_has_gone(page: Page, quarrel: Server) -> None:
    page.visit(f"http://{HOST}:{quarrel.server_port}/")
    assert (page.answers, page.message) == (
        ["3", "4?"],
        "The networks disagree: 3 or 4. A “?” means: less than 90 % sure.",
    )
    assert page.run("return document.getElementById('maps').open")  # there is room for them
    page.draw(DIGITS[4]["open"])  # replaces the example that the page opens with
    assert (page.answers, page.texts("#shares tr:has(.best) th")) == (["4", "5?"], ["4", "5"])
    page.press(Keys.CONTROL, "z")
    page.click("#undo")
    assert page.answers == ["", ""]
    page.press("7")
    assert page.answers == ["7", "8?"]
    page.press("1")
    page.draw([[(x, y)] * 2 for x in (-30.0, 130.0) for y in (0.0, 25.0, 50.0, 75.0, 100.0)])
    assert page.message == "Nothing recognised: it has 11 separate parts, too many for a digit."
    page.click("#clear")
    assert page.message == "Draw with the mouse or a finger."
    assert page.complaints() == []
    page.window.set_network_conditions(offline=True, latency=0, throughput=0)
    page.press("3")
    page.window.delete_network_conditions()
    assert page.message == "The server does not answer. Is it still running?"


def test_page_shows_the_maps_of_a_network_of_ones_own(page: Page, quarrel: Server) -> None:
    with serving(
        replace(quarrel.networks[0], arch="mynets.Own")
    ) as server:  # whose maps the server computes
        page.open(server)
        page.press("3")
        captions = [caption.partition(":")[0] for caption in page.texts("#stages figcaption")]
        assert captions == ["relu1", "relu2", "relu3"]


@pytest.mark.parametrize("form", [PHONE, DESKTOP], ids=["phone", "desktop"])
def test_page_of_four_networks_with_long_names_fits_the_screen(
    form: Form, page: Page, quarrel: Server
) -> None:
    arch = "course_project.flowers_task.FlowersNetworkWithAttention"
    runs = [Path(f"{number}.ckpt") for number in range(4)]
    with serving(*[replace(quarrel.networks[1], arch=arch, path=run) for run in runs]) as server:
        page.open(server, form)
        page.run("document.getElementById('maps').open = true")
        page.press("3")
        bars = page.run(
            "return [...document.querySelectorAll('#cards .bar')].map((bar) => bar.offsetWidth)"
        )
        assert (len(bars), min(bars) >= 20) == (12, True)
        assert page.texts("#networks label") == [f"{arch}, {run}" for run in runs]
        wide = page.run("return document.documentElement.scrollWidth")
        assert wide <= form.width
        assert page.message.endswith("less than 90 % sure.")
        shown, room = page.run(
            "const { scrollHeight, clientHeight } = document.getElementById('message');"
            "return [scrollHeight, clientHeight]"
        )
        assert shown <= room


def test_page_of_a_network_for_pictures_takes_files_and_colours(
    page: Page, trained_on_shapes: Path, shapes: Path
) -> None:
    ring, trained = min((shapes / "test" / "ring").iterdir()), load_network(trained_on_shapes)
    with serving(trained) as server:
        page.open(server)
        assert page.message == "Draw with the mouse or a finger, or choose a picture."
        assert page.texts("#shares tbody th") == sorted(SHAPES)
        page.find("#file").send_keys(str(ring))
        page.wait()
        (prediction,), _ = recognise(trained, [ring])
        assert page.answers[0].rstrip("?") == prediction.ranking[0][0]
        page.run("app.pad.colour = '#00ff00'")
        page.draw([[(50.0, 50.0), (51.0, 50.0)]])
        red, green, blue, _ = page.seen[4 * (16 * 40 + 20) :][:4]
        assert max(red, blue) < 30 < 225 < green
