"""Digits drawn on the page with the mouse, and the answers it shows."""

from pathlib import Path

import pytest
from selenium.webdriver import ActionChains
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait
from torch import nn

from benchmarks.handwriting.shapes import SHAPES
from convblocks.evaluation.trained import TrainedNetwork, load_network
from convblocks.handwriting.demo.server import HOST, Server
from tests.handwriting.pages import DESKTOP, FIVE_LINES, PHONE, TEN_DOTS, Form, Page, changed, serving

DRAWN = [(1, "flag"), (2, "straight foot"), (3, "round"), (4, "open"), (5, "hat"), (7, "plain")]


@pytest.mark.parametrize(("digit", "form"), DRAWN)
def test_a_drawn_digit_is_recognised(digit: int, form: str, page: Page, twins: Server) -> None:
    page.open(twins)
    page.draw(SHAPES[digit][form])
    assert page.answers == [str(digit)] * 2
    assert page.message == f"Both say {digit}."
    assert page.best == [str(digit)]
    assert page.run("return document.getElementById('seen').naturalWidth") == 28


def test_an_empty_page_shows_no_image_not_even_a_broken_one(page: Page, twins: Server) -> None:
    page.open(twins)
    assert page.message == "Draw with the mouse or a finger."
    assert not page.find("#seen").is_displayed()


def test_a_cleared_page_shows_no_digit(page: Page, twins: Server) -> None:
    page.open(twins)
    page.draw(SHAPES[3]["round"])
    assert page.find("#seen").is_displayed()
    page.find("#clear").click()
    page.wait()
    assert (page.answers, page.best, page.message) == (["", ""], [], "Draw with the mouse or a finger.")
    assert not page.find("#seen").is_displayed()


def test_the_last_stroke_is_undone(page: Page, twins: Server) -> None:
    page.open(twins)
    page.draw([SHAPES[4]["open"][1]])
    without = page.find("#seen").get_attribute("src")
    page.draw([SHAPES[4]["open"][0]])
    assert page.find("#seen").get_attribute("src") != without
    page.find("#undo").click()
    page.wait()
    assert page.find("#seen").get_attribute("src") == without


def test_clearing_ends_the_current_stroke(page: Page, twins: Server) -> None:
    page.open(twins)
    hand = ActionChains(page.window, duration=0).move_to_element(page.find("#drawing")).click_and_hold()
    hand.move_by_offset(50, 0).send_keys(Keys.ESCAPE).move_by_offset(0, 50).release().perform()
    page.wait()
    assert (page.answers, page.message) == (["", ""], "Draw with the mouse or a finger.")
    assert page.complaints() == []


def test_a_key_held_down_draws_its_example_once(page: Page, twins: Server) -> None:
    page.open(twins)
    page.press("3")
    page.run("document.body.dispatchEvent(new KeyboardEvent('keydown', { key: '3', repeat: true, bubbles: true }))")
    page.press_with(Keys.CONTROL, "z")
    assert page.answers == ["", ""]


def test_the_reason_replaces_the_last_image_if_nothing_is_recognised(page: Page, twins: Server) -> None:
    page.open(twins)
    page.press("1")
    assert page.find("#seen").is_displayed()
    page.draw(TEN_DOTS)
    assert page.message == "Nothing recognised: it has 11 separate parts, too many for a digit."
    assert not page.find("#seen").is_displayed()
    assert page.answers == ["", ""]


def test_five_parallel_lines_are_doubted(page: Page, twins: Server) -> None:
    page.open(twins)
    page.draw(FIVE_LINES)
    assert page.message.endswith("Hardly a digit: 5 separate parts.")


def test_a_network_below_90_percent_is_called_unsure(page: Page, trained: Path) -> None:
    network = load_network(trained)
    with serving(network, changed(network, certainty=0.2)) as server:
        page.open(server)
        page.draw(SHAPES[3]["round"])
    assert page.answers == ["3", "3?"]
    assert page.message == "Both say 3. Unsure: below 90 %."


def test_networks_disagree(page: Page, quarrel: Server) -> None:
    page.open(quarrel)
    page.draw(SHAPES[3]["round"])
    assert page.answers == ["3", "4"]
    assert page.message == "They disagree: 3 or 4."
    assert page.best == ["3", "4"]


def test_four_networks_stand_side_by_side(page: Page, trained: Path) -> None:
    network = load_network(trained)
    with serving(*(changed(network, turn=turn) for turn in range(4))) as server:
        page.open(server)
        page.draw(SHAPES[3]["round"])
    assert page.message == "They disagree: 3 or 4 or 5 or 6."


