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
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from http.server import ThreadingHTTPServer
from pathlib import Path
from queue import SimpleQueue

import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from convblocks.demo import answers
from convblocks.demo import server as demo
from convblocks.demo.answers import colours_of, run_of
from convblocks.demo.server import HOST, LARGEST_REQUEST, RISK, Handler, Server, open_server, reachable
from convblocks.errors import UsageError, UserError
from convblocks.model.restore import TrainedNetwork
from tests.conftest import REPOSITORY
from tests.demo.pages import running
from tests.scripts import wait_until


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


def png(size: tuple[int, int], mode: str = "L", dot: bool = False) -> bytes:
    """A black picture, or one with a white dot."""
    picture, content = Image.new(mode, size), io.BytesIO()
    if dot:
        picture.putpixel((4, 4), 255)
    picture.save(content, "PNG")
    return content.getvalue()


DOT = png((9, 9), dot=True)


@pytest.mark.parametrize(
    ("path", "run"),
    [("lightning_logs/study/lr=1e-2/seed_3/checkpoints/last.ckpt", "study/lr=1e-2/seed_3"), ("in/a.ckpt", "a.ckpt")],
)
def test_a_network_is_named_after_its_run_or_file(path: str, run: str) -> None:
    assert run_of(TrainedNetwork(Path(path), "mlp", nn.Identity())) == run


def test_a_failing_network_is_a_one_line_answer(plain: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(network: TrainedNetwork, images: Tensor) -> Tensor:
        raise ValueError("no more\nthan\nthat")

    printed: SimpleQueue[BaseException | None] = SimpleQueue()
    monkeypatch.setattr(ThreadingHTTPServer, "handle_error", lambda *_: printed.put(sys.exception()))
    monkeypatch.setattr(TrainedNetwork, "probabilities", fail)
    status, content = request(plain.server_port, "POST", "/recognise", DOT)
    assert (status, content) == (500, b"The server has failed: ValueError: no more than that")
    assert isinstance(printed.get(timeout=30), ValueError)  # the traceback, for its author
    assert request(plain.server_port, "GET", "/")[0] == 200


def test_fifty_requests_at_once_are_all_answered_one_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each has a connection of its own, and all are sent before the first connection is accepted."""
    alone = threading.Lock()

    def compute(network: TrainedNetwork, images: Tensor) -> Tensor:
        assert alone.acquire(blocking=False)
        time.sleep(0.01)
        alone.release()
        return torch.full((len(images), 10), 0.5)

    monkeypatch.setattr(TrainedNetwork, "probabilities", compute)
    with ExitStack() as stack, open_server([TrainedNetwork(Path("a.ckpt"), "mlp", nn.Identity())], port=0) as server:
        clients = [http.client.HTTPConnection(HOST, server.server_port, timeout=60) for _ in range(50)]
        for client in clients:
            stack.enter_context(closing(client)).request("POST", "/recognise", DOT)
        with running(server):
            answers = [client.getresponse().read() for client in clients]
    assert [json.loads(answer)["networks"] for answer in answers] == [[[0.5] * 10]] * 50


def test_what_a_client_asked_that_has_gone_is_not_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A page takes back its last question at each stroke: by closing the connection, or by a reset."""
    computed, may_go_on = [], threading.Event()

    def compute(network: TrainedNetwork, images: Tensor) -> Tensor:
        computed.append(len(images))
        may_go_on.wait(60)
        return torch.full((len(images), 10), 0.5)

    errors: list[object] = []
    monkeypatch.setattr(TrainedNetwork, "probabilities", compute)
    monkeypatch.setattr(ThreadingHTTPServer, "handle_error", lambda *_: errors.append(sys.exception()))
    with open_server([TrainedNetwork(Path("a.ckpt"), "mlp", nn.Identity())], port=0) as server, running(server):
        clients = [http.client.HTTPConnection(HOST, server.server_port, timeout=60) for _ in range(12)]
        clients[0].request("POST", "/recognise", DOT)
        wait_until(lambda: computed)  # the others have threads of their own, and may overtake each other
        for client in clients[1:]:
            client.request("POST", "/recognise", DOT)
        wait_until(lambda: server.worker._work_queue.qsize() == 11)
        for index, client in enumerate(clients[1:11]):
            if index % 2:  # a reset
                client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.close()
        may_go_on.set()
        answers = [client.getresponse().status for client in (clients[0], clients[-1])]
        clients[0].close()
        clients[-1].close()
    assert (answers, computed, errors) == ([200, 200], [1, 1], [])


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
    method: str, path: str, headers: dict[str, str], status: int, plain: Server
) -> None:
    assert plain.server_address[0] == "127.0.0.1"  # out of reach for other machines
    answer, content = request(plain.server_port, method, path, headers=headers)
    assert answer == status
    assert answer in (200, 501) or content.count(b"\n") == 1


