"""The page for digits: its features, its layout on a desktop and a phone in both themes, and how it is reached."""

import re
from pathlib import Path

import pytest
from selenium.webdriver import ActionChains
from selenium.webdriver.common.actions.interaction import POINTER_TOUCH
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from convblocks.demo.server import HOST, Server
from convblocks.model.restore import load_network
from lab.benchmarks.handwriting.shapes import SHAPES
from tests.demo.pages import DESKTOP, FIVE_LINES, PHONE, SCREENS, TEN_DOTS, Form, Page, changed, serving

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


def test_a_drawn_digit_is_recognised(page: Page, twins: Server) -> None:
    page.open(twins)
    page.draw(SHAPES[4]["open"])
    assert (page.answers, page.best, page.message) == (["4", "4"], ["4"], "Both say 4.")
    assert page.run("return document.getElementById('seen').naturalWidth") == 28


def test_the_page_opens_with_an_example_that_the_first_stroke_replaces(page: Page, twins: Server) -> None:
    page.open(twins, cleared=False)
    assert (page.answers, page.message) == (["3", "3"], "Both say 3.")
    three = page.texts("#cards > li:first-child ol li")
    assert len(three) == 3
    assert three[0].startswith("3")
    assert not page.find("#shares").is_displayed()
    page.draw(SHAPES[4]["open"])
    assert page.answers == ["4", "4"]
    page.press(Keys.CONTROL, "z")
    page.press(Keys.CONTROL, "z")
    assert page.answers == ["", ""]


def test_the_last_stroke_is_undone_and_all_are_cleared(page: Page, twins: Server) -> None:
    page.open(twins)
    empty = (page.answers, page.best, page.message, page.find("#seen").is_displayed())
    assert empty == (["", ""], [], "Draw with the mouse or a finger.", False)
    left, right = SHAPES[4]["open"]
    page.draw([right])
    before = page.seen
    page.draw([left])
    assert page.seen != before
    page.click("#undo")
    assert page.seen == before
    page.click("#clear")
    assert (page.answers, page.best, page.message, page.find("#seen").is_displayed()) == empty
    assert not page.find("#colour").is_displayed()  # colours and files are for other networks
    assert not page.find("#file").is_displayed()


def test_clearing_ends_the_current_stroke(page: Page, twins: Server) -> None:
    page.open(twins)
    hand = ActionChains(page.window, duration=0).move_to_element(page.find("#drawing")).click_and_hold()
    hand.move_by_offset(50, 0).send_keys(Keys.ESCAPE).move_by_offset(0, 50).release().perform()
    page.wait()
    assert (page.answers, page.message) == (["", ""], "Draw with the mouse or a finger.")
    assert page.complaints() == []


def test_digits_draw_examples_escape_clears_and_control_z_undoes(page: Page, twins: Server) -> None:
    page.open(twins)
    for digit in "0123456789":
        page.press(digit)
        assert page.message == f"Both say {digit}."
    page.press(Keys.ESCAPE)
    assert page.answers == ["", ""]
    page.press(Keys.CONTROL, "z")
    assert page.answers == ["9", "9"]
    page.open(twins)
    page.press("3")
    page.run("document.body.dispatchEvent(new KeyboardEvent('keydown', { key: '4', repeat: true, bubbles: true }))")
    page.wait()
    assert page.answers == ["3", "3"]  # a key held down draws its example once
    page.press(Keys.CONTROL, "z")
    page.press(Keys.CONTROL, "z")  # nothing is left to undo
    assert page.answers == ["", ""]


def test_what_hardly_is_a_digit_is_doubted_or_refused(page: Page, twins: Server) -> None:
    page.open(twins)
    page.draw(FIVE_LINES)
    assert page.message.endswith("Hardly a digit: 5 separate parts.")
    page.press("1")
    page.draw(TEN_DOTS)
    assert page.message == "Nothing recognised: it has 11 separate parts, too many for a digit."
    assert page.answers == ["", ""]
    assert not page.find("#seen").is_displayed()


