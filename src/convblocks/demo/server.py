"""Serve a page to draw digits on, and watch networks answer.

usage: convblocks demo CHECKPOINT... [options]

The page is served to this machine only, unless --host says otherwise. Draw with the mouse or a finger, or choose a
picture if the network was trained on pictures. Probabilities, the image that the network sees, and what its layers make
of it are shown, for up to four networks. Stop it with Ctrl-C.

  --arch NAME          allow a network of your own to be imported, such as mynets.Rows
  --port N             port of the page, 0 for any free one (default: 8028)
  --host ADDRESS       address to serve it at: 0.0.0.0 lets a phone open it, and everyone else in the same network
                       (default: 127.0.0.1)

Example:
  convblocks demo lightning_logs/mlp/version_0/checkpoints/last.ckpt
"""

import socket
import sys
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from http import HTTPStatus
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from threading import Lock
from typing import Any

import torch

from convblocks.command_line import Parser
from convblocks.console import echo
from convblocks.data.images import MNIST
from convblocks.demo.answers import LARGEST, Answer, answer, setup
from convblocks.errors import UsageError, UserError
from convblocks.model.restore import TrainedNetwork, load_network
from convblocks.text import as_json

# The loopback interface: the page cannot be reached from other machines.
HOST = "127.0.0.1"

RISK = "Anyone in this network can open it, and what is drawn travels unencrypted. Do this in a network you trust."

PAGE = Path(__file__).with_name("page")

# The page may load its own files, and send requests to this server; no other page may show it.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)

MOST_NETWORKS = 4  # as many as fit side by side


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
    torch.set_num_threads(1)  # a single image is no faster on several, and far slower where other programs use them
    networks = [load_network(path, options.arch) for path in options.checkpoints]
    check_images(networks)
    with Server(networks, options.port, options.host) as server:
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
        is_alike = (first.image_spec == MNIST) == (other.image_spec == MNIST)  # MNIST's images are preprocessed
        if not (is_alike and first.image_spec.same_images(other.image_spec)):
            given = f"{first.path} is for {first.image_spec}, and {other.path} for {other.image_spec}"
            raise UsageError(f"{given}: all networks must see the same images")


def reachable(address: str) -> str:
    """The address under which other machines reach a server at this one; that of the default route for 0.0.0.0."""
    if not ip_address(address).is_unspecified:
        return address
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe, suppress(OSError):
        probe.connect(("192.0.2.1", 9))  # an address for documentation; nothing is sent
        return str(probe.getsockname()[0])
    return HOST


class Server(ThreadingHTTPServer):
    """Holds the networks, and listens; port 0 picks a free one.

    Raises:
        UserError: the port is taken, or not allowed for this user, or this machine does not have the address.
    """

    daemon_threads = True
    request_queue_size = 128  # a browser asks for all files at once

    def __init__(self, networks: Sequence[TrainedNetwork], port: int, host: str = HOST) -> None:
        self.networks = networks
        self.computing = Lock()  # several answers at once would take memory each, and be no faster
        try:
            super().__init__((host, port), partial(Handler, directory=str(PAGE)))
        except (OSError, OverflowError, UnicodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            raise UserError(f"cannot serve at {host}, port {port} ({reason}): give another --port or --host") from error

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore clients that have gone before their answer came."""
        if not isinstance(sys.exception(), ConnectionError | TimeoutError):
            super().handle_error(request, client_address)


class Handler(SimpleHTTPRequestHandler):
    """A file of the page, or ``/setup``, what it needs at first; to a picture, ``/answer``, or ``/layers`` too."""

    server: Server
    timeout = 30  # in seconds, for a client that sends nothing

    def parse_request(self) -> bool:
        """Refuse scripts of other sites, under any host name.

        Only the address that the client has connected to is a host name of this page, and localhost.
        """
        if not super().parse_request():
            return False
        host, own = self.headers.get("Host", ""), (self.connection.getsockname()[0], "localhost")
        if host.split(":")[0] in own and self.headers.get("Origin") in (None, f"http://{host}"):
            return True
        self.send_error(HTTPStatus.FORBIDDEN)
        return False

    def do_GET(self) -> None:
        if self.path == "/setup":
            self._send(setup(self.server.networks))
        else:
            super().do_GET()

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length", "")[:9]
        if self.path not in ("/answer", "/layers"):
            self.send_error(HTTPStatus.NOT_FOUND)
        elif not length.isdecimal() or int(length) > LARGEST:
            self.send_error(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        else:
            picture = self.rfile.read(int(length))
            with self.server.computing:
                content = answer(self.server.networks, picture, with_layers=self.path == "/layers")
            self._send(content)

    def _send(self, content: Answer) -> None:
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(as_json(content, indent=None).encode())

    def end_headers(self) -> None:
        self.send_header("Cache-Control", "no-store")
        self.send_header("Content-Security-Policy", POLICY)
        super().end_headers()

    def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002  # the base class's name
        """Print nothing: every stroke is a request."""