def test_the_bars_of_a_digit_share_its_place_and_one_scale(page: Page, quarrel: Server) -> None:
    page.open(quarrel)
    page.draw(SHAPES[3]["round"])
    bars = page.run("""
        const box = (element) => element.getBoundingClientRect();
        return [...document.querySelectorAll("#shares tbody tr")].map((row) => [...row.cells].slice(1).map((cell) => ({
          from: box(cell.querySelector(".bar")).left, all: box(cell.querySelector(".bar")).width,
          filled: box(cell.querySelector(".bar div")).width, above: box(cell).top - box(row).top })));
    """)
    assert len({(bar["from"], bar["all"]) for row in bars for bar in row}) == 1
    assert len({tuple(bar["above"] for bar in row) for row in bars}) == 1
    for digit, network in ((3, 0), (4, 1)):
        assert bars[digit][network]["filled"] > 0.9 * bars[digit][network]["all"]
    assert bars[3][1]["filled"] < 0.1 * bars[3][1]["all"]


@pytest.mark.parametrize("form", [DESKTOP, PHONE])
def test_strokes_have_the_screens_resolution(form: Form, page: Page, twins: Server) -> None:
    page.open(twins, form)
    sheet = page.run("const { width, clientWidth } = document.getElementById('drawing'); return [width, clientWidth]")
    assert sheet == ([480, 480] if form == DESKTOP else [2 * 351, 351])


def test_strokes_are_curves(page: Page, twins: Server) -> None:
    """Lines would meet in the middle one of three distant points."""
    page.open(twins)
    page.run("""
        const sheet = document.getElementById("drawing"), box = sheet.getBoundingClientRect();
        const send = (kind, x, y) => sheet.dispatchEvent(new PointerEvent(kind, {
          pointerId: 1, isPrimary: true, clientX: box.left + x, clientY: box.top + y }));
        sheet.setPointerCapture = () => {};
        send("pointerdown", 100, 400);
        send("pointermove", 240, 100);
        send("pointermove", 380, 400);
        send("pointerup", 380, 400);
    """)
    page.wait()
    heights = page.run("""
        const { data } = document.getElementById("drawing").getContext("2d").getImageData(240, 0, 1, 480);
        return [...Array(480).keys()].filter((y) => data[4 * y] < 128);
    """)
    assert min(heights) > 100 + 30


def test_the_answer_does_not_depend_on_the_screen(page: Page, twins: Server) -> None:
    pictures = []
    for theme in ("light", "dark"):
        page.open(twins, theme=theme)
        page.press("4")
        pictures.append(page.find("#seen").get_attribute("src"))
    assert pictures[0] == pictures[1]


def test_feature_maps_are_shown_when_asked_for(page: Page, quarrel: Server) -> None:
    page.open(quarrel)
    page.press("3")
    assert not page.find("#layers").is_displayed()
    page.find("summary").click()
    WebDriverWait(page.window, 60).until(lambda _: page.find("#layers").is_displayed())
    captions = page.texts("#layers figcaption")
    assert [caption.partition(",")[0] for caption in captions] == 2 * [
        "relu1: 32 maps of 14 x 14",
        "relu2: 64 maps of 7 x 7",
        "relu3: 100 maps of 4 x 4",
    ]
    inactive = [int(caption.split(", ")[1].split()[0]) for caption in captions]
    assert inactive[4] >= inactive[1] + 5 - 1  # the dead ones, of which one may have been inactive before
    shown = page.run("return [...document.querySelectorAll('#layers img')].map((i) => [i.alt, i.width * i.height > 0])")
    assert shown == [[caption, True] for caption in captions]


def test_feature_maps_follow_the_drawing(page: Page, quarrel: Server) -> None:
    page.open(quarrel)
    page.find("summary").click()
    page.press("3")
    three = page.find("#layers img").get_attribute("src")
    page.press("4")
    assert page.find("#layers img").get_attribute("src") != three
    page.press(Keys.ESCAPE)
    assert not page.find("#layers").is_displayed()


def test_of_a_network_without_relus_no_feature_maps_are_offered(page: Page) -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(784, 10)).eval()
    with serving(TrainedNetwork(Path("own.ckpt"), "mynets.Straight", network)) as server:
        page.open(server)
        page.press("3")
        assert page.answers != [""]
        assert not page.find("#maps").is_displayed()


def test_a_page_for_digits_asks_for_no_colours_and_no_files(page: Page, twins: Server) -> None:
    page.open(twins)
    assert not page.find("#colour").is_displayed()
    assert not page.find("#file").is_displayed()


def test_the_page_loads_nothing_from_elsewhere_and_obeys_its_own_policy(page: Page, twins: Server) -> None:
    page.open(twins)
    page.find("summary").click()
    page.press("3")
    loaded = page.run("return performance.getEntries().map((e) => e.name)")
    addresses = [name for name in loaded if "://" in name]
    assert len(addresses) > 6
    assert all(name.startswith(f"http://{HOST}:{twins.server_port}/") for name in addresses)
    assert page.complaints() == []


def test_a_server_that_has_gone_is_reported(page: Page, twins: Server) -> None:
    page.open(twins)
    page.window.set_network_conditions(offline=True, latency=0, throughput=0)
    page.press("3")
    page.window.delete_network_conditions()
    assert page.message == "The server does not answer. Is it still running?"
