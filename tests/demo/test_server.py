"""What the demo's server answers and refuses, and the layers that it shows of a network."""

import http.client
import io
import json
import re
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import nn

from convblocks.data.images import MNIST, ImageSets
from convblocks.demo import server as demo
from convblocks.demo.answers import layers_of
from convblocks.demo.server import HOST, Server
from convblocks.diagnosis.dead_units import dead_shares
from convblocks.errors import UsageError, UserError
from convblocks.model.networks import build_network
from convblocks.model.restore import TrainedNetwork
from tests.conftest import REPOSITORY
from tests.demo.pages import serving


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


@pytest.fixture(scope="module")
def plain() -> Iterator[Server]:
    """Serves an untrained network without ReLU."""
    network = nn.Sequential(nn.Flatten(), nn.Linear(784, 10)).eval()
    with serving(TrainedNetwork(Path("own.ckpt"), "mynets.Plain", network)) as server:
        yield server


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("GET", "/", {"Host": "localhost"}, 200),
        ("GET", "/setup", {}, 200),
        ("GET", "/other", {}, 404),
        ("GET", "/../server.py", {}, 404),
        ("GET", "/setup", {"Origin": "http://example.com"}, 403),
        ("GET", "/", {"Host": "example.com"}, 403),
        ("POST", "/answer", {"Host": "example.com:80"}, 403),
        ("POST", "/answer", {"Origin": "http://127.0.0.1:1"}, 403),
    ],
)
def test_server_answers_its_own_page_only(
    method: str, path: str, headers: dict[str, str], status: int, plain: Server
) -> None:
    assert request(plain.server_port, method, path, headers=headers)[0] == status


@pytest.mark.parametrize(
    ("request_lines", "status"),
    [
        ("POST /answer HTTP/1.1\r\nHost: localhost\r\n", 411),
        ("POST /answer HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n", 411),
        ("POST /answer HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1e3\r\n", 411),
        ("POST /answer HTTP/1.1\r\nHost: localhost\r\nContent-Length: 999999999999\r\n", 413),
        ("POST /answer HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n", 411),
        (f"POST /answer HTTP/1.1\r\nHost: localhost\r\nContent-Length: {'9' * 5000}\r\n", 413),
        ("GET /%00 HTTP/1.1\r\nHost: localhost\r\n", 404),
        ("GET /\0 HTTP/1.1\r\nHost: localhost\r\n", 404),
        ("GET /a%00b/../ HTTP/1.1\r\nHost: localhost\r\n", 404),
    ],
)
def test_server_answers_malformed_requests_with_a_status(
    request_lines: str, status: int, plain: Server, capfd: pytest.CaptureFixture[str]
) -> None:
    with socket.create_connection((HOST, plain.server_port), timeout=60) as connection:
        connection.sendall(f"{request_lines}\r\n".encode())
        assert connection.recv(100).split()[1] == str(status).encode()
    assert capfd.readouterr().err == ""


def test_server_prints_nothing_when_a_browser_leaves_early(
    plain: Server, capfd: pytest.CaptureFixture[str]
) -> None:
    for _ in range(20):
        with socket.create_connection((HOST, plain.server_port), timeout=60) as connection:
            # Closed by a reset, as of a page that is left while it loads.
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.sendall(b"GET /setup HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert request(plain.server_port, "GET", "/setup")[0] == 200
    assert capfd.readouterr().err == ""


def test_server_says_why_it_cannot_use_a_picture(plain: Server) -> None:
    large = io.BytesIO()
    Image.new("L", (2000, 2000)).save(large, "PNG")
    for picture, problem in (
        (b"no picture", "it is not a picture"),
        (large.getvalue(), "it is too large"),
    ):
        status, content = request(plain.server_port, "POST", "/layers", picture)
        assert status == 200
        assert problem in json.loads(content)["problem"]


def test_demo_serves_until_ctrl_c(trained: Path) -> None:
    command = [sys.executable, str(REPOSITORY / "scripts" / "demo.py"), str(trained), "--port", "0"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == f"demo: {trained}\n"
        (port,) = re.findall(rf"^Draw at http://{HOST}:(\d+)/", process.stdout.readline())
        status, _ = request(int(port), "GET", "/")
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert (status, process.returncode, errors) == (200, 130, "")


def test_demo_refuses_ports_and_networks_in_one_line(
    trained: Path, trained_on_shapes: Path, plain: Server
) -> None:
    for port in (plain.server_port, 70_000):
        with pytest.raises(
            UserError, match=f"^cannot serve at port {port} .*: give another --port$"
        ):
            Server([], port)
    with pytest.raises(UsageError, match="trained on different images"):
        demo.main([str(trained), str(trained_on_shapes)])


def test_layers_of_the_courses_networks_are_called_blocks_as_in_the_terminal(
    digits: ImageSets,
) -> None:
    network = TrainedNetwork(Path("last.ckpt"), "maxpool", build_network("maxpool").eval())
    layers = layers_of(network, digits.test.images[:1])
    assert [layer["name"] for layer in layers] == ["block 1", "block 2", "block 3"]


@pytest.mark.parametrize(
    ("network", "shape"),
    [
        (build_network("mlp"), [100, 1, 1]),
        (build_network("batchnorm"), [32, 14, 14]),
        # Reads row by row, and has more units than are shown.
        (
            nn.Sequential(
                nn.Flatten(1, 2), nn.Linear(28, 300), nn.ReLU(), nn.Flatten(), nn.LazyLinear(10)
            ),
            [300, 1, 28],
        ),
    ],
    ids=["mlp", "batchnorm", "own"],
)
def test_layers_have_the_maps_that_a_run_counts(
    network: nn.Module, shape: list[int], digits: ImageSets
) -> None:
    seven = digits.test.images[:1]
    layers = layers_of(TrainedNetwork(Path("last.ckpt"), "own", network.eval()), seven)
    assert layers[0]["shape"] == shape
    shares = {layer["name"]: sum(layer["inactive"]) / len(layer["inactive"]) for layer in layers}
    assert shares == pytest.approx(dead_shares(network, [MNIST.normalize(seven)]))
    for layer in layers:
        shades = torch.tensor(layer["shades"])
        assert len(shades) == min(256, layer["shape"][0])
        assert 0 < shades.max() <= 255
        assert not shades[torch.tensor(layer["inactive"])[:256]].any()
