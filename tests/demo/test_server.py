"""What the demo's server answers and refuses, and the layers that it shows of a network."""

import http.client
import io
import json
import re
import signal
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from convblocks.data.images import MNIST, ImageSets
from convblocks.demo import server as demo
from convblocks.demo.answers import LARGEST, colours_of, layers_of, setup
from convblocks.demo.server import HOST, RISK, Server, reachable
from convblocks.diagnosis.dead_units import dead_shares
from convblocks.errors import UsageError, UserError
from convblocks.model.networks import build_network
from convblocks.model.restore import TrainedNetwork
from tests.conftest import REPOSITORY
from tests.demo.pages import running


def request(
    port: int, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None, host: str = HOST
) -> tuple[int, bytes]:
    """The status and the content of an answer."""
    connection = http.client.HTTPConnection(host, port, timeout=60)
    connection.request(method, path, body, headers or {})
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer.status, content


def png(size: tuple[int, int], dot: bool = False) -> bytes:
    """A black picture, or one with a white dot."""
    picture, content = Image.new("L", size), io.BytesIO()
    if dot:
        picture.putpixel((4, 4), 255)
    picture.save(content, "PNG")
    return content.getvalue()


DOT = png((9, 9), dot=True)


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("GET", "/", {"Host": "localhost"}, 200),
        ("GET", "/style.css", {}, 200),
        ("GET", "/other", {}, 404),
        ("GET", "/../server.py", {}, 404),
        ("GET", "/setup", {"Origin": "http://example.com"}, 403),
        ("GET", "/", {"Host": "example.com"}, 403),
        ("HEAD", "/", {"Host": "localhost.example.com"}, 403),
        ("POST", "/other", {}, 404),
        ("POST", "/answer", {"Host": "example.com:80"}, 403),
        ("POST", "/answer", {"Origin": "null"}, 403),
        ("POST", "/answer", {"Origin": "http://127.0.0.1:1"}, 403),
        ("POST", "/answer", {"Content-Length": "many"}, 413),
        ("POST", "/answer", {"Content-Length": str(LARGEST + 1)}, 413),
        ("POST", "/answer", {"Content-Length": "9" * 5000}, 413),
        ("POST", "/answer", {"Transfer-Encoding": "chunked"}, 413),
        ("PUT", "/answer", {}, 501),
    ],
)
def test_requests_are_answered_or_refused(
    method: str, path: str, headers: dict[str, str], status: int, plain: Server
) -> None:
    assert request(plain.server_port, method, path, headers=headers)[0] == status


