"""Reports fit a phone, and have the colours of the dark theme there, in a browser."""

import re
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from selenium.webdriver import Chrome

from convblocks.compare.report import report_of
from convblocks.figures import style
from convblocks.figures.curves import wrapped
from tests.demo.browser import chromium
from tests.made_up import as_claimed, result, short
from tests.test_sent_reports import page_of_a_run

LONG = "course_project.flowers_task.FlowersNetworkWithAttention"

PAGE = Path(style.__file__).with_name("page.css").read_text()


def networks() -> str:
    runs = [result(run.arch, run.seed, run.score) for run in as_claimed(10, collapsed=2)]
    return report_of(runs).to_html("three networks")


def settings() -> str:
    runs = [
        short(LONG, seed, 0.95 + 0.001 * seed, overrides=(("lr", rate),))
        for rate in ("1e-3", "1e-2")
        for seed in range(3)
    ]
    return report_of(runs, repeat=f"convblocks compare --model {LONG}").to_html("two settings")


PAGES: dict[str, Callable[[], str]] = {
    "networks": networks,
    "settings": settings,
    "run": partial(page_of_a_run, (*"01234567", "a class of flowers", "9" * 40), arch=LONG),
}

# The width of a page of A4 between Chromium's margins, in CSS pixels.
A4 = 717

# The ends, in CSS pixels, of what is not within a table or a figure.
RIGHT_ENDS = """
document.querySelectorAll("details").forEach(details => details.open = true);
const all = [...document.querySelectorAll("body *:not(table *):not(svg *)")];
return [document.documentElement.scrollWidth, ...all.map(e => e.getBoundingClientRect().right)];
"""

SHOWN = """
return [...document.querySelectorAll("svg")].filter(e => e.checkVisibility()).map(
    e => e.viewBox.baseVal.width);
"""


@pytest.fixture(scope="module")
def window(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    with chromium(tmp_path_factory.mktemp("profile")) as window:
        yield window


def show(window: Chrome, html: str, width: int, theme: str = "light") -> None:
    Path("page.html").write_text(html)
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
    window.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    scheme = {"name": "prefers-color-scheme", "value": theme}
    window.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
    window.get(Path("page.html").absolute().as_uri())


@pytest.mark.slow
@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("name", PAGES)
def test_page_is_no_wider_than_its_window(
    name: str, width: int, window: Chrome, workspace: Path
) -> None:
    show(window, PAGES[name](), width)
    assert max(window.execute_script(RIGHT_ENDS)) <= width


@pytest.mark.slow
@pytest.mark.parametrize("name", PAGES)
def test_printed_tables_have_all_their_columns(name: str, window: Chrome, workspace: Path) -> None:
    show(window, PAGES[name](), A4)
    window.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    ends = window.execute_script(
        "document.querySelector('details').open = true;"
        "return [...document.querySelectorAll('th, td')].map(e => e.getBoundingClientRect().right)"
    )
    window.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
    assert max(ends) <= A4


@pytest.mark.slow
def test_details_are_large_enough_for_a_finger(window: Chrome, workspace: Path) -> None:
    show(window, networks(), 390)
    assert window.execute_script("return document.querySelector('summary').offsetHeight") >= 44


def test_intervals_p_values_and_settings_stay_in_one_line() -> None:
    sentences = " ".join(re.findall("<li>.*</li>", settings() + networks()))
    for text in ("[1.97, 2.02]", "lr 1e-3", "p &lt; 0.001"):
        assert f"<span>{text}</span>" in sentences


@pytest.mark.slow
@pytest.mark.parametrize(("width", "inches"), [(390, style.NARROW), (1280, style.WIDTH)])
def test_page_shows_the_figure_that_is_drawn_for_its_width(
    width: int, inches: float, window: Chrome, workspace: Path
) -> None:
    show(window, networks(), width)
    assert window.execute_script(SHOWN) == [pytest.approx(72 * inches)]


@pytest.mark.slow
def test_dark_page_leaves_photographs_and_turns_the_ink_of_figures(
    window: Chrome, workspace: Path
) -> None:
    show(window, page_of_a_run(), 390, "dark")
    colours, filters = window.execute_script(
        "const of = name => [...document.querySelectorAll(`svg ${name}`)].map(e =>"
        " getComputedStyle(e));"
        "return [of('text').map(s => s.fill), of('image').map(s => s.filter)]"
    )
    assert set(colours) == {"rgb(240, 246, 252)"}
    assert set(filters) == {"none"}


def colours_of(theme: style.Theme) -> list[str]:
    """Paper, ink, pale ink, grid and curves."""
    names = ("figure.facecolor", "text.color", "xtick.color", "grid.color")
    curves = theme["axes.prop_cycle"].by_key()["color"]
    found = [*(theme[name] for name in names), *curves]
    return [f"#{colour.removeprefix('#')}".lower() for colour in found]


def test_page_has_every_colour_of_figures_in_the_dark() -> None:
    turned = dict(re.findall(r"--([0-9a-f]{6}): (#[0-9a-f]{6})", PAGE))
    pairs = zip(colours_of(style.LIGHT), colours_of(style.DARK), strict=True)
    assert turned == {light[1:]: dark for light, dark in pairs if light != dark}


def luminance(colour: str) -> float:
    """The relative luminance of WCAG 2."""
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("theme", [style.LIGHT, style.DARK], ids=["light", "dark"])
def test_figures_have_the_contrast_that_text_and_lines_need(theme: style.Theme) -> None:
    paper, ink, pale, _, *curves = colours_of(theme)

    def contrast(colour: str) -> float:
        darker, lighter = sorted(map(luminance, (colour, paper)))
        return (lighter + 0.05) / (darker + 0.05)

    assert min(map(contrast, (ink, pale))) >= 4.5
    assert min(map(contrast, curves)) >= 3


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        ("mlp", ["MLP"]),
        ("flowers_task.FlowersNetwork", ["flowers_task.", "FlowersNetwork"]),
        ("a learning rate of 0.0003", ["a learning rate", "of 0.0003"]),
        ("x" * 30, ["x" * 22, "x" * 8]),
        ("FlowersNetworkWithAttention", ["FlowersNetworkWith", "Attention"]),
    ],
)
def test_long_name_goes_on_in_the_next_line(name: str, lines: list[str]) -> None:
    assert wrapped(name).split("\n") == lines