def test_four_unsure_networks_disagree(page: Page, trained: Path) -> None:
    network = load_network(trained)
    with serving(*(changed(network, turn=turn, certainty=0.2) for turn in range(4))) as server:
        page.open(server)
        page.draw(SHAPES[3]["round"])
    assert (page.answers, page.best) == (["3?", "4?", "5?", "6?"], ["3", "4", "5", "6"])
    assert page.message == "They disagree: 3 or 4 or 5 or 6. Unsure: below 90 %."


def test_a_finger_draws_and_does_not_scroll(page: Page, twins: Server) -> None:
    page.open(twins, PHONE)
    page.draw(SHAPES[1]["flag"], POINTER_TOUCH)
    assert (page.message, page.run("return scrollY")) == ("Both say 1.", 0)


def test_feature_maps_are_shown_when_asked_for_and_follow_the_drawing(page: Page, quarrel: Server) -> None:
    page.open(quarrel)
    page.press("3")
    layers = page.find("#layers")
    assert not layers.is_displayed()
    page.find("#maps summary").click()
    WebDriverWait(page.window, 60).until(lambda _: layers.is_displayed())
    captions = page.texts("#layers figcaption")
    sizes = ["relu1: 32 maps of 14 x 14", "relu2: 64 maps of 7 x 7", "relu3: 100 maps of 4 x 4"]
    assert [caption.partition(",")[0] for caption in captions] == 2 * sizes
    inactive = [int(caption.split(", ")[1].split()[0]) for caption in captions]
    assert inactive[4] >= inactive[1] + 5 - 1  # the dead ones, of which one may have been inactive before
    shown = page.run("return [...document.querySelectorAll('#layers img')].map((i) => [i.alt, i.width * i.height > 0])")
    assert shown == [[caption, True] for caption in captions]
    # A point within a map, not between two.
    page.run("arguments[0].scrollIntoView({ block: 'center' })", page.find("#layers img"))
    ActionChains(page.window).move_to_element_with_offset(page.find("#layers img"), -20, 12).perform()
    assert re.match(r"Map \d+, row \d+, column \d+: these pixels times", page.texts(".window small")[0])
    assert all(re.fullmatch(r"-?\d\.\d\d", weight) for weight in page.texts(".window .weights span")[:9])
    three = page.find("#layers img").get_attribute("src")
    page.press("4")
    assert page.find("#layers img").get_attribute("src") != three
    page.press(Keys.ESCAPE)
    assert not layers.is_displayed()
    # Nothing comes from elsewhere, and the page obeys its own policy.
    loaded = [name for name in page.run("return performance.getEntries().map((e) => e.name)") if "://" in name]
    assert len(loaded) > 6
    assert all(name.startswith(f"http://{HOST}:{quarrel.server_port}/") for name in loaded)
    assert page.complaints() == []


@pytest.mark.slow
def test_of_a_network_without_relus_no_feature_maps_are_offered(page: Page, plain: Server) -> None:
    page.open(plain)
    page.press("3")
    assert page.answers != [""]
    assert not page.find("#maps").is_displayed()


def test_a_server_that_has_gone_is_reported(page: Page, twins: Server) -> None:
    page.open(twins)
    page.window.set_network_conditions(offline=True, latency=0, throughput=0)
    page.press("3")
    page.window.delete_network_conditions()
    assert page.message == "The server does not answer. Is it still running?"


@pytest.mark.parametrize(("form", "theme"), SCREENS)
def test_nothing_jumps_all_is_in_sight_and_text_can_be_read(
    form: Form, theme: str, page: Page, quarrel: Server
) -> None:
    page.open(quarrel, form, theme)
    for shape in (SHAPES[3]["round"], FIVE_LINES, TEN_DOTS):
        page.draw(shape)
        page.press(Keys.ESCAPE)
    assert page.shifts() == []
    assert form == PHONE or page.run("return document.documentElement.scrollHeight") <= form.height
    page.run("document.getElementById('heading').style.height = '200px'")
    assert page.shifts() != []  # a jump would have been noticed
    for summary in ("#chart summary", "#maps summary"):
        page.click(summary)
    page.press("3")
    assert page.run("return document.documentElement.scrollWidth") <= form.width
    contrasts = page.run(CONTRASTS)
    assert len(contrasts) > 50
    assert [text for text, contrast in contrasts if contrast < 4.5] == []


