"""The page docs/play, opened from a folder as a reader opens it: its networks, its
runs, and the one that it trains.
"""

import io
import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait
from torch import Tensor, nn

from convblocks.data.images import MNIST, ImageSets
from convblocks.model.networks import build_network, evaluating
from lab.benchmarks.handwriting.shapes import SHAPES
from lab.pages import play
from lab.pages.provenance import is_committed
from lab.pages.writing import DATA
from lab.snapshots import STEPS
from tests.demo.browser import chromium
from tests.demo.pages import DESKTOP, PHONE, Form, Page

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


def unpack_weights(kept: Mapping[str, Any]) -> dict[str, Tensor]:
    """The inverse of ``play.pack_weights``, as the page computes it too."""
    vectors = torch.frombuffer(bytearray(play.unpacked(kept["vectors"])), dtype=torch.float32)
    matrices = torch.frombuffer(bytearray(play.unpacked(kept["matrices"])), dtype=torch.int8)
    shapes = dict(kept["tensors"])
    factors = vectors.split([shape[0] for shape in shapes.values()])
    found: dict[str, Tensor] = {}
    for (name, shape), values in zip(shapes.items(), factors, strict=True):
        found[name] = values
        if len(shape) > 1:
            size = math.prod(shape)
            matrix = matrices[:size].reshape(len(values), -1)
            found[name] = (matrix * values[:, None]).reshape(shape)
            matrices = matrices[size:]
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("play")
    play.write_page(DATA, out)
    return out / "docs" / "play"


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PlayPage]:
    with chromium(tmp_path_factory.mktemp("profile")) as window:
        yield PlayPage(window)


def visit(page: PlayPage, folder: Path, state: str = "step=938", form: Form = DESKTOP) -> None:
    """Load the page again; another state of an open page would only be a jump in it."""
    page.window.get("about:blank")
    page.visit(f"{(folder / 'index.html').as_uri()}#{state}", form)


@pytest.mark.parametrize("arch", NETWORKS)
@pytest.mark.parametrize("lr", ["1e-3", "1e-2"])
def test_play_page_answers_as_torch_does(
    arch: str, lr: str, page: PlayPage, folder: Path, digits: ImageSets
) -> None:
    visit(page, folder, f"net={arch}&lr={lr}&step=938")
    network, images = build_network(arch), digits.test.images[:100]
    shown = next(
        run for run in play.read_numbers(DATA)["runs"] if (run["arch"], run["lr"]) == (arch, lr)
    )
    network.load_state_dict(unpack_weights(shown["weights"]), strict=False)
    with evaluating(network), torch.no_grad():
        expected = network(MNIST.normalize(images))
    looks = """
        const network = app.source.setup.networks[arguments[1]];
        return arguments[0].map((image) => network.inside.look(image).shares);
    """
    shares = page.run(looks, images.flatten(1).tolist(), NETWORKS.index(arch))
    assert (torch.tensor(shares) - expected.softmax(dim=1)).abs().max() < 1e-5


@pytest.mark.parametrize(
    "run", play.read_numbers(DATA)["runs"], ids=lambda run: "{arch}-{lr}-{seed}".format(**run)
)
def test_weights_of_eight_bits_answer_nearly_as_the_trained_ones(
    run: dict[str, Any], digits: ImageSets
) -> None:
    network, test = build_network(run["arch"]), digits.test[torch.arange(play.MEASURED)]
    network.load_state_dict(unpack_weights(run["weights"]), strict=False)
    dead, logits = play.measured(network, test.images)
    accuracy = float((logits.argmax(dim=1) == test.labels).float().mean())
    assert accuracy == pytest.approx(run["accuracies"][-1], abs=0.005)
    for rounded, trained in zip(dead, run["dead"][-1], strict=True):
        assert abs(rounded.count("1") - trained.count("1")) <= 2


