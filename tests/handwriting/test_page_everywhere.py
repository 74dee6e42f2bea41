"""The page on a desktop and a phone, in both themes, with the keyboard, and for screen readers."""

import pytest
from selenium.webdriver.common.keys import Keys

from benchmarks.handwriting.shapes import SHAPES
from convblocks.handwriting.demo.server import Server
from tests.handwriting.pages import DESKTOP, FIVE_LINES, PHONE, TEN_DOTS, Form, Page

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


@pytest.mark.parametrize("form", [DESKTOP, PHONE])
def test_nothing_jumps_whatever_is_answered(form: Form, page: Page, quarrel: Server) -> None:
    page.open(quarrel, form)
    page.draw(SHAPES[3]["round"])
    page.press(Keys.ESCAPE)
    page.draw(FIVE_LINES)
    page.press(Keys.ESCAPE)
    page.draw(TEN_DOTS)
    page.run("return new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    assert page.run("return shifts") == []


def test_a_jump_would_be_noticed(page: Page, quarrel: Server) -> None:
    page.open(quarrel)
    page.run("document.getElementById('heading').style.height = '200px'")
    page.run("return new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    assert page.run("return shifts") != []


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_page_has_the_systems_theme(theme: str, page: Page, twins: Server) -> None:
    page.open(twins, theme=theme)
    corner = page.run("return [...document.getElementById('drawing').getContext('2d').getImageData(9, 9, 1, 1).data]")
    page_colour = page.run("return getComputedStyle(document.body).backgroundColor")
    assert (max(corner[:3]) < 60) == (theme == "dark")
    assert page_colour == ("rgb(22, 22, 22)" if theme == "dark" else "rgb(255, 255, 255)")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_all_text_can_be_read(theme: str, page: Page, quarrel: Server) -> None:
    page.open(quarrel, theme=theme)
    page.find("summary").click()
    page.press("3")
    contrasts = page.run(CONTRASTS)
    assert len(contrasts) > 50
    assert [text for text, contrast in contrasts if contrast < 4.5] == []


@pytest.mark.parametrize("form", [DESKTOP, PHONE])
def test_nothing_scrolls_sideways(form: Form, page: Page, quarrel: Server) -> None:
    page.open(quarrel, form)
    page.find("summary").click()
    page.press("3")
    assert page.run("return document.documentElement.scrollWidth") <= form.width


def test_on_a_desktop_all_but_the_feature_maps_is_in_sight(page: Page, quarrel: Server) -> None:
    page.open(quarrel)
    assert page.run("return document.documentElement.scrollHeight") <= 900


def test_on_a_phone_the_answer_stays_in_sight(page: Page, quarrel: Server) -> None:
    page.open(quarrel, PHONE)
    page.press("3")
    page.run("scrollTo(0, document.getElementById('shares').getBoundingClientRect().top)")
    assert page.run("return scrollY") > 200
    place = page.run("return document.getElementById('answer').getBoundingClientRect().toJSON()")
    assert (place["left"], place["top"]) == (0, 0)
    assert place["right"] == page.run("return document.documentElement.clientWidth")  # nothing is visible beside it
    assert place["bottom"] < 844 / 4


def test_on_a_phone_the_answer_does_not_hide_the_focused_control(page: Page, quarrel: Server) -> None:
    page.open(quarrel, PHONE)
    page.run("document.querySelector('summary').focus()")
    for _ in range(12):
        page.press_with(Keys.SHIFT, Keys.TAB)
        top = page.run("return document.activeElement.getBoundingClientRect().top")
        assert top >= page.run("return document.getElementById('answer').getBoundingClientRect().bottom")


def test_a_finger_draws_and_does_not_scroll(page: Page, twins: Server) -> None:
    page.window.execute_cdp_cmd("Emulation.setTouchEmulationEnabled", {"enabled": True})
    page.open(twins, PHONE)
    page.touch(SHAPES[1]["flag"])
    shown = (page.message, page.run("return scrollY"), page.find("#clear").text)
    page.window.execute_cdp_cmd("Emulation.setTouchEmulationEnabled", {"enabled": False})
    assert shown == ("Both say 1.", 0, "Clear")


def test_the_keys_0_to_9_draw_examples_that_are_recognised(page: Page, twins: Server) -> None:
    page.open(twins)
    for digit in "0123456789":
        page.press(digit)
        assert page.message == f"Both say {digit}."


def test_escape_clears_and_control_z_undoes(page: Page, twins: Server) -> None:
    page.open(twins)
    page.press("3")
    page.press("4")
    page.press(Keys.ESCAPE)
    assert page.answers == ["", ""]
    page.press_with(Keys.CONTROL, "z")
    assert page.answers == ["4", "4"]
    page.press_with(Keys.CONTROL, "z")
    assert page.answers == ["3", "3"]
    page.press_with(Keys.CONTROL, "z")
    page.press_with(Keys.CONTROL, "z")  # nothing is left to undo
    assert page.answers == ["", ""]


def test_tab_reaches_every_control(page: Page, twins: Server) -> None:
    page.open(twins)
    reached = []
    for _ in range(13):
        page.press(Keys.TAB)
        reached.append(page.run("return document.activeElement.ariaLabel ?? document.activeElement.textContent"))
    examples = [f"Example {digit}" for digit in range(10)]
    assert reached == ["Clear Esc", "Undo Ctrl Z", *examples, "Feature maps"]
    page.press(Keys.ENTER)
    assert page.run("return document.getElementById('maps').open")


def test_the_focused_control_is_marked(page: Page, twins: Server) -> None:
    page.open(twins)
    page.press(Keys.TAB)
    outline = page.run("return getComputedStyle(document.activeElement).outline")
    assert "solid 3px" in outline


def test_the_page_has_names_and_roles_for_screen_readers(page: Page, quarrel: Server) -> None:
    page.open(quarrel)
    page.press("3")
    tree = page.tree()
    for part in [
        ("heading", "Draw a digit"),
        ("main", ""),
        ("region", "Answer"),
        ("image", "Drawing area"),
        ("button", "Clear Esc"),
        ("group", "Try an example, or press 0-9"),
        ("button", "Example 7"),
        ("image", "What the network sees"),
        ("table", ""),
        ("columnheader", "digit"),
        ("columnheader", "batchnorm, batchnorm"),
        ("rowheader", "3"),
        ("cell", ">99.9 %"),
    ]:
        assert part in tree, part
    assert sum(role == "row" for role, _ in tree) == 11


def test_the_answer_is_announced_when_it_is_complete(page: Page, quarrel: Server) -> None:
    page.open(quarrel)
    page.run("""
        window.announced = [];
        new MutationObserver(() => announced.push(document.getElementById("message").textContent))
          .observe(document.getElementById("main"), { attributeFilter: ["aria-busy"] });
    """)
    page.press("3")
    nodes = page.window.execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"]
    (status,) = [node for node in nodes if node.get("role", {}).get("value") == "status"]
    assert {"name": "live", "value": {"type": "token", "value": "polite"}}.items() <= status["properties"][0].items()
    assert page.run("return announced.at(-1)") == "They disagree: 3 or 4."