def test_the_sheet_has_the_screens_theme_and_resolution_and_the_answer_has_not(page: Page, twins: Server) -> None:
    answers = []
    for form, theme, sheet in ((DESKTOP, "light", [480, 480]), (PHONE, "dark", [2 * 351, 351])):
        page.open(twins, form, theme)
        assert page.run("return [arguments[0].width, arguments[0].clientWidth]", page.sheet) == sheet
        assert (max(page.corner()[:3]) < 60) == (theme == "dark")
        colour = page.run("return getComputedStyle(document.body).backgroundColor")
        assert colour == ("rgb(22, 22, 22)" if theme == "dark" else "rgb(255, 255, 255)")
        page.press("4")
        answers.append(page.seen)
    assert answers[0] == answers[1]


def test_on_a_phone_the_answer_stays_in_sight_and_hides_no_focused_control(page: Page, quarrel: Server) -> None:
    page.open(quarrel, PHONE)
    page.press("3")
    page.click("#chart summary")
    page.run("scrollTo(0, document.getElementById('shares').getBoundingClientRect().top)")
    assert page.run("return scrollY") > 200
    place = page.run("return document.getElementById('answer').getBoundingClientRect().toJSON()")
    assert (place["left"], place["top"]) == (0, 0)
    assert place["right"] == page.run("return document.documentElement.clientWidth")  # nothing is visible beside it
    assert place["bottom"] < 844 / 4
    page.run("document.querySelector('#maps summary').focus()")
    for _ in range(12):
        page.press(Keys.SHIFT, Keys.TAB)
        top = page.run("return document.activeElement.getBoundingClientRect().top")
        assert top >= page.run("return document.getElementById('answer').getBoundingClientRect().bottom")


def test_tab_reaches_and_marks_every_control(page: Page, twins: Server) -> None:
    page.open(twins)
    reached = []
    for _ in range(14):
        page.press(Keys.TAB)
        reached.append(page.run("return document.activeElement.ariaLabel ?? document.activeElement.textContent"))
        assert "solid 3px" in page.run("return getComputedStyle(document.activeElement).outline")
    examples = [f"Example {digit}" for digit in range(10)]
    assert reached == ["Clear Esc", "Undo Ctrl Z", *examples, "All probabilities", "Feature maps"]
    page.press(Keys.ENTER)
    assert page.run("return document.getElementById('maps').open")


def test_screen_readers_get_names_and_roles_and_hear_the_complete_answer(page: Page, quarrel: Server) -> None:
    page.open(quarrel)
    page.run("""
        window.announced = [];
        new MutationObserver(() => announced.push(document.getElementById("message").textContent))
          .observe(document.getElementById("main"), { attributeFilter: ["aria-busy"] });
    """)
    page.click("#chart summary")
    page.press("3")
    assert page.run("return announced.at(-1)") == "They disagree: 3 or 4."
    nodes = page.window.execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"]
    heard: dict[str, set[str]] = {}
    for node in nodes:
        if not node["ignored"]:
            name = node.get("name", {}).get("value", "").replace("\u00a0", " ")
            heard.setdefault(node["role"]["value"], set()).add(name)
    assert {"main", "table"} <= heard.keys()
    assert {"Draw a digit"} <= heard["heading"]
    assert {"Answer"} <= heard["region"]
    assert {"Drawing area", "What the network sees"} <= heard["image"]
    assert {"Clear Esc", "Example 7"} <= heard["button"]
    assert {"Try an example, or press 0-9"} <= heard["group"]
    assert {"digit", "batchnorm, batchnorm"} <= heard["columnheader"]
    assert heard["rowheader"] == set("0123456789")
    assert ">99.9 %" in heard["cell"]
    (status,) = [node for node in nodes if node.get("role", {}).get("value") == "status"]
    assert {"name": "live", "value": {"type": "token", "value": "polite"}}.items() <= status["properties"][0].items()
