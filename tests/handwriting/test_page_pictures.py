"""The page of a network for colour images: pictures are chosen, and drawn in colours."""

import base64
import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image
from selenium.webdriver.support.ui import WebDriverWait

from convblocks.evaluation.trained import load_network
from convblocks.handwriting.demo.server import Server
from convblocks.handwriting.predict import recognise
from tests.data.pictures import SHAPES
from tests.handwriting.pages import DESKTOP, PHONE, Form, Page, serving


@pytest.fixture(scope="module")
def server(trained_on_shapes: Path) -> Iterator[Server]:
    with serving(load_network(trained_on_shapes)) as server:
        yield server


@pytest.fixture
def page(page: Page, server: Server) -> Page:
    """The freshly opened page."""
    page.open(server)
    return page


def choose(page: Page, picture: Path) -> None:
    """Choose a picture file, and wait for the answer."""
    page.find("#file").send_keys(str(picture))
    page.wait()


def seen(page: Page) -> Image.Image:
    """The image that the page shows as what the network sees."""
    address = page.find("#seen").get_attribute("src") or ""
    return Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2])))


def test_the_page_has_the_shape_and_the_classes_of_the_pictures(page: Page) -> None:
    assert page.find("#drawing").size == {"width": 480, "height": 384}  # 40 : 32
    assert page.texts("#shares tbody th") == sorted(SHAPES)
    assert page.message == "Draw with the mouse or a finger, or choose a picture."


def test_there_are_no_examples_of_digits(page: Page) -> None:
    page.press("3")
    assert not page.find("#samples").is_displayed()
    assert page.answers == [""]


def test_strokes_have_the_chosen_colour(page: Page) -> None:
    page.run("""
        const colour = document.getElementById("colour");
        colour.value = "#00ff00";
        colour.dispatchEvent(new Event("input"));
    """)
    page.draw([[(50, 50), (51, 50)]])
    with seen(page) as picture:
        assert picture.size == (40, 32)
        red, green, blue = picture.getpixel((20, 16))  # type: ignore[misc]  # the picture has colours
        assert max(red, blue) < 30 < 225 < green


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_paper_has_the_mean_colour_of_the_training_pictures(
    theme: str, page: Page, server: Server, trained_on_shapes: Path
) -> None:
    page.open(server, theme=theme)
    pixel = "return [...document.getElementById('drawing').getContext('2d').getImageData(9, 9, 1, 1).data]"
    WebDriverWait(page.window, 60).until(lambda _: page.run(pixel)[3] == 255)  # opaque once it is painted
    corner = page.run(pixel)
    mean = load_network(trained_on_shapes).image_spec.mean
    assert corner[:3] == pytest.approx([255 * channel for channel in mean], abs=1)


@pytest.mark.parametrize("name", ["ring", "stripes", "triangle"])
def test_a_chosen_picture_gets_the_answer_that_predict_gives(
    name: str, page: Page, trained_on_shapes: Path, shapes: Path
) -> None:
    picture = min((shapes / "test" / name).iterdir())
    choose(page, picture)
    (prediction,), _ = recognise(load_network(trained_on_shapes), [picture])
    shares = [element.removesuffix(" %") for element in page.texts("#shares .share")]
    for share, probability in zip(shares, prediction.probabilities, strict=True):
        assert share in (f"{100 * probability:.1f}", "<0.1", ">99.9")
        assert float(share.strip("<>")) == pytest.approx(100 * probability, abs=0.11)
    assert page.best == [name]
    assert page.answers[0].removesuffix("?") == name


def test_a_chosen_picture_of_many_pixels_is_scaled_down(page: Page, shapes: Path, tmp_path: Path) -> None:
    with Image.open(min((shapes / "test" / "ring").iterdir())) as picture:
        picture.resize((4000, 3200)).save(tmp_path / "large.png")
    choose(page, tmp_path / "large.png")
    assert page.best == ["ring"]


def test_a_picture_of_a_format_that_the_server_refuses_is_converted(page: Page, shapes: Path, tmp_path: Path) -> None:
    with Image.open(min((shapes / "test" / "ring").iterdir())) as picture:
        picture.resize((200, 160)).save(tmp_path / "ring.avif", quality=95)
    choose(page, tmp_path / "ring.avif")
    assert page.best == ["ring"]


def test_drawing_on_a_chosen_picture_can_be_undone(page: Page, shapes: Path) -> None:
    choose(page, min((shapes / "test" / "ring").iterdir()))
    chosen = page.find("#seen").get_attribute("src")
    page.draw([[(50, 50), (51, 50)]])
    assert page.find("#seen").get_attribute("src") != chosen
    page.find("#undo").click()
    page.wait()
    assert page.find("#seen").get_attribute("src") == chosen


def test_a_file_that_is_not_a_picture_is_reported_on_the_page(page: Page, tmp_path: Path) -> None:
    (tmp_path / "notes.png").write_text("no picture")
    page.find("#file").send_keys(str(tmp_path / "notes.png"))
    refusal = "This browser cannot open that file as a picture."
    WebDriverWait(page.window, 60).until(lambda _: page.message == refusal)
    page.find("#clear").click()
    page.wait()
    assert page.message == "Draw with the mouse or a finger, or choose a picture."
    assert page.find("#file").get_property("value") == ""


def test_a_picture_that_was_undone_can_be_chosen_again(page: Page, shapes: Path) -> None:
    picture = min((shapes / "test" / "ring").iterdir())
    choose(page, picture)
    assert page.find("#file").get_property("value") != ""
    page.find("#undo").click()
    page.wait()
    assert page.find("#file").get_property("value") == ""  # otherwise choosing it again would not be a change
    choose(page, picture)
    assert page.best == ["ring"]


@pytest.mark.parametrize("form", [DESKTOP, PHONE])
def test_nothing_jumps_and_nothing_scrolls_sideways(form: Form, page: Page, server: Server, shapes: Path) -> None:
    page.open(server, form)
    for name in ("ring", "stripes"):
        choose(page, min((shapes / "test" / name).iterdir()))
    page.run("return new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    assert page.run("return shifts") == []
    assert page.run("return document.documentElement.scrollWidth") <= form.width
