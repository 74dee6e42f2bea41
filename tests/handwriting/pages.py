"""The demo's page in a browser, and networks to serve it with."""

import copy
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import torch
from selenium.webdriver import ActionChains, Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

from benchmarks.handwriting.drawing import smooth
from benchmarks.handwriting.shapes import Shape, Stroke
from convblocks.evaluation.trained import TrainedNetwork
from convblocks.handwriting.demo.server import HOST, Server, open_server


class Form(NamedTuple):
    """Of a screen: width and height in CSS pixels, and how many of its own there are to one."""

    width: int
    height: int
    ratio: float = 1
    is_phone: bool = False


DESKTOP, PHONE = Form(1280, 900), Form(390, 844, 2, is_phone=True)

# Too many parts for any digit; for some to be recognised at all. The dots stand left and right of a digit.
FIVE_LINES: Shape = [[(5, y), (95, y)] for y in (5, 28, 50, 72, 95)]
TEN_DOTS: Shape = [[(x, y)] * 2 for x in (-30, 130) for y in (0, 25, 50, 75, 100)]

COUNT_SHIFTS = """
window.shifts = [];
new PerformanceObserver((list) => shifts.push(...list.getEntries().map((shift) => shift.value)))
  .observe({ type: "layout-shift", buffered: true });
"""


@contextmanager
def serving(*networks: TrainedNetwork) -> Iterator[Server]:
    """A server in a thread of its own."""
    with open_server(networks, port=0) as server, running(server):
        yield server


@contextmanager
def running(server: Server) -> Iterator[None]:
    """Let a server that listens answer."""
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()


def changed(trained: TrainedNetwork, *, turn: int = 0, certainty: float = 1, hushed: int = 0) -> TrainedNetwork:
    """The BatchNorm network with other answers.

    Args:
        trained: The network, which stays as it is.
        turn: Each digit is taken for the one that is so much larger, and 9 goes on with 0.
        certainty: The logits are multiplied by this.
        hushed: So many channels of the second block are silent.
    """
    network: Any = copy.deepcopy(trained.network)
    with torch.no_grad():
        for values in network.head[-1].parameters():
            values.copy_(certainty * values.roll(turn, dims=0))
        convolution = network.blocks[1][0]
        convolution.weight[:hushed] = 0
        convolution.bias[:hushed] = -1
    return replace(trained, path=Path("changed.ckpt"), network=network)


def places(sheet: WebElement, stroke: Stroke) -> list[tuple[int, int]]:
    """The points of a stroke's curve from the middle of the sheet, in CSS pixels."""
    width, height = sheet.size["width"], sheet.size["height"]
    return [(round(width * (x - 50) / 200), round(height * (y - 50) / 140)) for x, y in smooth(stroke)[::6]]


@dataclass(frozen=True)
class Page:
    """What a person does with the page, and sees on it."""

    window: Chrome

    def open(self, server: Server, form: Form = DESKTOP, theme: str = "light") -> None:
        metrics = {"width": form.width, "height": form.height, "deviceScaleFactor": form.ratio, "mobile": form.is_phone}
        scheme = {"features": [{"name": "prefers-color-scheme", "value": theme}]}
        self.window.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        self.window.execute_cdp_cmd("Emulation.setEmulatedMedia", scheme)
        self.complaints()  # of the last page, which are forgotten now
        self.window.get(f"http://{HOST}:{server.server_port}/")
        self.wait()

    def find(self, selector: str) -> WebElement:
        return self.window.find_element(By.CSS_SELECTOR, selector)

    def texts(self, selector: str) -> list[str]:
        """Of elements of a kind, as a browser has them: also those out of sight."""
        elements = self.window.find_elements(By.CSS_SELECTOR, selector)
        return [(element.get_property("textContent") or "").replace("\u00a0", " ") for element in elements]  # type: ignore[union-attr]

    def run(self, script: str, *arguments: Any) -> Any:
        return self.window.execute_script(script, *arguments)

    def wait(self) -> None:
        """Until the last stroke has been answered."""
        idle = "const main = document.getElementById('main'); return !main.hidden && main.ariaBusy === 'false'"
        WebDriverWait(self.window, 60, 0.02).until(lambda _: self.run(idle))

    def draw(self, shape: Shape) -> None:
        """Move the mouse along strokes, in the middle of the sheet."""
        sheet = self.find("#drawing")
        actions = ActionChains(self.window, duration=0)
        for stroke in shape:
            points = places(sheet, stroke)
            actions.move_to_element_with_offset(sheet, *points[0]).click_and_hold()
            for before, after in pairwise(points):
                actions.move_by_offset(after[0] - before[0], after[1] - before[1])
            actions.release()
        actions.perform()
        self.wait()

    def touch(self, shape: Shape) -> None:
        """Move a finger along strokes, in the middle of the sheet."""
        sheet = self.find("#drawing")
        left, top = (sheet.rect[side] + sheet.rect[length] / 2 for side, length in (("x", "width"), ("y", "height")))
        for stroke in shape:
            for number, (x, y) in enumerate(places(sheet, stroke)):
                point = {"x": left + x, "y": top + y}
                kind = "touchMove" if number else "touchStart"
                self.window.execute_cdp_cmd("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [point]})
            self.window.execute_cdp_cmd("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
        self.wait()

    def press(self, *keys: str) -> None:
        ActionChains(self.window).send_keys(*keys).perform()
        self.wait()

    def press_with(self, modifier: str, key: str) -> None:
        ActionChains(self.window).key_down(modifier).send_keys(key).key_up(modifier).perform()
        self.wait()

    def complaints(self) -> list[str]:
        """What the browser has complained of since they were last asked for."""
        return [line["message"] for line in self.window.get_log("browser")]  # type: ignore[no-untyped-call]

    @property
    def message(self) -> str:
        return self.texts("#message")[0]

    @property
    def answers(self) -> list[str]:
        """The large answer of each network."""
        return self.texts("#cards strong")

    @property
    def best(self) -> list[str]:
        """Of which class the chart marks a share, for each network."""
        return self.texts("#shares tr:has(.best) th")

    def tree(self) -> list[tuple[str, str]]:
        """What a screen reader is told: the role and the name of each part, in order."""
        nodes = self.window.execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"]
        told = [node for node in nodes if not node["ignored"]]
        return [(node["role"]["value"], node.get("name", {}).get("value", "").replace("\u00a0", " ")) for node in told]