@pytest.mark.parametrize(("headers", "status"), [({}, 413), ({"Origin": "http://example.com"}, 403)])
def test_a_refusal_arrives_however_much_is_sent(headers: dict[str, str], status: int, plain: Server) -> None:
    body = bytes(30 * LARGEST_REQUEST)
    for _ in range(3):
        assert request(plain.server_port, "POST", "/recognise", body, headers)[0] == status


@pytest.mark.parametrize(
    ("question", "length", "body", "statuses"),
    [
        ("/recognise", 10, b"no picture", [200]),
        ("/maps", 10, b"no picture", [200]),
        ("/recognise", 500_000, b"no picture", [200]),
        ("/recognise", 10, b"no picture and more HTTP/1.1\r\n\r\n", [200, 501]),
    ],
)
def test_a_wrong_picture_or_content_length_does_no_harm(
    question: str, length: int, body: bytes, statuses: list[int], plain: Server
) -> None:
    """The server does not wait for missing bytes of a closed connection, nor take extra bytes for a picture."""
    with socket.create_connection((HOST, plain.server_port), timeout=10) as connection:
        connection.sendall(f"POST {question} HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: {length}\r\n\r\n".encode())
        connection.sendall(body)
        connection.shutdown(socket.SHUT_WR)
        answers = connection.makefile("rb").read()
    assert [int(status) for status in re.findall(rb"HTTP/1.1 ([2-5]\d\d) ", answers)] == statuses
    assert b'{"problem": "it is not in a supported format (PNG, JPEG, GIF, WEBP, BMP)"}' in answers


def test_an_idle_connection_is_closed(plain: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Handler, "timeout", 0.2)
    for beginning in (b"", b"POST /recog", b"POST /recognise HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n"):
        with socket.create_connection((HOST, plain.server_port), timeout=10) as connection:
            connection.sendall(beginning)
            assert connection.recv(1) == b""


def hostile_pictures() -> dict[str, bytes]:
    """Small files whose pixels would take hundreds of megabytes."""
    large = png((12_000, 12_000), "1")
    size = struct.pack("<HH", 12_000, 12_000)
    icon = struct.pack("<HHHBBBBHHII", 0, 1, 1, 16, 16, 0, 0, 1, 32, len(large), 22) + large
    gif = b"GIF89a" + size + b"\0" * 3 + b"," + b"\0" * 4 + size + b"\0\2\1\0;"
    content = io.BytesIO()
    Image.new("L", (9, 9)).save(content, "WEBP", save_all=True, append_images=[Image.new("L", (9, 9), 255)])
    webp = bytearray(content.getvalue())
    webp[24:30] = 2 * (12_000 - 1).to_bytes(3, "little")
    return {"PNG": large, "icon": icon, "GIF": gif, "WEBP": bytes(webp)}


