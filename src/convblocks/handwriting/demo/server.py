"""Serves the page, and what networks make of the drawings that it sends."""

import base64
import io
import sys
import threading
from argparse import Namespace
from collections.abc import Sequence
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import torch

from convblocks.command_line import Parser
from convblocks.data.description import MNIST, Description
from convblocks.data.pictures import to_picture
from convblocks.errors import UsageError, UserError
from convblocks.evaluation.trained import TrainedNetwork, load_network
from convblocks.handwriting.sight import Pixels, look
from convblocks.tables import as_json

# This machine alone: nobody else on the network gets to see the page.
HOST = "127.0.0.1"

PAGE = Path(__file__).with_name("page.html")

# Nothing that the page sends is that large, in bytes and in pixels: it scales larger pictures down.
LARGEST_REQUEST = 1_000_000
LARGEST_DRAWING = 1_000_000

# For how long a connection may say nothing before it is closed, in seconds.
SILENCE = 30

# Connections that wait until they are taken up; the system resets more.
WAITING = 1024


def main(arguments: list[str]) -> None:
    """Serve until Ctrl-C.

    Raises:
        UserError: a checkpoint cannot be used, two are for different images, or the port is taken.
        KeyboardInterrupt: Ctrl-C.
    """
    options = parse(arguments)
    networks = [load_network(path, options.arch) for path in options.checkpoints]
    first, last = networks[0], networks[-1]
    both_digits = (first.description == MNIST) == (last.description == MNIST)  # which are seen in another way
    if not (both_digits and first.description.same_images(last.description)):
        raise UsageError(
            f"{first.path} is for {first.description}, and {last.path} for {last.description}: two networks must "
            "see the same images"
        )
    with open_server(networks, options.port) as server:
        what = "Draw" if first.description == MNIST else "Draw, or choose a picture,"
        print(f"{what} at http://{HOST}:{server.server_port}/ and end with Ctrl-C.", flush=True)
        server.serve_forever()


def parse(arguments: list[str]) -> Namespace:
    parser = Parser()
    parser.add_argument("checkpoints", type=Path, nargs="+")
    parser.add_argument("--arch", action="append", default=[])
    parser.add_argument("--port", type=int, default=8028)
    options = parser.parse_args(arguments)
    if len(options.checkpoints) > 2:
        raise UsageError(f"give one checkpoint, or two to compare, not {len(options.checkpoints)}")
    if not 0 <= options.port < 2**16:
        raise UsageError(f"--port must be in 0..65535, but is {options.port}")
    return options


class Server(ThreadingHTTPServer):
    """Answers with the networks it is given; threads, since browsers hold connections open that they do not use."""

    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = WAITING

    def __init__(self, networks: Sequence[TrainedNetwork], port: int) -> None:
        self.networks = networks
        self.recognises = threading.Lock()  # one picture at a time: more at once take more memory, and are no faster
        super().__init__((HOST, port), Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing where a browser left before its answer came."""
        if not isinstance(sys.exception(), ConnectionError | TimeoutError):
            super().handle_error(request, client_address)


def open_server(networks: Sequence[TrainedNetwork], port: int) -> Server:
    """A server that listens; port 0 stands for any free one.

    Raises:
        UserError: the port is taken, or not for this user.
    """
    try:
        return Server(networks, port)
    except OSError as error:
        raise UserError(f"cannot use port {port} ({error.strerror}): choose another --port") from error


class Handler(BaseHTTPRequestHandler):
    """``GET /`` is the page; ``GET /images`` tells it of what, ``POST /recognise`` takes a picture, both in JSON."""

    server: Server
    protocol_version = "HTTP/1.1"
    timeout = SILENCE

    def do_GET(self) -> None:
        if not self._is_for_us():
            self._answer(HTTPStatus.FORBIDDEN, "text/plain", b"")
        elif self.path == "/":
            self._answer(HTTPStatus.OK, "text/html; charset=utf-8", PAGE.read_bytes())
        elif self.path == "/images":
            content = as_json(of_images(self.server.networks[0].description), indent=None)
            self._answer(HTTPStatus.OK, "application/json", content.encode())
        else:
            self._answer(HTTPStatus.NOT_FOUND, "text/plain", b"")

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length", "")
        if not self._is_for_us():
            self._refuse(HTTPStatus.FORBIDDEN)
        elif self.path != "/recognise":
            self._refuse(HTTPStatus.NOT_FOUND)
        elif not (length.isascii() and length.isdecimal()):
            self._refuse(HTTPStatus.LENGTH_REQUIRED)
        elif len(length) > len(str(LARGEST_REQUEST)) or int(length) > LARGEST_REQUEST:
            self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        else:
            picture = self.rfile.read(int(length))
            with self.server.recognises:
                answer = as_answer(self.server.networks, picture)
            self._answer(HTTPStatus.OK, "application/json", as_json(answer, indent=None).encode())

    def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002  # the base class's name
        """Say nothing: a line for every stroke would bury what matters."""

    def _is_for_us(self) -> bool:
        """Whether the page was asked for under its own name, and by itself: no other site's script gets an answer."""
        host = self.headers.get("Host", "")
        origin = self.headers.get("Origin")  # of the page whose script asks
        return host.split(":")[0] in (HOST, "localhost") and origin in (None, f"http://{host}")

    def _refuse(self, status: HTTPStatus) -> None:
        """Answer without reading the request, which leaves the connection unusable."""
        self.close_connection = True
        self._answer(status, "text/plain", b"")

    def _answer(self, status: HTTPStatus, content_type: str, content: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(content)


def of_images(description: Description) -> dict[str, Any]:
    """What the page must know of the images: their shape, the classes, and whether they are MNIST's digits."""
    return description.as_dict() | {"digits": description == MNIST}


def as_answer(networks: Sequence[TrainedNetwork], content: bytes) -> dict[str, Any]:
    """What the page shows for a picture file: the image that the networks see, and each one's probabilities.

    Where there is nothing to recognise, ``problem`` says why.
    """
    try:
        looks = [look(content, network.description, LARGEST_DRAWING)[1] for network in networks]
        answers = [
            network.probabilities(torch.from_numpy(seen)[None])[0].tolist()
            for network, seen in zip(networks, looks, strict=True)
        ]
    except UserError as error:
        return {"problem": str(error), "networks": [{"name": name(network)} for network in networks]}
    return {
        "seen": as_data_url(looks[0]),
        "networks": [
            {"name": name(network), "probabilities": answer} for network, answer in zip(networks, answers, strict=True)
        ],
    }


def name(network: TrainedNetwork) -> str:
    """The architecture, and the run that the checkpoint belongs to where it lies in a run directory."""
    run = network.path.parent.parent
    return f"{network.arch}: {run.parent.name}/{run.name}" if run.name else f"{network.arch}: {network.path.name}"


def as_data_url(seen: Pixels) -> str:
    content = io.BytesIO()
    to_picture(seen).save(content, "PNG")
    return "data:image/png;base64," + base64.b64encode(content.getvalue()).decode()
