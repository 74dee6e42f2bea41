"""Drives the demo's page in a browser."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

from selenium.webdriver import ActionChains, Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

from convblocks.demo.server import HOST, Server
from convblocks.model.restore import TrainedNetwork
from lab.benchmarks.handwriting.drawing import smooth
from lab.benchmarks.handwriting.shapes import Shape


class Form(NamedTuple):
    """A screen: width and height in CSS pixels, and the device pixels in one of them."""

    width: int
    height: int
    ratio: float = 1
    is_phone: bool = False


DESKTOP, PHONE = Form(1280, 900), Form(390, 844, 2, is_phone=True)


@contextmanager
def serving(*networks: TrainedNetwork) -> Iterator[Server]:
    """A server that runs in a thread."""
    with Server(networks, port=0) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@dataclass(frozen=True)
class Page:
    """A user's actions on the page, and what the page shows."""

    window: Chrome

    def open(self, server: Server, form: Form = DESKTOP, theme: str = "light") -> None:
        """Open the page, and clear the example that it begins with."""
        self.visit(f"http://{HOST}:{server.server_port}/", form, theme)
        self.press(Keys.ESCAPE)

    def visit(self, address: str, form: Form = DESKTOP, theme: str = "light") -> None:
        self.set_screen(form, theme)
        self.complaints()  # drops those of the last page
        self.window.get(address)
        self.wait()

    def set_screen(self, form: Form, theme: str = "light") -> None:
        metrics = {
            "width": form.width,
            "height": form.height,
            "deviceScaleFactor": form.ratio,
            "mobile": form.is_phone,
        }
        scheme = {"features": [{"name": "prefers-color-scheme", "value": theme}]}
        self.window.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        self.window.execute_cdp_cmd("Emulation.setEmulatedMedia", scheme)

    def find(self, selector: str) -> WebElement:
        return self.window.find_element(By.CSS_SELECTOR, selector)

    def texts(self, selector: str) -> list[str]:
        """The texts of elements, also of hidden ones."""
        elements = self.window.find_elements(By.CSS_SELECTOR, selector)
        contents = [element.get_property("textContent") for element in elements]
        return [str(content or "").replace("\u00a0", " ") for content in contents]

    def run(self, script: str, *arguments: Any) -> Any:
        return self.window.execute_script(script, *arguments)

    def wait(self) -> None:
        """Wait until the last stroke has been answered."""
        idle = (
            "const main = document.getElementById('main'); "
            "return !main.hidden && main.ariaBusy === 'false'"
        )
        WebDriverWait(self.window, 60, 0.02).until(lambda _: self.run(idle))

    def draw(self, shape: Shape) -> None:
        """Move the mouse along strokes, in the middle of the canvas."""
        actions = ActionChains(self.window, duration=0)
        sheet = self.find("#drawing")
        width, height = sheet.size["width"], sheet.size["height"]
        for stroke in shape:  # in CSS pixels from the centre of the canvas
            points = [
                (round(width * (x - 50) / 200), round(height * (y - 50) / 140))
                for x, y in smooth(stroke)[::6]
            ]
            actions.move_to_element_with_offset(sheet, *points[0]).click_and_hold()
            for before, after in pairwise(points):
                actions.move_by_offset(after[0] - before[0], after[1] - before[1])
            actions.release()
        actions.perform()
        self.wait()

    def press(self, *keys: str) -> None:
        """Press a key, with those before it held down."""
        self.window.switch_to.active_element.send_keys(*keys)
        self.wait()

    def click(self, selector: str) -> None:
        self.find(selector).click()
        self.wait()

    def complaints(self) -> list[str]:
        """The browser's log since the last call."""
        lines = self.window.get_log("browser")  # type: ignore[no-untyped-call]
        return [line["message"] for line in lines]

    @property
    def seen(self) -> Any:
        """The image that the network sees: red, green, blue and opacity of each pixel."""
        return self.run("""
            const canvas = document.querySelector(".seen");
            const drawn = canvas.getContext("2d");
            return [...drawn.getImageData(0, 0, canvas.width, canvas.height).data];
        """)

    @property
    def message(self) -> str:
        return self.texts("#message")[0]

    @property
    def answers(self) -> list[str]:
        """The predicted class of each network, in large letters."""
        return self.texts("#cards strong")
