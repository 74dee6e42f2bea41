"""The page of a network for colour images: pictures are chosen, and drawn in colours."""

from pathlib import Path

import pytest
from PIL import Image
from selenium.webdriver.support.ui import WebDriverWait

from convblocks.handwriting.predict import recognise
from convblocks.model.restore import load_network
from tests.data.pictures import SHAPES
from tests.demo.pages import PHONE, Page, serving

pytestmark = pytest.mark.slow

HINT = "Draw with the mouse or a finger, or choose a picture."
DOT = [[(50.0, 50.0), (51.0, 50.0)]]


def choose(page: Page, picture: Path) -> None:
    """Choose a picture file, and wait for the answer."""
    page.find("#file").send_keys(str(picture))
    page.wait()


def test_pictures_are_chosen_drawn_on_and_answered_as_by_predict(
    page: Page, trained_on_shapes: Path, shapes: Path, tmp_path: Path
) -> None:
    ring, trained = min((shapes / "test" / "ring").iterdir()), load_network(trained_on_shapes)
    with serving(trained) as server:
        page.open(server, PHONE)
        size = page.sheet.size
        assert size["width"] / size["height"] == pytest.approx(40 / 32, rel=0.01)
        assert page.texts("#shares tbody th") == sorted(SHAPES)
        assert page.message == HINT
        WebDriverWait(page.window, 60).until(lambda _: page.corner()[3] == 255)  # opaque once it is painted
        assert page.corner()[:3] == pytest.approx([255 * channel for channel in trained.image_spec.mean], abs=1)
        page.press("3")
        assert not page.find("#samples").is_displayed()
        assert page.answers == [""]

        choose(page, ring)
        (prediction,), _ = recognise(trained, [ring])
        shares = [element.removesuffix(" %") for element in page.texts("#shares .share")]
        for share, probability in zip(shares, prediction.probabilities, strict=True):
            assert float(share.strip("<>")) == pytest.approx(100 * probability, abs=0.11)
        assert page.best == ["ring"]

        chosen = page.seen
        page.run("app.pad.colour = '#00ff00'")
        page.draw(DOT)
        assert len(page.seen) == 4 * 40 * 32
        red, green, blue, _ = page.seen[4 * (16 * 40 + 20) :][:4]
        assert max(red, blue) < 30 < 225 < green
        page.click("#undo")
        assert page.seen == chosen
        page.click("#undo")
        assert page.find("#file").get_property("value") == ""  # otherwise choosing it again would not be a change

        for larger, ending in (((4000, 3200), "png"), ((200, 160), "avif")):  # scaled down, and converted
            with Image.open(ring) as picture:
                picture.resize(larger).save(tmp_path / f"ring.{ending}", quality=95)
            choose(page, tmp_path / f"ring.{ending}")
            assert page.best == ["ring"]
            page.click("#clear")

        (tmp_path / "notes.png").write_text("no picture")
        choose(page, tmp_path / "notes.png")
        WebDriverWait(page.window, 60).until(
            lambda _: page.message == "This browser cannot open that file as a picture."
        )
        assert page.shifts() == []