def test_drawn_digit_meets_the_run_that_is_chosen(page: PlayPage, folder: Path) -> None:
    visit(page, folder, "net=maxpool&lr=1e-3&step=938")
    for digit in range(10):
        page.press(str(digit))
        assert page.answers[0].rstrip("?") == str(digit)
    page.run("document.getElementById('drawing').scrollIntoView({ block: 'center' })")
    page.press(Keys.ESCAPE)
    page.draw(SHAPES[2]["straight foot"])
    assert page.answers[0].rstrip("?") == "2"
    page.choose("lr", play.RATES.index("1e-2"))
    assert "Whatever you draw, the answer is the same." in page.texts("#about-run")[0]
    answers = []
    for digit in range(10):
        page.press(str(digit))
        answers.append(page.answers)
    assert len({dead for dead, _ in answers}) == 1
    assert len({alive for _, alive in answers}) >= 9
    page.click("#networks label:nth-of-type(2)")
    assert "BatchNorm reads" in page.texts("#about-run")[0]
    assert page.complaints() == []


def test_buttons_after_a_death_lead_to_networks_that_live(page: PlayPage, folder: Path) -> None:
    visit(page, folder, "net=maxpool&lr=1e-2&step=938")
    offers = page.texts("#suggestions button")
    assert offers == ["With BatchNorm", "Try 0.001", "Run 2"]
    assert page.texts("#question") == ["What saves it?"]
    for number, offer in enumerate(offers, start=1):
        visit(page, folder, "net=maxpool&lr=1e-2&step=938")
        assert "are dead" in page.texts("#verdict")[0]
        page.click(f"#suggestions button:nth-child({number})")
        page.choose("step", len(STEPS) - 1)
        assert "It reads " in page.texts("#verdict")[0], offer
        assert page.find("#about-norm").is_displayed() == ("BatchNorm" in offer)


@pytest.mark.parametrize("form", [PHONE, DESKTOP], ids=["phone", "desktop"])
def test_nothing_moves_when_a_network_dies(form: Form, page: PlayPage, folder: Path) -> None:
    """Its buttons are there from the first step."""
    visit(page, folder, "net=maxpool&lr=1e-2&step=0", form)
    assert page.texts("#question") == ["Or watch:"]
    before = page.find("#overview").location["y"]
    page.choose("step", len(STEPS) - 1)
    assert page.texts("#question") == ["What saves it?"]
    assert page.find("#overview").location["y"] == before


def test_grey_maps_are_0_everywhere(page: PlayPage, folder: Path) -> None:
    """Before its ReLU, a dead unit's are not."""
    visit(page, folder, "net=maxpool&lr=1e-2&step=938")
    counts = page.run("""
        const pixels = toDigit(app.page.pad.state.strokes);
        const stages = app.source.setup.networks[0].inside.look(pixels).stages;
        return stages.map(({ kind, grey, values, height, width }) => {
          const isGrey = (_, index) => grey[Math.floor(index / (height * width))] === "1";
          const count = grey.split("1").length - 1;
          return [kind, count, values.filter(isGrey).some((value) => value !== 0)];
        });
    """)
    assert [(kind, count) for kind, count, _ in counts[3:6]] == [
        ("conv", 0),
        ("ReLU", 64),
        ("pool", 64),
    ]
    assert not any(has_values for _, _, has_values in counts)


def test_loss_above_the_chart_is_marked(page: PlayPage, folder: Path) -> None:
    visit(page, folder, "net=maxpool&lr=1e-2&step=938")
    assert page.texts("#loss-chart .beyond") == ["↑ 8.03"]
    assert page.find("#loss-chart svg").accessible_name.endswith("at its highest 8.03")
    page.choose("lr", play.RATES.index("1e-3"))
    assert page.texts("#loss-chart .beyond") == [""]


def test_name_of_guessing_is_clear_of_the_highest_loss(page: PlayPage, folder: Path) -> None:
    visit(page, folder, "net=maxpool&lr=1e-2&step=938", PHONE)
    name, highest = (page.find(f"#loss-chart small.{part}").rect for part in ("guess", "beyond"))
    assert name["y"] >= highest["y"] + highest["height"]


def test_printed_units_and_bars_keep_their_colours(page: PlayPage, folder: Path) -> None:
    visit(page, folder)
    page.window.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    kept = page.run(
        "const parts = document.querySelectorAll('.units i, .bar div');"
        "return [...parts].map((part) => getComputedStyle(part).printColorAdjust)"
    )
    page.window.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
    assert set(kept) == {"exact"}


