"""Starts TensorBoard's server."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def serving(logs: Path) -> Iterator[str]:
    """The address of a server that shows the runs in a folder."""
    options = ["--logdir", str(logs), "--host", "127.0.0.1", "--port", "0", "--load_fast", "false"]
    command = [sys.executable, "-m", "tensorboard.main", *options]
    environment = os.environ | {"PYTHONWARNINGS": "ignore"}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as server:
        assert server.stderr is not None
        try:
            yield next(match[0] for line in server.stderr if (match := re.search(r"http://127\.0\.0\.1:\d+", line)))
        finally:
            server.terminate()
            server.stderr.read()
