"""Serve a page to draw digits on, and watch networks answer.

usage: convblocks demo CHECKPOINT... [options]

Draw with the mouse or a finger, or choose a picture, and see the probabilities
and layers of up to four networks. The page is served to this machine only.
Stop it with Ctrl-C.

  --arch NAME          allow the import of your own network, such as mynets.Rows
  --weights_only false  read the objects in a checkpoint of your own
  --threads N          CPU threads (default: 1)
  --port N             port of the page, 0 for any free one (default: 8028)

Example:
  convblocks demo lightning_logs/mlp/version_0/checkpoints/last.ckpt
"""

import sys
from collections.abc import Sequence
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock
from typing import Any

import torch

from convblocks.command_line import Parser
from convblocks.console import echo
from convblocks.data.images import MNIST
from convblocks.demo.answers import Answer, answer, setup
from convblocks.errors import UsageError, UserError
from convblocks.model.restore import TrainedNetwork, load_network
from convblocks.text import as_json

# The loopback interface: the page cannot be reached from other machines.
HOST = "127.0.0.1"

PAGE = Path(__file__).with_name("page")

# More bytes than a drawing has, or a picture of the size that is answered.
MOST_BYTES = 100_000_000

# Python reads no number from more than thousands of them.
MOST_DIGITS = 20

# The page has places for so many.
MOST_NETWORKS = 4


def main(arguments: list[str]) -> None:
    """Serve until Ctrl-C.

    Raises:
        UserError: a checkpoint cannot be used, two take different images, or the port
            cannot be used.
        KeyboardInterrupt: Ctrl-C.
    """
    parser = Parser()
    parser.add_argument("checkpoints", type=Path, nargs="+")
    parser.add_loading()
    parser.add_argument("--port", type=int, default=8028)
    options = parser.parse_args(arguments)
    if len(options.checkpoints) > MOST_NETWORKS:
        raise UsageError(f"give at most {MOST_NETWORKS} checkpoints: the page has no room for more")
    # A single image is no faster on several, and far slower where other programs use them.
    torch.set_num_threads(1)
    networks = [
        load_network(path, options.arch, options.weights_only, options.threads)
        for path in options.checkpoints
    ]
    spec = networks[0].image_spec
    if not all(trained.image_spec.same_images(spec) for trained in networks):
        raise UsageError(
            "these networks were trained on different images: they cannot see the same drawing"
        )
    with Server(networks, options.port) as server:
        verb = "Draw" if spec == MNIST else "Draw, or choose a picture,"
        echo(f"{verb} at http://{HOST}:{server.server_port}/ (Ctrl-C ends the demo)")
        server.serve_forever()


class Server(ThreadingHTTPServer):
    """Holds the networks, and listens; port 0 picks a free one.

    Raises:
        UserError: the port is taken, or not allowed for this user.
    """

    request_queue_size = 128  # a browser asks for all files at once
    computing = Lock()  # the layers of two pictures would be mixed up

    def __init__(self, networks: Sequence[TrainedNetwork], port: int) -> None:
        self.networks = networks
        try:
            super().__init__((HOST, port), partial(Handler, directory=PAGE))
        except (OSError, OverflowError) as error:
            raise UserError(
                f"cannot serve at port {port} ({error}): give another --port"
            ) from error

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Print a traceback, unless the other side has gone."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class Handler(SimpleHTTPRequestHandler):
    """A file of the page, or ``/setup``, what it needs at first; to a picture,
    ``/answer``, or ``/layers`` too.
    """

    server: Server

    def parse_request(self) -> bool:
        """Refuse scripts of other sites, under any host name."""
        if not super().parse_request():
            return False
        host = self.headers.get("Host", "")
        is_here = host.split(":")[0] in (HOST, "localhost")
        is_own = is_here and self.headers.get("Origin") in (None, f"http://{host}")
        if not is_own:
            self.send_error(403)
        return is_own

    def do_GET(self) -> None:
        if self.path == "/setup":
            self._send(setup(self.server.networks))
        elif "%00" in self.path or "\0" in self.path:  # no file has such a name
            self.send_error(404)
        else:
            super().do_GET()

    def do_POST(self) -> None:
        if self.path not in ("/answer", "/layers"):
            self.send_error(404)
            return
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal():
            self.send_error(411)  # its length is missing, or no number
            return
        if len(length) > MOST_DIGITS or int(length) > MOST_BYTES:
            self.send_error(413)
            return
        picture = self.rfile.read(int(length))
        with self.server.computing:
            content = answer(self.server.networks, picture, with_layers=self.path == "/layers")
        self._send(content)

    def _send(self, content: Answer) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(as_json(content, indent=None).encode())

    def end_headers(self) -> None:
        self.send_header("Cache-Control", "no-store")
        super().end_headers()

    # the base class's name
    def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002
        """Print nothing: every stroke is a request."""
