"""The requests that the demo's server answers and refuses."""

import http.client
import io
import json
import re
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from PIL import Image, ImageFile
from torch import Tensor, nn

from benchmarks.handwriting.drawing import Drawing, draw_all
from convblocks.errors import UsageError, UserError
from convblocks.evaluation.trained import TrainedNetwork
from convblocks.handwriting.demo import server as demo
from convblocks.handwriting.demo.answers import run_of
from convblocks.handwriting.demo.server import HOST, LARGEST_REQUEST, Handler, Server, open_server
from tests.conftest import REPOSITORY
from tests.handwriting.pages import running, serving
from tests.scripts import run_script


def request(
    port: int, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None
) -> tuple[int, bytes]:
    """The status and the content of an answer."""
    connection = http.client.HTTPConnection(HOST, port, timeout=60)
    connection.request(method, path, body, headers or {})
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer.status, content


@pytest.fixture
def drawing() -> Drawing:
    return next(iter(draw_all(seed=0)))


@contextmanager
def demo_process(*checkpoints: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """The command, and the port that it chose."""
    command = [sys.executable, str(REPOSITORY / "scripts" / "demo.py"), *map(str, checkpoints), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith(f"Draw at http://{HOST}:")
        yield process, int(line.split(":")[2].partition("/")[0])
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (130, "")


def test_probabilities_come_as_json(twins: Server, drawing: Drawing) -> None:
    _, content = request(twins.server_port, "POST", "/recognise", drawing.content)
    answer = json.loads(content)
    probabilities = answer["networks"][0]
    assert sum(probabilities) == pytest.approx(1, abs=1e-5)
    assert probabilities.index(max(probabilities)) == drawing.digit
    assert answer["doubt"] is None


def test_the_setup_names_classes_and_networks(quarrel: Server) -> None:
    answer = json.loads(request(quarrel.server_port, "GET", "/setup")[1])
    assert answer["classes"] == list("0123456789")
    assert answer["networks"] == [
        {"arch": "batchnorm", "run": "batchnorm"},
        {"arch": "batchnorm", "run": "changed.ckpt"},
    ]


@pytest.mark.parametrize("question", ["/recognise", "/maps"])
def test_a_file_that_is_not_a_picture_is_a_problem(question: str, twins: Server) -> None:
    _, content = request(twins.server_port, "POST", question, b"no picture")
    assert json.loads(content) == {"problem": "it is not in a supported format (PNG, JPEG, GIF, WEBP, BMP)"}


@pytest.mark.parametrize(
    ("path", "run"),
    [
        ("lightning_logs/mlp/version_0/checkpoints/last.ckpt", "mlp/version_0"),
        ("/scratch/lightning_logs/study/mlp/lr=1e-2/seed_3/checkpoints/last.ckpt", "study/mlp/lr=1e-2/seed_3"),
        ("somewhere/best.ckpt", "best.ckpt"),
    ],
)
def test_a_network_is_named_after_its_run(path: str, run: str) -> None:
    assert run_of(TrainedNetwork(Path(path), "mlp", nn.Identity())) == run


class Failing(nn.Module):
    """A user's network with a bug."""

    def forward(self, images: Tensor) -> Tensor:
        raise ValueError("no more\nthan\nthat")


def test_a_failing_network_is_a_one_line_answer(drawing: Drawing, capsys: pytest.CaptureFixture[str]) -> None:
    with serving(TrainedNetwork(Path("failing.ckpt"), "mynets.Failing", Failing())) as server:
        status, content = request(server.server_port, "POST", "/recognise", drawing.content)
        assert request(server.server_port, "GET", "/")[0] == 200
    assert (status, content) == (500, b"The server has failed: ValueError: no more than that")
    errors, deadline = "", time.monotonic() + 30
    while "ValueError" not in errors:  # the traceback, for its author, printed after the answer
        assert time.monotonic() < deadline, errors
        errors += capsys.readouterr().err


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("GET", "/", {"Host": "localhost"}, 200),
        ("GET", "/style.css", {}, 200),
        ("GET", "/other", {}, 404),
        ("GET", "/../server.py", {}, 404),
        ("GET", "/setup", {"Origin": "http://example.com"}, 403),
        ("POST", "/other", {}, 404),
        ("GET", "/", {"Host": "example.com"}, 403),
        ("GET", "/", {"Host": "localhost.example.com"}, 403),
        ("POST", "/recognise", {"Host": "example.com:80"}, 403),
        ("POST", "/recognise", {"Content-Length": "many"}, 411),
        ("POST", "/recognise", {"Content-Length": str(LARGEST_REQUEST + 1)}, 413),
        ("POST", "/recognise", {"Content-Length": "9" * 5000}, 413),
        ("POST", "/recognise", {"Content-Length": "-1"}, 411),
        ("POST", "/recognise", {"Content-Length": "\u00b2"}, 411),
        ("POST", "/recognise", {"Transfer-Encoding": "chunked"}, 411),
        ("POST", "/recognise", {"Origin": "http://example.com"}, 403),
        ("POST", "/recognise", {"Origin": "null"}, 403),
        ("POST", "/recognise", {"Origin": "http://127.0.0.1:1"}, 403),
        ("PUT", "/recognise", {}, 501),
    ],
)
def test_requests_are_answered_or_refused(
    method: str, path: str, headers: dict[str, str], status: int, twins: Server
) -> None:
    answer, content = request(twins.server_port, method, path, headers=headers)
    assert answer == status
    assert answer in (200, 501) or content.count(b"\n") == 1


