"""Serve a page to draw digits on, and watch networks answer.

usage: convblocks demo CHECKPOINT... [options]

The page is served to this machine only, unless --host says otherwise. Draw with the mouse or a finger, or choose a
picture if the network was trained on pictures. Probabilities, the image that the network sees, and the output of its
ReLUs are shown; up to four networks stand side by side. Stop it with Ctrl-C.

  --arch NAME          allow a network of your own to be imported, such as mynets.Rows
  --port N             port of the page, 0 for any free one (default: 8028)
  --host ADDRESS       address to serve it at: 0.0.0.0 lets a phone open it, and everyone else in the same network
                       (default: 127.0.0.1)

Example:
  convblocks demo lightning_logs/mlp/version_0/checkpoints/last.ckpt
"""

import os
import socket
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from errno import EADDRNOTAVAIL
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from socket import gaierror
from typing import Any

import torch

from convblocks.command_line import Parser
from convblocks.console import echo
from convblocks.data.images import MNIST
from convblocks.demo.answers import QUESTIONS, Answer, answer, setup
from convblocks.errors import UsageError, UserError
from convblocks.model.restore import TrainedNetwork, load_network
from convblocks.text import as_json

# The loopback interface: the page cannot be reached from other machines.
HOST = "127.0.0.1"

RISK = "Anyone in this network can open it, and what is drawn travels unencrypted. Do this in a network you trust."

PAGE = Path(__file__).with_name("page")
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
}
FILES = {f"/{path.name}": path for path in PAGE.iterdir() if path.suffix in TYPES} | {"/": PAGE / "index.html"}

# The page may load its own files, show the pictures in the answers, and send requests to this server only.
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}

# In bytes. The page scales larger pictures down.
LARGEST_REQUEST = 1_000_000

# As many as fit side by side.
MOST_NETWORKS = 4

# In seconds: until an idle connection is closed, for which the rest of a refused request is read, and in which the
# machine of a client says that nobody listens.
IDLE, LINGER, GONE = 30, 5, 0.01

# Connections that wait to be accepted; further ones are reset.
BACKLOG = 1024


def main(arguments: list[str]) -> None:
    """Serve until Ctrl-C.

    Raises:
        UserError: a checkpoint cannot be used, two take different images, or the address or port cannot be used.
        KeyboardInterrupt: Ctrl-C.
    """
    parser = Parser()
    parser.add_argument("checkpoints", type=Path, nargs="+")
    parser.add_argument("--arch", action="append", default=[])
    parser.add_argument("--port", type=int, default=8028)
    parser.add_argument("--host", default=HOST)
    options = parser.parse_args(arguments)
    if len(options.checkpoints) > MOST_NETWORKS:
        raise UsageError(f"give 1 to {MOST_NETWORKS} checkpoints, not {len(options.checkpoints)}")
    if not 0 <= options.port < 2**16:
        raise UsageError(f"--port must be in 0..65535, not {options.port}")
    if "OMP_NUM_THREADS" not in os.environ:
        # A single image is no faster on several cores, and far slower where other programs keep them busy.
        torch.set_num_threads(1)
    networks = [load_network(path, options.arch) for path in options.checkpoints]
    check_images(networks)
    with open_server(networks, options.port, options.host) as server:
        verb = "Draw" if networks[0].image_spec == MNIST else "Draw, or choose a picture,"
        address = reachable(str(server.server_address[0]))
        echo(f"{verb} at http://{address}:{server.server_port}/ (Ctrl-C ends the demo)")
        if not ip_address(address).is_loopback:
            echo(RISK)
        server.serve_forever()


def check_images(networks: Sequence[TrainedNetwork]) -> None:
    """Refuse networks that would see different images of the same drawing."""
    first = networks[0]
    for other in networks[1:]:
        seen_alike = (first.image_spec == MNIST) == (other.image_spec == MNIST)  # MNIST's images are preprocessed
        if not (seen_alike and first.image_spec.same_images(other.image_spec)):
            raise UsageError(
                f"{first.path} is for {first.image_spec}, and {other.path} for {other.image_spec}: all networks must "
                "see the same images"
            )


def reachable(address: str) -> str:
    """The address under which other machines reach a server at this one; that of the default route for 0.0.0.0."""
    if not ip_address(address).is_unspecified:
        return address
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe, suppress(OSError):
        probe.connect(("192.0.2.1", 9))  # an address for documentation; nothing is sent
        return str(probe.getsockname()[0])
    return HOST


