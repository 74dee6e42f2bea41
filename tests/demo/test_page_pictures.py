"""The page of a network for colour images: pictures are chosen, and drawn in colours."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image
from selenium.webdriver.support.ui import WebDriverWait

from convblocks.demo.server import Server
from convblocks.handwriting.predict import recognise
from convblocks.model.restore import load_network
from tests.data.pictures import SHAPES
from tests.demo.pages import DESKTOP, SCREENS, Form, Page, serving

HINT = "Draw with the mouse or a finger, or choose a picture."
DOT = [[(50.0, 50.0), (51.0, 50.0)]]


@pytest.fixture(scope="module")
def server(trained_on_shapes: Path) -> Iterator[Server]:
    with serving(load_network(trained_on_shapes)) as server:
        yield server


@pytest.fixture
def page(page: Page, server: Server) -> Page:
    """The freshly opened page."""
    page.open(server)
    return page


@pytest.fixture
def ring(shapes: Path) -> Path:
    return min((shapes / "test" / "ring").iterdir())


def choose(page: Page, picture: Path) -> None:
    """Choose a picture file, and wait for the answer."""
    page.find("#file").send_keys(str(picture))
    page.wait()


@pytest.mark.parametrize(("form", "theme"), SCREENS)
def test_the_page_has_shape_classes_and_paper_of_the_pictures(
    form: Form, theme: str, page: Page, server: Server, trained_on_shapes: Path, ring: Path
) -> None:
    page.open(server, form, theme)
    size = page.sheet.size
    assert size["width"] / size["height"] == pytest.approx(40 / 32, rel=0.01)
    assert (size["width"] == 480) == (form == DESKTOP)
    assert page.texts("#shares tbody th") == sorted(SHAPES)
    assert page.message == HINT
    WebDriverWait(page.window, 60).until(lambda _: page.corner()[3] == 255)  # opaque once it is painted
    mean = load_network(trained_on_shapes).image_spec.mean
    assert page.corner()[:3] == pytest.approx([255 * channel for channel in mean], abs=1)
    choose(page, ring)
    assert page.shifts() == []
    assert page.run("return document.documentElement.scrollWidth") <= form.width


def test_strokes_have_the_chosen_colour_and_keys_draw_no_digits(page: Page) -> None:
    page.press("3")
    assert not page.find("#samples").is_displayed()
    assert page.answers == [""]
    page.run("""
        const colour = document.getElementById("colour");
        colour.value = "#00ff00";
        colour.dispatchEvent(new Event("input"));
    """)
    page.draw(DOT)
    assert page.run("const { width, height } = document.querySelector('.seen'); return [width, height]") == [40, 32]
    red, green, blue, _ = page.seen[4 * (16 * 40 + 20) :][:4]
    assert max(red, blue) < 30 < 225 < green


def test_a_chosen_picture_gets_the_answer_that_predict_gives(page: Page, trained_on_shapes: Path, ring: Path) -> None:
    choose(page, ring)
    (prediction,), _ = recognise(load_network(trained_on_shapes), [ring])
    shares = [element.removesuffix(" %") for element in page.texts("#shares .share")]
    for share, probability in zip(shares, prediction.probabilities, strict=True):
        assert share in (f"{100 * probability:.1f}", "<0.1", ">99.9")
        assert float(share.strip("<>")) == pytest.approx(100 * probability, abs=0.11)
    assert page.best == ["ring"]
    assert page.answers[0].removesuffix("?") == "ring"


@pytest.mark.parametrize(("size", "ending"), [((4000, 3200), "png"), ((200, 160), "avif")])
def test_a_picture_that_the_server_would_refuse_is_scaled_or_converted(
    size: tuple[int, int], ending: str, page: Page, ring: Path, tmp_path: Path
) -> None:
    path = tmp_path / f"ring.{ending}"
    with Image.open(ring) as picture:
        picture.resize(size).save(path, quality=95)
    choose(page, path)
    assert page.best == ["ring"]


def test_drawing_on_a_chosen_picture_and_the_choice_can_be_undone(page: Page, ring: Path) -> None:
    choose(page, ring)
    chosen = page.seen
    page.draw(DOT)
    assert page.seen != chosen
    page.click("#undo")
    assert page.seen == chosen
    assert page.find("#file").get_property("value") != ""
    page.click("#undo")
    assert page.find("#file").get_property("value") == ""  # otherwise choosing it again would not be a change
    choose(page, ring)
    assert page.best == ["ring"]


def test_a_file_that_is_not_a_picture_is_reported_on_the_page(page: Page, tmp_path: Path) -> None:
    (tmp_path / "notes.png").write_text("no picture")
    page.find("#file").send_keys(str(tmp_path / "notes.png"))
    refusal = "This browser cannot open that file as a picture."
    WebDriverWait(page.window, 60).until(lambda _: page.message == refusal)
    page.click("#clear")
    assert page.message == HINT
    assert page.find("#file").get_property("value") == ""
