"""Digits and other pictures drawn on a page, by a browser's mouse, and what the server behind it refuses."""

import base64
import http.client
import io
import json
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import pytest
from PIL import Image, ImageFile
from selenium.webdriver import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webdriver import WebDriver
from selenium.webdriver.support.ui import WebDriverWait

from benchmarks.handwriting.drawing import Drawing, draw_all, smooth
from benchmarks.handwriting.shapes import SHAPES, Shape
from convblocks.errors import UsageError, UserError
from convblocks.evaluation.trained import load_network
from convblocks.handwriting.demo import server as demo
from convblocks.handwriting.demo.server import HOST, LARGEST_REQUEST, Handler, Server, open_server
from convblocks.handwriting.predict import recognise
from tests.conftest import REPOSITORY, run_script
from tests.data.pictures import SHAPES as SHAPES_IN_COLOUR
from tests.handwriting.browser import chromium

DRAWN = [(1, "flag"), (2, "straight foot"), (3, "round"), (4, "open"), (5, "hat"), (7, "plain")]


@contextmanager
def serving(*checkpoints: Path) -> Iterator[Server]:
    """A server in a thread of its own."""
    with open_server([load_network(path) for path in checkpoints], port=0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def server(trained: Path) -> Iterator[Server]:
    """The page with one checkpoint, twice."""
    with serving(trained, trained) as server:
        yield server


@pytest.fixture(scope="module")
def page(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebDriver]:
    with chromium(tmp_path_factory.mktemp("profile")) as window:
        window.get(f"http://{HOST}:{server.server_port}/")
        yield window


@pytest.fixture(scope="module")
def shapes_page(trained_on_shapes: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebDriver]:
    """The page of a network for colour pictures."""
    with serving(trained_on_shapes) as server, chromium(tmp_path_factory.mktemp("profile")) as window:
        window.get(f"http://{HOST}:{server.server_port}/")
        yield window


def draw(page: WebDriver, shape: Shape) -> None:
    """Move the mouse along a digit's strokes, in the middle of the page's canvas."""
    canvas = page.find_element(By.ID, "drawing")
    actions = ActionChains(page, duration=0)
    for stroke in shape:
        places = [(round(1.4 * x - 70), round(2 * y - 100)) for x, y in smooth(stroke)[::6]]
        actions.move_to_element_with_offset(canvas, *places[0]).click_and_hold()
        for before, after in pairwise(places):
            actions.move_by_offset(after[0] - before[0], after[1] - before[1])
        actions.release()
    actions.perform()


def wait(page: WebDriver) -> None:
    """Until the last stroke has been answered."""
    WebDriverWait(page, 20).until(lambda _: page.execute_script("return images && !busy && !changed"))


def message(page: WebDriver) -> str:
    """What the page says once the last stroke has been answered."""
    wait(page)
    return page.find_element(By.ID, "message").text


def recognised(page: WebDriver) -> list[str]:
    """The class that the table marks for each network, once the last stroke has been answered."""
    wait(page)
    marked = page.find_elements(By.CSS_SELECTOR, "td.share.best")
    return [cell.find_element(By.XPATH, "../td[1]").text for cell in marked]


def choose(page: WebDriver, picture: Path) -> None:
    """Choose a picture file, and wait for the answer to it."""
    page.find_element(By.ID, "clear").click()
    page.find_element(By.ID, "file").send_keys(str(picture))
    WebDriverWait(page, 20).until(lambda _: page.execute_script("return used"))
    wait(page)


@pytest.mark.slow
@pytest.mark.parametrize(("digit", "form"), DRAWN)
def test_a_drawn_digit_is_recognised(digit: int, form: str, page: WebDriver) -> None:
    page.find_element(By.ID, "clear").click()
    draw(page, SHAPES[digit][form])
    assert recognised(page) == [str(digit), str(digit)]  # by both networks, side by side
    assert message(page) == str(digit)
    assert page.find_element(By.ID, "seen").get_attribute("src").startswith("data:image/png")  # type: ignore[union-attr]
    assert page.execute_script("return document.getElementById('seen').naturalWidth") == 28


@pytest.mark.slow
def test_a_cleared_page_shows_no_digit(page: WebDriver) -> None:
    draw(page, SHAPES[1]["bar"])
    assert recognised(page) != []
    assert page.find_element(By.ID, "seen").is_displayed()
    page.find_element(By.ID, "clear").click()
    assert recognised(page) == []
    assert not page.find_element(By.ID, "seen").is_displayed()
    assert message(page) == "Draw with the mouse or a finger."


def test_the_page_says_why_it_does_not_recognise_a_drawing(page: WebDriver) -> None:
    page.find_element(By.ID, "clear").click()
    dots: Shape = [[(x, y)] * 2 for x in (20, 40, 60, 80) for y in (20, 40, 60, 80)]
    draw(page, dots)
    assert message(page) == "it shows no digit, but 16 separate parts"
    assert recognised(page) == []


def test_a_page_for_digits_asks_for_no_colours_and_no_files(page: WebDriver) -> None:
    wait(page)
    assert not page.find_element(By.ID, "colour").is_displayed()
    assert not page.find_element(By.ID, "file").is_displayed()


def test_the_page_has_the_shape_and_the_classes_of_the_pictures(shapes_page: WebDriver) -> None:
    wait(shapes_page)
    assert shapes_page.find_element(By.ID, "drawing").size == {"width": 282, "height": 226}  # 40 : 32, and its border
    names = [cell.text for cell in shapes_page.find_elements(By.CSS_SELECTOR, "td.name")]
    assert names == sorted(SHAPES_IN_COLOUR)


def test_one_draws_in_colours(shapes_page: WebDriver) -> None:
    shapes_page.find_element(By.ID, "clear").click()
    assert shapes_page.find_element(By.ID, "colour").is_displayed()
    shapes_page.execute_script("document.getElementById('colour').value = '#00ff00'")
    canvas = shapes_page.find_element(By.ID, "drawing")
    ActionChains(shapes_page, duration=0).move_to_element(canvas).click().perform()
    assert recognised(shapes_page) != []
    with seen_by_the_network(shapes_page) as seen:
        assert seen.size == (40, 32)
        red, green, blue = seen.getpixel((20, 16))  # type: ignore[misc]  # the picture has colours
        assert max(red, blue) < 30 < 225 < green


def test_paper_has_the_mean_colour_of_the_training_pictures(shapes_page: WebDriver, trained_on_shapes: Path) -> None:
    shapes_page.find_element(By.ID, "clear").click()
    corner = shapes_page.execute_script("return Array.from(pen.getImageData(0, 0, 1, 1).data.slice(0, 3))")
    assert corner == pytest.approx([255 * mean for mean in load_network(trained_on_shapes).description.mean], abs=1)


@pytest.mark.parametrize("name", ["ring", "stripes", "triangle"])
def test_a_chosen_picture_gets_the_answer_that_predict_gives(
    name: str, shapes_page: WebDriver, trained_on_shapes: Path, shapes: Path
) -> None:
    picture = min((shapes / "test" / name).iterdir())
    choose(shapes_page, picture)
    (prediction,), _ = recognise(load_network(trained_on_shapes), [picture])
    shares = [cell.text for cell in shapes_page.find_elements(By.CSS_SELECTOR, "td.share")]
    assert shares == [f"{100 * probability:.1f} %" for probability in prediction.probabilities]
    assert recognised(shapes_page) == [name]
    assert message(shapes_page) == name


def test_a_chosen_picture_of_many_pixels_is_scaled_down(shapes_page: WebDriver, shapes: Path, tmp_path: Path) -> None:
    with Image.open(min((shapes / "test" / "ring").iterdir())) as picture:
        picture.resize((4000, 3200)).save(tmp_path / "large.png")
    choose(shapes_page, tmp_path / "large.png")
    assert recognised(shapes_page) == ["ring"]


def test_a_file_that_is_no_picture_is_told_on_the_page(shapes_page: WebDriver, tmp_path: Path) -> None:
    (tmp_path / "notes.png").write_text("no picture")
    shapes_page.find_element(By.ID, "clear").click()
    wait(shapes_page)
    shapes_page.find_element(By.ID, "file").send_keys(str(tmp_path / "notes.png"))
    refusal = "This browser cannot show that file as a picture."
    WebDriverWait(shapes_page, 20).until(lambda _: message(shapes_page) == refusal)


def test_the_page_fits_a_phone(shapes_page: WebDriver) -> None:
    phone = {"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": True}
    shapes_page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", phone)
    assert shapes_page.execute_script("return document.documentElement.scrollWidth") == 390
    shapes_page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


@contextmanager
def seen_by_the_network(page: WebDriver) -> Iterator[Image.Image]:
    """The picture that the page shows as what the network sees."""
    address = page.find_element(By.ID, "seen").get_attribute("src") or ""
    with Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2]))) as seen:
        yield seen