def test_first_steps_take_half_of_a_chart_as_the_page_says(page: PlayPage, folder: Path) -> None:
    visit(page, folder)
    assert "The first six steps take half" in page.texts("#collapse .hint")[0]
    assert page.run("return placeOf(6)") == pytest.approx(0.5, abs=0.05)


def test_answers_say_who_says_what_and_what_a_question_mark_means(
    page: PlayPage, folder: Path
) -> None:
    visit(page, folder, "net=maxpool&lr=1e-2&step=938&digit=4")
    assert page.message == ("MaxPool says 1, BatchNorm says 4. A “?” means: less than 90 % sure.")


def test_sliders_have_a_dark_track_in_the_dark(page: PlayPage, folder: Path) -> None:
    for net in NETWORKS:
        page.window.get("about:blank")
        address = f"{(folder / 'index.html').as_uri()}#net={net}&lr=1e-4&step=0"
        page.visit(address, DESKTOP, "dark")
        slider = Image.open(io.BytesIO(page.find("#lr").screenshot_as_png)).convert("L")
        pixels = np.asarray(slider)
        assert pixels[pixels.shape[0] // 2, pixels.shape[1] * 3 // 4] < 100, net


# In CSS pixels: the smallest phones, this page's narrow and wide layout, a phone on its side.
FORMS = [
    Form(320, 640, is_phone=True),
    PHONE,
    Form(640, 360, is_phone=True),
    Form(640, 900),
    Form(1000, 700),
    DESKTOP,
]


@pytest.mark.parametrize("form", FORMS, ids=lambda form: f"{form.width}x{form.height}")
def test_play_page_is_as_wide_as_the_screen_and_its_targets_fit_a_finger(
    form: Form, page: PlayPage, folder: Path
) -> None:
    visit(page, folder, form=form)
    page.run("for (const part of document.querySelectorAll('details')) part.open = true")
    page.wait()
    wide, room = page.run(
        "const { scrollWidth, clientWidth } = document.documentElement; "
        "return [scrollWidth, clientWidth]"
    )
    assert wide == room
    small = page.run("""
        const targets = document.querySelectorAll("button, label, summary, input[type=range]");
        const boxes = [...targets].map((target) => target.getBoundingClientRect());
        return boxes.filter(({ width, height }) => height && Math.min(width, height) < 44);
    """)
    assert small == []


def test_keyboard_chooses_a_rate_and_saves_a_network(page: PlayPage, folder: Path) -> None:
    visit(page, folder, "net=maxpool&lr=1e-2&step=938")
    page.run("document.getElementById('lr').focus()")
    page.press(Keys.ARROW_LEFT)
    assert page.texts("#lr-shown") == ["0.003"]
    page.press(Keys.ARROW_RIGHT)
    page.run("document.querySelector('#buttons button').focus()")
    page.press(Keys.ENTER)
    assert page.run("return app.collapse.state.net") == "batchnorm"
    assert page.run("return document.activeElement.id") == "play"


@pytest.mark.parametrize(
    "state", ["net=maxpool&lr=1e-2&step=938", "net=batchnorm&lr=1e-2&step=938"]
)
def test_play_page_fits_a_phone(state: str, page: PlayPage, folder: Path) -> None:
    visit(page, folder, state, PHONE)
    height, width = page.run(
        "const { scrollHeight, scrollWidth } = document.documentElement; "
        "return [scrollHeight, scrollWidth]"
    )
    assert (height <= 2500, width) == (True, PHONE.width)
    live, maps = (page.find(selector).location["y"] for selector in ("#live", "#maps"))
    assert live < maps
    assert page.texts("#deeper h2") == ["Your digit, layer by layer"]
    page.click("#maps summary")
    layers = page.window.find_elements("css selector", "#stages figure")
    page.click("#layers button:last-child")
    assert [layer.is_displayed() for layer in layers] == [False] * 8 + [True]


@pytest.mark.parametrize("has_norm", [False, True], ids=["plain", "batchnorm"])
def test_live_network_learns_as_torch_does(
    has_norm: bool, page: PlayPage, folder: Path, digits: ImageSets
) -> None:
    visit(page, folder)
    images, labels = (
        MNIST.normalize(digits.train.images[:192]).flatten(1).split(64),
        digits.train.labels[:192].split(64),
    )
    page.run("window.tried = createMLP(arguments[0], generator(1))", has_norm)
    begin = "return Object.values(tried.weights).map((values) => Array.from(values))"
    first, bias, scale, shift, last, last_bias = map(torch.tensor, page.run(begin))
    norm = [nn.BatchNorm1d(100)] if has_norm else []
    network = nn.Sequential(nn.Linear(784, 100), nn.ReLU(), *norm, nn.Linear(100, 10))
    given = [
        first.reshape(100, 784),
        bias,
        *([scale, shift] if has_norm else []),
        last.reshape(10, 100),
        last_bias,
    ]
    with torch.no_grad():
        for parameter, values in zip(network.parameters(), given, strict=True):
            parameter.copy_(values)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    train = "return tried.train(Float32Array.from(arguments[0]), arguments[1], 1e-3)"
    for batch, answers in zip(images, labels, strict=True):
        loss = nn.functional.cross_entropy(network(batch), answers)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        assert page.run(train, batch.flatten().tolist(), answers.tolist()) == pytest.approx(
            loss.item(), abs=1e-4
        )
    network.eval()
    evaluate = "return tried.evaluate(Float32Array.from(arguments[0]), arguments[1]).accuracy"
    accuracy = float((network(images[0]).argmax(dim=1) == labels[0]).float().mean())
    assert page.run(evaluate, images[0].flatten().tolist(), labels[0].tolist()) == pytest.approx(
        accuracy, abs=0.02
    )


@pytest.mark.parametrize(
    ("missing", "sentence"),
    [
        ("DecompressionStream", "This browser is too old"),
        ("DATA", "The numbers of this page are missing"),
    ],
)
def test_page_that_cannot_be_shown_says_why(
    missing: str, sentence: str, page: PlayPage, folder: Path, tmp_path: Path
) -> None:
    text = (folder / "index.html").read_text()
    without = f"<script>delete window.{missing};</script>\n</head>"
    broken = (
        re.sub("const DATA = .*", "", text)
        if missing == "DATA"
        else text.replace("</head>", without)
    )
    (tmp_path / "index.html").write_text(broken)
    page.window.get((tmp_path / "index.html").as_uri())
    page.until("!document.getElementById('failed').hidden")
    assert sentence in page.texts("#failed")[0]


def test_page_without_workers_shows_all_but_the_live_training(
    page: PlayPage, folder: Path, tmp_path: Path
) -> None:
    text = (folder / "index.html").read_text()
    (tmp_path / "index.html").write_text(
        text.replace("</head>", "<script>delete window.Worker;</script>\n</head>")
    )
    visit(page, tmp_path)
    assert "blocks web workers" in page.texts("#progress")[0]
    page.press("7")
    assert page.answers[1] == "7"


def test_play_page_trains_a_run_until_its_units_die_of_a_high_rate(
    page: PlayPage, folder: Path
) -> None:
    visit(page, folder, "")
    # The collapsed run plays by itself until it is paused.
    page.until("app.collapse.state.step > 2")
    page.click("#play")
    page.find("#train").click()
    page.until("Number(document.getElementById('live-loss').value || 9) < 1")
    dead = "parseInt(document.getElementById('weights').ariaLabel)"
    before = page.run(f"return {dead}")
    page.choose("rate", -1)
    page.until(f"{dead} >= {before + 10}")
    page.find("#norm").click()  # another network, which the same rate leaves alive
    page.until(f"{dead} < 50 && parseFloat(document.getElementById('live-accuracy').value) > 70")
    page.find("#train").click()
    assert page.complaints() == []


def test_play_runs_were_trained_by_the_code_of_a_commit() -> None:
    numbers = play.read_numbers(DATA)
    assert sum(origin["runs"] for origin in numbers["origins"]) == len(numbers["runs"])
    assert all(is_committed(origin["git_commit"]) for origin in numbers["origins"])