def test_the_page_itself_may_ask(twins: Server, drawing: Drawing) -> None:
    origin = {"Origin": f"http://{HOST}:{twins.server_port}"}
    assert request(twins.server_port, "POST", "/recognise", drawing.content, origin)[0] == 200


@pytest.mark.parametrize(("headers", "status"), [({}, 413), ({"Origin": "http://example.com"}, 403)])
def test_a_refusal_arrives_however_much_is_sent(headers: dict[str, str], status: int, twins: Server) -> None:
    body = bytes(30 * LARGEST_REQUEST)
    for _ in range(3):
        assert request(twins.server_port, "POST", "/recognise", body, headers)[0] == status


@pytest.mark.parametrize(
    ("length", "body", "statuses"),
    [(500_000, b"no picture", [200]), (10, b"no picture and more HTTP/1.1\r\n\r\n", [200, 501])],
)
def test_a_wrong_content_length_does_no_harm(length: int, body: bytes, statuses: list[int], twins: Server) -> None:
    """The server does not wait for missing bytes of a closed connection, nor take extra bytes for a picture."""
    with socket.create_connection((HOST, twins.server_port), timeout=10) as connection:
        connection.sendall(f"POST /recognise HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: {length}\r\n\r\n".encode())
        connection.sendall(body)
        connection.shutdown(socket.SHUT_WR)
        answers = connection.makefile("rb").read()
    assert [int(status) for status in re.findall(rb"HTTP/1.1 (\d+) ", answers)] == statuses
    assert b'{"problem": "it is not in a supported format (PNG, JPEG, GIF, WEBP, BMP)"}' in answers