def test_a_failing_network_is_a_one_line_answer(
    plain: Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(network: TrainedNetwork, images: Tensor) -> Tensor:
        raise ValueError("no more\nthan\nthat")

    monkeypatch.setattr(TrainedNetwork, "probabilities", fail)
    assert request(plain.server_port, "POST", "/answer", DOT) == (200, b'{"problem": "ValueError: no more than that"}')
    assert "Traceback" in capsys.readouterr().err  # for its author
    assert request(plain.server_port, "GET", "/")[0] == 200


def test_fifty_requests_at_once_are_answered_one_after_the_other(
    plain: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = threading.Lock()

    def compute(network: TrainedNetwork, images: Tensor) -> Tensor:
        assert alone.acquire(blocking=False)
        alone.release()
        return torch.full((len(images), 10), 0.5)

    monkeypatch.setattr(TrainedNetwork, "probabilities", compute)
    with ThreadPoolExecutor(50) as clients:
        answers = list(clients.map(lambda _: request(plain.server_port, "POST", "/answer", DOT), range(50)))
    assert [json.loads(content)["networks"] for _, content in answers] == [[[0.5] * 10]] * 50


def test_a_picture_that_cannot_be_used_is_a_problem(plain: Server) -> None:
    for picture, problem in ((b"no picture", "it is not a picture"), (png((2000, 2000)), "it is too large")):
        status, content = request(plain.server_port, "POST", "/layers", picture)
        assert status == 200
        assert problem in json.loads(content)["problem"]


def test_the_command_serves_until_ctrl_c(trained: Path) -> None:
    command = [sys.executable, str(REPOSITORY / "scripts" / "demo.py"), str(trained), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        (port,) = re.findall(rf"^Draw at http://{HOST}:(\d+)/", process.stdout.readline())
        assert json.loads(request(int(port), "POST", "/answer", png((9, 9)))[1]) == {"problem": "it is blank"}
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (130, "")


def test_another_address_is_served_if_asked_for_under_no_other_name(plain: Server) -> None:
    """127.0.0.2 stands for this machine's address in a network."""
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.2", plain.server_port), timeout=5)
    with Server(plain.networks, 0, "0.0.0.0") as server, running(server):
        for host, origin, expected in [
            ("127.0.0.2", {}, 200),
            ("127.0.0.2", {"Origin": "http://127.0.0.2"}, 200),
            ("127.0.0.2", {"Origin": "http://example.com"}, 403),
            ("example.com", {}, 403),
            ("127.0.0.1", {}, 403),
        ]:
            status, _ = request(server.server_port, "GET", "/setup", headers={"Host": host} | origin, host="127.0.0.2")
            assert status == expected, (host, origin)


def test_a_taken_port_and_an_address_of_another_machine_are_errors(plain: Server) -> None:
    for port, host in ((plain.server_port, HOST), (70_000, HOST), (0, "192.0.2.1"), (0, "x" * 70)):
        with pytest.raises(UserError, match=f"^cannot serve at {host}, port {port} .*: give another --port or --host$"):
            Server([], port, host)


def test_the_risk_of_another_address_is_said(
    trained: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert reachable(HOST) == HOST
    assert reachable("0.0.0.0") != "0.0.0.0"
    monkeypatch.setattr(Server, "serve_forever", lambda server: None)
    for host, risk in ((HOST, False), ("0.0.0.0", True)):
        monkeypatch.setattr(demo, "reachable", lambda address, host=host: "192.0.2.7" if host != HOST else address)
        demo.main([str(trained), "--port", "0", "--host", host])
        assert (RISK in capsys.readouterr().out) == risk


def test_networks_that_cannot_stand_side_by_side_are_refused_in_one_line(
    trained: Path, trained_on_shapes: Path
) -> None:
    with pytest.raises(UsageError, match="give 1 to 4 checkpoints, not 5"):
        demo.main(["a", "b", "c", "d", "e"])
    with pytest.raises(UsageError, match=r"^.* is for 1 x 28 x 28 pixels, 10 classes.* must see the same images$"):
        demo.main([str(trained), str(trained_on_shapes)])


def test_a_network_is_named_after_its_run_and_has_its_colour_of_the_figures() -> None:
    path = Path("lightning_logs/study/lr=1e-2/seed_3/checkpoints/last.ckpt")
    (entry,) = setup([TrainedNetwork(path, "mlp", nn.Identity())])["networks"]
    assert (entry["run"], entry["weights"]) == ("study/lr=1e-2/seed_3", None)
    assert colours_of(["maxpool", "batchnorm"]) == [1, 2]
    assert colours_of(["maxpool", "maxpool"]) == [0, 1]
    assert colours_of(["own.A", "mlp"]) == [0, 1]


@pytest.mark.parametrize(
    ("network", "shapes"),
    [
        (build_network("mlp"), [[100, 1, 1]]),
        (build_network("batchnorm"), [[32, 14, 14], [64, 7, 7], [100, 4, 4]]),
        # Reads row by row, and has more units than are shown.
        (
            nn.Sequential(nn.Flatten(1, 2), nn.Linear(28, 300), nn.ReLU(), nn.Flatten(), nn.LazyLinear(10)),
            [[300, 1, 28]],
        ),
    ],
    ids=["mlp", "batchnorm", "own"],
)
def test_each_relu_has_its_maps_of_which_a_run_would_count_the_inactive_as_dead(
    network: nn.Module, shapes: list[list[int]], digits: ImageSets
) -> None:
    seven = digits.test.images[:1]
    layers = layers_of(TrainedNetwork(Path("last.ckpt"), "own", network.eval()), seven)
    assert [layer["shape"] for layer in layers] == shapes
    shares = dead_shares(network, [MNIST.normalize(seven)])
    found = {layer["name"]: sum(layer["inactive"]) / len(layer["inactive"]) for layer in layers}
    assert found == pytest.approx(shares)
    for layer in layers:
        shades = torch.tensor(layer["shades"])
        assert (len(shades), int(shades.max())) == (min(256, layer["shape"][0]), 255)
        assert not shades[torch.tensor(layer["inactive"])[:256]].any()