def test_the_command_takes_bounded_memory_until_ctrl_c(trained: Path) -> None:
    """Pictures of too many pixels take none; the largest ones at once take no more than one of them."""
    pictures, largest = hostile_pictures(), png((1000, 1000)).ljust(LARGEST_REQUEST, b"\0")
    command = [sys.executable, str(REPOSITORY / "scripts" / "demo.py"), str(trained), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        (port,) = re.findall(rf"^Draw at http://{HOST}:(\d+)/", process.stdout.readline())

        def problem_of(picture: bytes) -> str:
            return str(json.loads(request(int(port), "POST", "/recognise", picture)[1])["problem"])

        def peak() -> int:
            """The peak memory of the process in megabytes."""
            status = Path(f"/proc/{process.pid}/status").read_text()
            return int(re.findall(r"VmHWM:\s+(\d+)", status)[0]) // 1024

        before_any = peak()
        assert problem_of(largest) == "it is blank"
        before = peak()
        problems = {name: problem_of(content) for name, content in pictures.items()}
        with_hostile = peak()
        with ThreadPoolExecutor(20) as clients:
            assert list(clients.map(problem_of, [largest] * 20)) == ["it is blank"] * 20
        assert before - before_any < 100
        assert with_hostile - before < 20
        assert peak() - before < 20 + 30  # the requests, and those in the queue
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (130, "")
    assert max(map(len, pictures.values())) < LARGEST_REQUEST
    too_large = "it is too large (12,000 x 12,000 pixels): scale it down"
    not_taken = "it is not in a supported format (PNG, JPEG, GIF, WEBP, BMP)"
    assert problems == {"PNG": too_large, "icon": not_taken, "GIF": too_large, "WEBP": too_large}


def test_a_taken_port_is_an_error() -> None:
    with socket.socket() as taken:
        taken.bind((HOST, 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=rf"cannot use port {port} \(Address already in use\)"):
            open_server([], port)


def test_another_address_is_served_if_asked_for_under_no_other_name(plain: Server) -> None:
    """127.0.0.2 stands for this machine's address in a network."""
    with open_server(plain.networks, port=0, host="0.0.0.0") as server, running(server):
        for host, origin, status in [
            ("127.0.0.2", None, 200),
            ("127.0.0.2", "http://127.0.0.2", 200),
            ("127.0.0.2", "http://example.com", 403),
            ("example.com", None, 403),
            ("127.0.0.1", None, 403),
        ]:
            connection = http.client.HTTPConnection("127.0.0.2", server.server_port, timeout=60)
            headers = {"Host": host} | ({"Origin": origin} if origin else {})
            connection.request("GET", "/setup", headers=headers)
            assert connection.getresponse().status == status, (host, origin)
            connection.close()


def test_the_default_address_is_this_machines_alone(plain: Server) -> None:
    assert plain.server_address[0] == HOST
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.2", plain.server_port), timeout=5)
    assert reachable(HOST) == HOST
    assert reachable("0.0.0.0") != "0.0.0.0"


@pytest.mark.parametrize("host", ["192.0.2.1", "x" * 70])
def test_an_address_of_another_machine_is_an_error(host: str) -> None:
    with pytest.raises(UserError, match=f"^--host {host} is no address of this machine"):
        open_server([], 0, host)


def test_the_risk_of_another_address_is_said(
    trained: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Server, "serve_forever", lambda server: None)
    for host, risk in ((HOST, False), ("0.0.0.0", True)):
        monkeypatch.setattr(demo, "reachable", lambda address, host=host: "192.0.2.7" if host != HOST else address)
        demo.main([str(trained), "--port", "0", "--host", host])
        assert (RISK in capsys.readouterr().out) == risk


def test_five_networks_are_too_many() -> None:
    with pytest.raises(UsageError, match="give 1 to 4 checkpoints, not 5"):
        demo.main(["a", "b", "c", "d", "e"])


def test_networks_for_different_images_are_refused_in_one_line(trained: Path, trained_on_shapes: Path) -> None:
    with pytest.raises(UsageError, match=r"^.* is for 1 x 28 x 28 pixels, 10 classes.* must see the same images$"):
        demo.main([str(trained), str(trained_on_shapes)])


@pytest.mark.parametrize(
    ("archs", "colours"),
    [
        (["maxpool", "batchnorm"], [1, 2]),
        (["own.Network", "mlp"], [3, 0]),
        (["maxpool", "maxpool"], [0, 1]),
        (["own.A", "own.B", "mlp"], [0, 1, 2]),
    ],
    ids=["course", "own", "twice", "too many"],
)
def test_a_network_has_its_colour_of_the_figures_unless_two_would_share_one(
    archs: list[str], colours: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answers, "ARCHITECTURES", ["mlp", "maxpool", "batchnorm"])
    assert colours_of(archs) == colours