def test_a_picture_of_too_many_pixels_is_not_unpacked(twins: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """144 million of them, in 17 kB."""
    content = io.BytesIO()
    Image.new("1", (12_000, 12_000)).save(content, "PNG")
    monkeypatch.delattr(ImageFile.ImageFile, "load")
    _, answer = request(twins.server_port, "POST", "/recognise", content.getvalue())
    assert "it is too large" in json.loads(answer)["problem"]


def hostile_pictures() -> dict[str, bytes]:
    """Small files whose pixels would take hundreds of megabytes."""
    content = io.BytesIO()
    Image.new("1", (12_000, 12_000)).save(content, "PNG")
    png = content.getvalue()
    size = struct.pack("<HH", 12_000, 12_000)
    icon = struct.pack("<HHHBBBBHHII", 0, 1, 1, 16, 16, 0, 0, 1, 32, len(png), 22) + png
    gif = b"GIF89a" + size + b"\0" * 3 + b"," + b"\0" * 4 + size + b"\0\2\1\0;"
    content = io.BytesIO()
    Image.new("L", (9, 9)).save(content, "WEBP", save_all=True, append_images=[Image.new("L", (9, 9), 255)])
    webp = bytearray(content.getvalue())
    webp[24:30] = 2 * (12_000 - 1).to_bytes(3, "little")
    return {"PNG": png, "icon": icon, "GIF": gif, "WEBP": bytes(webp)}


def peak_of(process: subprocess.Popen[str]) -> int:
    """The peak memory of a process, in megabytes."""
    lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    (line,) = (line for line in lines if line.startswith("VmHWM"))
    return int(line.split()[1]) // 1024


def problem_of(port: int, picture: bytes) -> str:
    return str(json.loads(request(port, "POST", "/recognise", picture)[1])["problem"])


def largest() -> bytes:
    """A blank picture with as many pixels and bytes as the server accepts."""
    content = io.BytesIO()
    Image.new("L", (1000, 1000)).save(content, "PNG")
    return content.getvalue().ljust(LARGEST_REQUEST, b"\0")


def test_pictures_of_too_many_pixels_take_no_memory(trained: Path) -> None:
    pictures = hostile_pictures()
    assert max(map(len, pictures.values())) < LARGEST_REQUEST
    with demo_process(trained) as (process, port):
        assert problem_of(port, largest()) == "it is blank"
        before = peak_of(process)
        problems = {name: problem_of(port, content) for name, content in pictures.items()}
        assert peak_of(process) - before < 20
    too_large = "it is too large (12,000 x 12,000 pixels): scale it down"
    not_taken = "it is not in a supported format (PNG, JPEG, GIF, WEBP, BMP)"
    assert problems == {"PNG": too_large, "icon": not_taken, "GIF": too_large, "WEBP": too_large}


def test_the_largest_pictures_at_once_take_no_more_memory_than_one(trained: Path) -> None:
    with demo_process(trained) as (process, port):
        before_any = peak_of(process)
        problem_of(port, largest())
        before = peak_of(process)
        with ThreadPoolExecutor(20) as clients:
            problems = list(clients.map(lambda _: problem_of(port, largest()), range(20)))
        after = peak_of(process)
    assert problems == ["it is blank"] * 20
    assert before - before_any < 100
    assert after - before < 20 + 30  # the requests, and those in the queue


def test_an_idle_connection_is_closed(twins: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Handler, "timeout", 0.2)
    for beginning in (b"", b"POST /recog", b"POST /recognise HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n"):
        with socket.create_connection((HOST, twins.server_port), timeout=10) as connection:
            connection.sendall(beginning)
            assert connection.recv(1) == b""


class Counting(nn.Module):
    """A slow network that records how many images it computes at once."""

    def __init__(self) -> None:
        super().__init__()
        self.inside: list[int] = []
        self.most = 0

    def forward(self, images: Tensor) -> Tensor:
        self.inside.append(1)
        self.most = max(self.most, len(self.inside))
        time.sleep(0.01)
        self.inside.pop()
        return torch.zeros(len(images), 10)


def test_fifty_requests_at_once_are_all_answered_one_after_the_other(drawing: Drawing) -> None:
    """Each has a connection of its own, and all are sent before the first connection is accepted."""
    network = Counting()
    clients = []
    with open_server([TrainedNetwork(Path("counting.ckpt"), "mynets.Counting", network)], port=0) as server:
        for _ in range(50):
            clients.append(http.client.HTTPConnection(HOST, server.server_port, timeout=60))
            clients[-1].request("POST", "/recognise", drawing.content)
        with running(server):
            answers = [client.getresponse() for client in clients]
            shares = [json.loads(answer.read())["networks"] for answer in answers]
    for client in clients:
        client.close()
    assert [answer.status for answer in answers] == [200] * 50
    assert shares == [[[pytest.approx(0.1)] * 10]] * 50
    assert network.most == 1


def test_two_hundred_clients_all_get_their_answers(trained: Path, drawing: Drawing) -> None:
    """For half a minute each sends a request after every answer, half of them on a new connection each time."""
    with demo_process(trained) as (_, port):
        end = time.monotonic() + 30
        with ThreadPoolExecutor(200) as clients:
            asked = [clients.submit(ask_until, end, port, drawing, keep=bool(n % 2)) for n in range(200)]
    assert min(client.result() for client in asked) >= 1


def ask_until(end: float, port: int, drawing: Drawing, keep: bool) -> int:
    """The number of answers; each must be right."""
    connection = http.client.HTTPConnection(HOST, port, timeout=60)
    count = 0
    while time.monotonic() < end:
        connection.request("POST", "/recognise", drawing.content)
        probabilities = json.loads(connection.getresponse().read())["networks"][0]
        assert probabilities.index(max(probabilities)) == drawing.digit
        if not keep:
            connection.close()
        count += 1
    connection.close()
    return count


def test_only_this_machine_is_served(twins: Server) -> None:
    assert twins.server_address[0] == "127.0.0.1"


@pytest.mark.slow
def test_a_taken_port_is_an_error(trained: Path, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind((HOST, 0))
        taken.listen()
        port = taken.getsockname()[1]
        finished = run_script("demo", str(trained), "--port", str(port), cwd=tmp_path)
    assert finished.returncode == 1
    assert finished.stderr == f"demo.py: cannot use port {port} (Address already in use): choose another --port\n"


@pytest.mark.slow
def test_ctrl_c_ends_with_status_130(trained: Path) -> None:
    with demo_process(trained, trained):
        pass


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["a", "b", "c", "d", "e"], "give 1 to 4 checkpoints, not 5"), (["a", "--port", "70000"], "--port must be in")],
)
def test_wrong_usage_is_one_line(arguments: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        demo.main(arguments)


def test_networks_for_different_images_are_refused_in_one_line(trained: Path, trained_on_shapes: Path) -> None:
    with pytest.raises(UsageError) as error:
        demo.main([str(trained), str(trained_on_shapes)])
    assert "is for 1 x 28 x 28 pixels, 10 classes" in str(error.value)
    assert str(error.value).endswith("all networks must see the same images")
    assert "\n" not in str(error.value)


def test_a_missing_checkpoint_is_an_error(workspace: Path) -> None:
    with pytest.raises(UserError, match="there is no checkpoint"):
        demo.main(["missing.ckpt"])