def test_the_page_loads_nothing_from_elsewhere(page: WebDriver, server: Server) -> None:
    loaded = page.execute_script("return performance.getEntries().map((e) => e.name)")
    addresses = [name for name in loaded if "://" in name]
    assert addresses
    assert all(name.startswith(f"http://{HOST}:{server.server_port}/") for name in addresses)


def request(
    server: Server, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None
) -> tuple[int, bytes]:
    """The status and the content of an answer."""
    connection = http.client.HTTPConnection(HOST, server.server_port, timeout=20)
    connection.request(method, path, body, headers or {})
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer.status, content


@pytest.fixture
def drawing() -> Drawing:
    return next(iter(draw_all(seed=0)))


def test_probabilities_come_as_json(server: Server, drawing: Drawing) -> None:
    _, content = request(server, "POST", "/recognise", drawing.content)
    answer = json.loads(content)
    probabilities = answer["networks"][0]["probabilities"]
    assert sum(probabilities) == pytest.approx(1, abs=1e-5)
    assert probabilities.index(max(probabilities)) == drawing.digit
    assert answer["networks"][0]["name"] == "batchnorm: lightning_logs/batchnorm"


def test_what_is_no_picture_is_answered(server: Server) -> None:
    _, content = request(server, "POST", "/recognise", b"no picture")
    assert json.loads(content)["problem"] == "it is not a picture of a known format"


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("GET", "/", {"Host": "localhost"}, 200),
        ("GET", "/other", {}, 404),
        ("POST", "/other", {}, 404),
        ("GET", "/", {"Host": "example.com"}, 403),
        ("POST", "/recognise", {"Host": "example.com:80"}, 403),
        ("POST", "/recognise", {"Content-Length": "many"}, 411),
        ("POST", "/recognise", {"Content-Length": str(LARGEST_REQUEST + 1)}, 413),
        ("POST", "/recognise", {"Content-Length": "9" * 5000}, 413),
        ("POST", "/recognise", {"Content-Length": "-1"}, 411),
        ("POST", "/recognise", {"Content-Length": "\u00b2"}, 411),
        ("POST", "/recognise", {"Origin": "http://example.com"}, 403),
        ("POST", "/recognise", {"Origin": "null"}, 403),
        ("POST", "/recognise", {"Origin": "http://127.0.0.1:1"}, 403),
        ("PUT", "/recognise", {}, 501),
    ],
)
def test_requests_are_answered_or_refused(
    method: str, path: str, headers: dict[str, str], status: int, server: Server
) -> None:
    assert request(server, method, path, headers=headers)[0] == status


