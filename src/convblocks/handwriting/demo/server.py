"""Serves the page, and what networks make of the drawings that it sends."""

import socket
import sys
import time
from argparse import Namespace
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from convblocks.command_line import Parser
from convblocks.data.image_spec import MNIST
from convblocks.errors import UsageError, UserError
from convblocks.evaluation.trained import TrainedNetwork, load_network
from convblocks.handwriting.demo.answers import mapped, recognised, setup
from convblocks.tables import as_json

# This machine alone: nobody else on the network gets to see the page.
HOST = "127.0.0.1"

PAGE = Path(__file__).with_name("page")
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
}
FILES = {f"/{path.name}": path for path in PAGE.iterdir() if path.suffix in TYPES} | {"/": PAGE / "index.html"}

# What the page may do: load its own files, show the pictures in the answers, and ask this server.
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}

# What the page asks about a picture.
QUESTIONS = {"/recognise": recognised, "/maps": mapped}

# Bytes; nothing that the page sends is that large: it scales larger pictures down.
LARGEST_REQUEST = 1_000_000

# So many networks fit side by side.
MOST_NETWORKS = 4

# For how long a connection may say nothing before it is closed, and what is refused may still be sent, in seconds.
DEAD, LINGERING = 30, 5

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
    check_images(networks)
    first = networks[0]
    with open_server(networks, options.port) as server:
        what = "Draw" if first.image_spec == MNIST else "Draw, or choose a picture,"
        print(f"{what} at http://{HOST}:{server.server_port}/ and end with Ctrl-C.", flush=True)
        server.serve_forever()


def parse(arguments: list[str]) -> Namespace:
    parser = Parser()
    parser.add_argument("checkpoints", type=Path, nargs="+")
    parser.add_argument("--arch", action="append", default=[])
    parser.add_argument("--port", type=int, default=8028)
    options = parser.parse_args(arguments)
    if len(options.checkpoints) > MOST_NETWORKS:
        raise UsageError(f"give 1 to {MOST_NETWORKS} checkpoints, not {len(options.checkpoints)}")
    if not 0 <= options.port < 2**16:
        raise UsageError(f"--port must be in 0..65535, but is {options.port}")
    return options


def check_images(networks: Sequence[TrainedNetwork]) -> None:
    """Refuse networks for different images: what is drawn must look the same to all of them."""
    first = networks[0]
    for other in networks[1:]:
        both_digits = (first.image_spec == MNIST) == (other.image_spec == MNIST)  # which are seen in another way
        if not (both_digits and first.image_spec.same_images(other.image_spec)):
            raise UsageError(
                f"{first.path} is for {first.image_spec}, and {other.path} for {other.image_spec}: all networks must "
                "see the same images"
            )


class Server(ThreadingHTTPServer):
    """Answers with the networks it is given; threads, since browsers hold connections open that they do not use."""

    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = WAITING

    def __init__(self, networks: Sequence[TrainedNetwork], port: int) -> None:
        self.networks = networks
        # One picture at a time, and by one thread: more take more memory, each some of its own, and are no faster.
        self.recogniser = ThreadPoolExecutor(max_workers=1)
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
    """``GET /`` is the page; ``GET /setup`` tells it of what, ``POST`` asks about a picture, both answered in JSON."""

    server: Server
    protocol_version = "HTTP/1.1"
    timeout = DEAD

    def do_GET(self) -> None:
        if not self._is_for_us():
            self._refuse(HTTPStatus.FORBIDDEN)
        elif self.path == "/setup":
            self._answer(HTTPStatus.OK, "application/json", as_json(setup(self.server.networks), indent=None))
        elif self.path in FILES:
            file = FILES[self.path]
            self._answer(HTTPStatus.OK, TYPES[file.suffix], file.read_text())
        else:
            self._refuse(HTTPStatus.NOT_FOUND)

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length", "")
        if not self._is_for_us():
            self._refuse(HTTPStatus.FORBIDDEN)
        elif self.path not in QUESTIONS:
            self._refuse(HTTPStatus.NOT_FOUND)
        elif not (length.isascii() and length.isdecimal()):
            self._refuse(HTTPStatus.LENGTH_REQUIRED)
        elif len(length) > len(str(LARGEST_REQUEST)) or int(length) > LARGEST_REQUEST:
            self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        else:
            self._recognise(self.rfile.read(int(length)))

    def _recognise(self, picture: bytes) -> None:
        try:
            answer = self.server.recogniser.submit(QUESTIONS[self.path], self.server.networks, picture).result()
        except Exception as error:  # a network of the user's own may raise anything
            reason = " ".join(f"The server has failed: {type(error).__name__}: {error}".split())
            self.close_connection = True
            self._answer(HTTPStatus.INTERNAL_SERVER_ERROR, "text/plain; charset=utf-8", reason)
            raise
        self._answer(HTTPStatus.OK, "application/json", as_json(answer, indent=None))

    def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002  # the base class's name
        """Say nothing: a line for every stroke would bury what matters."""

    def _is_for_us(self) -> bool:
        """Whether the page was asked for under its own name, and by itself: no other site's script gets an answer."""
        host = self.headers.get("Host", "")
        origin = self.headers.get("Origin")  # of the page whose script asks
        return host.split(":")[0] in (HOST, "localhost") and origin in (None, f"http://{host}")

    def _refuse(self, status: HTTPStatus) -> None:
        """Answer with a line, and close the connection: nobody looks at what is left of the request."""
        self.close_connection = True
        self._answer(status, "text/plain; charset=utf-8", f"{status.phrase}: {status.description}.\n")
        # It is read all the same, for a while: closing before that would reset the connection, and lose the answer.
        self.connection.shutdown(socket.SHUT_WR)
        self.connection.settimeout(LINGERING)
        end = time.monotonic() + LINGERING
        with suppress(OSError):
            while time.monotonic() < end and self.connection.recv(2**16):
                pass

    def _answer(self, status: HTTPStatus, content_type: str, text: str) -> None:
        content = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(content)))
        if self.close_connection:
            self.send_header("Connection", "close")
        for name, value in HEADERS.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)
