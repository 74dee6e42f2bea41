"""The demo's page: what it answers and explains, its layout on a desktop and a phone, and how it is reached."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from selenium.webdriver import ActionChains
from selenium.webdriver.common.actions.interaction import POINTER_TOUCH
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from convblocks.demo.answers import layers_of
from convblocks.demo.server import HOST, Server
from convblocks.model.restore import load_network
from lab.benchmarks.handwriting.shapes import SHAPES
from tests.demo.pages import PHONE, SCREENS, Form, Page, changed, serving

pytestmark = pytest.mark.slow

# The contrast of each text on the page with its background, as defined by WCAG 2.2.
CONTRASTS = """
  const luminance = (colour) => {
    const [red, green, blue] = colour.match(/[\\d.]+/g).map((value) => value / 255)
      .map((value) => value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4);
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  };
  const below = (element) => {
    const colour = getComputedStyle(element).backgroundColor;
    return /, 0\\)$|transparent/.test(colour) ? below(element.parentElement) : colour;
  };
  const isText = (element) => [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
  return [...document.body.querySelectorAll("*")].filter((one) => isText(one) && one.checkVisibility()).map((one) => {
    const [dark, light] = [luminance(getComputedStyle(one).color), luminance(below(one))].sort((a, b) => a - b);
    return [one.textContent, (light + 0.05) / (dark + 0.05)];
  });
"""

# More parts than any digit has, and more than are accepted; the dots stand left and right of a digit.
FIVE_LINES = [[(5.0, y), (95.0, y)] for y in (5.0, 28.0, 50.0, 72.0, 95.0)]
TEN_DOTS = [[(x, y)] * 2 for x in (-30.0, 130.0) for y in (0.0, 25.0, 50.0, 75.0, 100.0)]

HINT = "Draw with the mouse or a finger."


def test_the_page_opens_with_an_example_that_the_first_stroke_replaces(page: Page, quarrel: Server) -> None:
    page.open(quarrel, cleared=False)
    assert (page.answers, page.message) == (["3", "4"], "They disagree: 3 or 4.")
    assert page.texts("#cards > li:first-child ol li")[0].startswith("3")
    page.draw(SHAPES[4]["open"])
    assert (page.answers, page.best) == (["4", "5"], ["4", "5"])
    page.press(Keys.CONTROL, "z")
    page.press(Keys.CONTROL, "z")
    assert page.answers == ["", ""]
    # Nothing comes from elsewhere, and the page obeys its own policy.
    loaded = [name for name in page.run("return performance.getEntries().map((e) => e.name)") if "://" in name]
    assert len(loaded) > 6
    assert all(name.startswith(f"http://{HOST}:{quarrel.server_port}/") for name in loaded)
    assert page.complaints() == []


def test_strokes_and_examples_are_undone_and_cleared(page: Page, quarrel: Server) -> None:
    page.open(quarrel)
    for digit in "0123456789":
        page.press(digit)
        assert page.answers[0] == digit
    page.press(Keys.ESCAPE)
    assert (page.answers, page.best, page.message) == (["", ""], [], HINT)
    page.press(Keys.CONTROL, "z")
    assert page.answers[0] == "9"
    page.click("#clear")
    left, right = SHAPES[4]["open"]
    page.draw([right])
    before = page.seen
    page.draw([left])
    assert page.seen != before
    page.click("#undo")
    assert page.seen == before
    hand = ActionChains(page.window, duration=0).move_to_element(page.sheet).click_and_hold()
    hand.move_by_offset(50, 0).send_keys(Keys.ESCAPE).move_by_offset(0, 50).release().perform()
    page.wait()
    assert (page.answers, page.message) == (["", ""], HINT)  # clearing ends the stroke, too
    assert not page.find("#colour").is_displayed()  # colours and files are for other networks


def test_what_hardly_is_a_digit_is_doubted_or_refused(page: Page, quarrel: Server) -> None:
    page.open(quarrel)
    page.draw(FIVE_LINES)
    assert page.message.endswith("Hardly a digit: 5 separate parts.")
    page.press("1")
    page.draw(TEN_DOTS)
    assert page.message == "Nothing recognised: it has 11 separate parts, too many for a digit."
    assert page.answers == ["", ""]


def test_four_unsure_networks_disagree_until_the_server_has_gone(page: Page, trained: Path) -> None:
    network = load_network(trained)
    with serving(*(changed(network, turn=turn, certainty=0.2) for turn in range(4))) as server:
        page.open(server)
        page.draw(SHAPES[3]["round"])
        assert (page.answers, page.best) == (["3?", "4?", "5?", "6?"], ["3", "4", "5", "6"])
        assert page.message == "They disagree: 3 or 4 or 5 or 6. Unsure: below 90 %."
        page.window.set_network_conditions(offline=True, latency=0, throughput=0)
        page.press("3")
        page.window.delete_network_conditions()
        assert page.message == "The server does not answer. Is it still running?"


def test_a_finger_draws_and_does_not_scroll_and_the_maps_are_folded(page: Page, quarrel: Server) -> None:
    page.open(quarrel, PHONE)
    page.draw(SHAPES[1]["flag"], POINTER_TOUCH)
    assert (page.answers[0], page.run("return scrollY")) == ("1", 0)
    assert not page.find("#flow").is_displayed()
    page.click("#maps summary")
    assert len(page.texts("#stages figcaption")) == 9


def test_on_a_wide_screen_the_maps_stand_open_and_are_those_that_torch_computes(page: Page, quarrel: Server) -> None:
    page.open(quarrel, cleared=False)
    assert page.texts("#stages figcaption")[0] == "conv: 32 maps of 14 \u00d7 14"
    for number, network in enumerate(quarrel.networks):
        page.find(f"input[value='{number}']").click()
        page.wait()
        image = torch.tensor(page.seen[::4]).byte().view(1, 1, 28, 28)
        for place, layer in enumerate(layers_of(network, image)):
            stage = page.run(f"return app.maps.stages[{3 * place + 1}].stage")
            values, grey = torch.tensor(stage["values"]), [unit == "1" for unit in stage["grey"]]
            assert grey == layer["inactive"]
            assert (255 * values / values.max() - torch.tensor(layer["shades"]).flatten()).abs().max() < 0.51
            assert stage["caption"] == f"ReLU: {sum(grey)} of {len(grey)} maps inactive"
    before = page.texts("#result")
    page.press("8")
    assert page.texts("#result") != before
    page.press(Keys.ESCAPE)
    assert not page.find("#stages").is_displayed()


def test_of_a_network_of_ones_own_the_server_computes_the_maps(page: Page, trained: Path, plain: Server) -> None:
    with serving(replace(load_network(trained), arch="mynets.Own")) as server:
        page.open(server, cleared=False)
        sizes = ["relu1: 32 maps of 14 \u00d7 14", "relu2: 64 maps of 7 \u00d7 7", "relu3: 100 maps of 4 \u00d7 4"]
        assert [caption.partition(",")[0] for caption in page.texts("#stages figcaption")] == sizes
        assert not page.find("#inspector").is_displayed()
    page.open(plain, cleared=False)
    assert page.find("#no-relu").is_displayed()


@pytest.mark.parametrize(("form", "theme"), SCREENS)
def test_nothing_jumps_all_is_in_sight_and_text_can_be_read(
    form: Form, theme: str, page: Page, quarrel: Server
) -> None:
    page.open(quarrel, form, theme)
    for shape in (SHAPES[3]["round"], FIVE_LINES, TEN_DOTS):
        page.draw(shape)
        page.press(Keys.ESCAPE)
    assert page.shifts() == []
    page.run("document.getElementById('heading').style.height = '200px'")
    assert page.shifts() != []  # a jump would have been noticed
    for part in ("chart", "maps"):
        page.run(f"document.getElementById('{part}').open = true")
    page.press("3")
    assert page.run("return document.documentElement.scrollWidth") <= form.width
    assert (max(page.corner()[:3]) < 60) == (theme == "dark")
    contrasts = page.run(CONTRASTS)
    assert len(contrasts) > 50
    assert [text for text, contrast in contrasts if contrast < 4.5] == []


def test_on_a_phone_the_answer_stays_in_sight_and_hides_no_focused_control(page: Page, quarrel: Server) -> None:
    page.open(quarrel, PHONE)
    page.press("3")
    page.click("#chart summary")
    page.run("scrollTo(0, document.getElementById('shares').getBoundingClientRect().top)")
    place = page.run("return document.getElementById('answer').getBoundingClientRect().toJSON()")
    assert (place["left"], place["top"]) == (0, 0)
    assert place["bottom"] < 844 / 4
    page.run("document.querySelector('#maps summary').focus()")
    for _ in range(12):
        page.press(Keys.SHIFT, Keys.TAB)
        top = page.run("return document.activeElement.getBoundingClientRect().top")
        assert top >= page.run("return document.getElementById('answer').getBoundingClientRect().bottom")


def test_tab_reaches_and_marks_every_control(page: Page, quarrel: Server) -> None:
    page.open(quarrel, cleared=False)
    reached = []
    for _ in range(16):
        page.press(Keys.TAB)
        reached.append(page.run("return document.activeElement.ariaLabel ?? document.activeElement.textContent"))
        assert "solid 3px" in page.run("return getComputedStyle(document.activeElement).outline")
    examples = [f"Example {digit}" for digit in range(10)]
    chosen, conv = "", "Block 1, conv, 32 maps; arrow keys choose a pixel"
    assert reached == ["Clear Esc", "Undo Ctrl Z", *examples, "All probabilities", "Feature maps", chosen, conv]


def test_screen_readers_get_names_and_roles_and_hear_the_complete_answer(page: Page, quarrel: Server) -> None:
    page.open(quarrel)
    page.run("""
        window.announced = [];
        new MutationObserver(() => announced.push(document.getElementById("message").textContent))
          .observe(document.getElementById("main"), { attributeFilter: ["aria-busy"] });
    """)
    page.click("#chart summary")
    page.press("3")
    WebDriverWait(page.window, 60).until(lambda _: page.run("return announced.at(-1)") == "They disagree: 3 or 4.")
    nodes = page.window.execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"]
    heard: dict[str, set[str]] = {}
    for node in nodes:
        if not node["ignored"]:
            name = node.get("name", {}).get("value", "").replace("\u00a0", " ")
            heard.setdefault(node["role"]["value"], set()).add(name)
    assert {"main", "table"} <= heard.keys()
    assert {"Drawing area", "What the network sees"} <= heard["image"]
    assert {"Clear Esc", "Example 7"} <= heard["button"]
    assert {"batchnorm"} <= heard["radio"]
    assert {"digit", "batchnorm, batchnorm"} <= heard["columnheader"]
    assert heard["rowheader"] == set("0123456789")
    assert ">99.9 %" in heard["cell"]
    (status,) = [node for node in nodes if node.get("role", {}).get("value") == "status"]
    assert {"name": "live", "value": {"type": "token", "value": "polite"}}.items() <= status["properties"][0].items()