class Server(ThreadingHTTPServer):
    """Holds the networks. It has a thread for each connection, since browsers keep idle connections open."""

    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = BACKLOG

    def __init__(self, networks: Sequence[TrainedNetwork], port: int, host: str) -> None:
        self.networks = networks
        # A single thread computes all answers: several would take memory each, and be no faster.
        self.worker = ThreadPoolExecutor(max_workers=1)
        super().__init__((host, port), Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore clients that have gone before their answer came."""
        if not isinstance(sys.exception(), ConnectionError | TimeoutError):
            super().handle_error(request, client_address)


def open_server(networks: Sequence[TrainedNetwork], port: int, host: str = HOST) -> Server:
    """A listening server; port 0 picks a free one.

    Raises:
        UserError: the port is taken, or not allowed for this user, or this machine does not have the address.
    """
    try:
        return Server(networks, port, host)
    except (OSError, UnicodeError) as error:
        if not isinstance(error, OSError) or isinstance(error, gaierror) or error.errno == EADDRNOTAVAIL:
            raise UserError(f"--host {host} is no address of this machine: give 0.0.0.0 for all it has") from error
        raise UserError(f"cannot use port {port} ({error.strerror}): choose another --port") from error


class Handler(BaseHTTPRequestHandler):
    """``GET /`` is the page, ``GET /setup`` what it needs at first, and ``POST`` a question about a picture."""

    server: Server
    protocol_version = "HTTP/1.1"
    timeout = IDLE

    def do_GET(self) -> None:
        if not self._is_allowed():
            self._refuse(HTTPStatus.FORBIDDEN)
        elif self.path == "/setup":
            self._send(HTTPStatus.OK, "application/json", as_json(setup(self.server.networks), indent=None))
        elif self.path in FILES:
            file = FILES[self.path]
            self._send(HTTPStatus.OK, TYPES[file.suffix], file.read_text())
        else:
            self._refuse(HTTPStatus.NOT_FOUND)

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length", "")
        if not self._is_allowed():
            self._refuse(HTTPStatus.FORBIDDEN)
        elif self.path not in QUESTIONS:
            self._refuse(HTTPStatus.NOT_FOUND)
        elif not (length.isascii() and length.isdecimal()):
            self._refuse(HTTPStatus.LENGTH_REQUIRED)
        elif len(length) > len(str(LARGEST_REQUEST)) or int(length) > LARGEST_REQUEST:
            self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        else:
            self._answer(self.rfile.read(int(length)))

    def _is_allowed(self) -> bool:
        """Whether the request is from this page: scripts of other sites are refused, under any host name.

        Only the address that the client has connected to is a host name of this page, and localhost.
        """
        host = self.headers.get("Host", "")
        origin = self.headers.get("Origin")
        own = (self.connection.getsockname()[0], "localhost")
        return host.split(":")[0] in own and origin in (None, f"http://{host}")

    def _answer(self, picture: bytes) -> None:
        try:
            content = self.server.worker.submit(self._compute, picture).result()
        except ConnectionError:
            raise  # the client has gone
        except Exception as error:  # a user's own network may raise anything
            reason = " ".join(f"The server has failed: {type(error).__name__}: {error}".split())
            self.close_connection = True
            self._send(HTTPStatus.INTERNAL_SERVER_ERROR, "text/plain; charset=utf-8", reason)
            raise
        self._send(HTTPStatus.OK, "application/json", as_json(content, indent=None))

    def _compute(self, picture: bytes) -> Answer:
        """The answer, unless the client has gone: the page takes back its question at the next stroke.

        A client that only sends no more looks the same, until something is sent to it.
        """
        if self.request_version == "HTTP/1.1" and self._is_at_end():
            self.send_response_only(HTTPStatus.PROCESSING)
            self.end_headers()
            time.sleep(GONE)
            if self.connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                raise ConnectionAbortedError
        return answer(self.path, self.server.networks, picture)

    def _is_at_end(self) -> bool:
        """Whether the client sends no more; raises if it has reset the connection."""
        self.connection.setblocking(False)
        try:
            return not self.connection.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return False
        finally:
            self.connection.settimeout(self.timeout)

    def _refuse(self, status: HTTPStatus) -> None:
        """Answer with one line, and close the connection."""
        self.close_connection = True
        self._send(status, "text/plain; charset=utf-8", f"{status.phrase}: {status.description}.\n")
        # Closing with unread data would reset the connection, and the client would never see the answer.
        end = time.monotonic() + LINGER
        with suppress(OSError):
            self.connection.shutdown(socket.SHUT_WR)
            self.connection.settimeout(LINGER)
            while time.monotonic() < end and self.connection.recv(2**16):
                pass

    def _send(self, status: HTTPStatus, content_type: str, text: str) -> None:
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

    def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002  # the base class's name
        """Print nothing: every stroke is a request."""