def test_the_page_itself_may_ask(server: Server, drawing: Drawing) -> None:
    origin = {"Origin": f"http://{HOST}:{server.server_port}"}
    assert request(server, "POST", "/recognise", drawing.content, origin)[0] == 200


def test_a_picture_of_too_many_pixels_is_not_unpacked(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """144 million of them, in 17 kB."""
    content = io.BytesIO()
    Image.new("1", (12_000, 12_000)).save(content, "PNG")
    monkeypatch.delattr(ImageFile.ImageFile, "load")
    _, answer = request(server, "POST", "/recognise", content.getvalue())
    assert "it is too large" in json.loads(answer)["problem"]


def test_a_connection_that_says_nothing_is_closed(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Handler, "timeout", 0.2)
    for beginning in (b"", b"POST /recog", b"POST /recognise HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n"):
        with socket.create_connection((HOST, server.server_port), timeout=10) as connection:
            connection.sendall(beginning)
            assert connection.recv(1) == b""


def test_two_hundred_clients_all_get_their_answers(trained: Path, tmp_path: Path, drawing: Drawing) -> None:
    """For half a minute, each asks again as soon as it has its answer, half of them on a new connection each time."""
    command = [sys.executable, str(REPOSITORY / "scripts" / "demo.py"), str(trained), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        port = int(process.stdout.readline().split(":")[2].partition("/")[0])
        end = time.monotonic() + 30
        with ThreadPoolExecutor(200) as clients:
            asked = [clients.submit(ask_until, end, port, drawing, keep=bool(n % 2)) for n in range(200)]
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    answers = [client.result() for client in asked]
    assert min(answers) >= 1
    assert errors == ""


def ask_until(end: float, port: int, drawing: Drawing, keep: bool) -> int:
    """How many answers came; each must be right."""
    connection = http.client.HTTPConnection(HOST, port, timeout=60)
    count = 0
    while time.monotonic() < end:
        connection.request("POST", "/recognise", drawing.content)
        probabilities = json.loads(connection.getresponse().read())["networks"][0]["probabilities"]
        assert probabilities.index(max(probabilities)) == drawing.digit
        if not keep:
            connection.close()
        count += 1
    connection.close()
    return count


def test_only_this_machine_is_served(server: Server) -> None:
    assert server.server_address[0] == "127.0.0.1"


@pytest.mark.slow
def test_a_taken_port_is_told(trained: Path, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind((HOST, 0))
        taken.listen()
        port = taken.getsockname()[1]
        finished = run_script("demo", str(trained), "--port", str(port), cwd=tmp_path)
    assert finished.returncode == 1
    assert finished.stderr == f"demo.py: cannot use port {port} (Address already in use): choose another --port\n"


@pytest.mark.slow
def test_ctrl_c_ends_with_status_130(trained: Path) -> None:
    command = [sys.executable, str(REPOSITORY / "scripts" / "demo.py"), str(trained), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith(f"Draw at http://{HOST}:")
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (130, "")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["a", "b", "c"], "give one checkpoint, or two"), (["a", "--port", "70000"], "--port must be in")],
)
def test_wrong_usage_is_one_line(arguments: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        demo.main(arguments)


def test_two_networks_for_different_images_are_refused_in_one_line(trained: Path, trained_on_shapes: Path) -> None:
    with pytest.raises(UsageError) as told:
        demo.main([str(trained), str(trained_on_shapes)])
    assert "is for 1 x 28 x 28 pixels, 10 classes" in str(told.value)
    assert str(told.value).endswith("two networks must see the same images")
    assert "\n" not in str(told.value)


def test_a_missing_checkpoint_is_told(workspace: Path) -> None:
    with pytest.raises(UserError, match="there is no checkpoint"):
        demo.main(["missing.ckpt"])
