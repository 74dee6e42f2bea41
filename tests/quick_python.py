"""A ``python`` for the processes that Lightning, torchrun and shells start: they are
forked, with the imports done.

It is a program that stands where such a process is started (python_client.py); the
process itself is forked by another, which the project's fork server has forked.
"""

import atexit
import json
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
from functools import cache
from multiprocessing.connection import wait
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp

from tests.forked_python import REPOSITORY, run_python, server, standard_path


@cache
def quick_python() -> Path:
    """The program, alone in its folder, ready to be started."""
    folder = mkdtemp(prefix="python-")  # a socket's path must be short
    atexit.register(rmtree, folder)
    python = Path(folder) / "python"
    python.write_text(
        f"#!{sys.executable} -IS\n{(REPOSITORY / 'tests' / 'python_client.py').read_text()}"
    )
    python.chmod(0o755)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"{python}.socket")
        listener.listen(64)
        server().Process(
            target=_serve, args=(listener, str(python), standard_path()), daemon=True
        ).start()
    return python


def environment_of(**variables: str) -> dict[str, str]:
    """Variables for a process in which ``python``, and what starts torchrun's
    processes, is the quick one.
    """
    python = quick_python()
    path = os.pathsep.join([str(python.parent), os.environ["PATH"]])
    return os.environ | {"PATH": path, "PYTHON_EXEC": str(python)} | variables


def run_quickly(*arguments: str, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run ``python`` with these arguments and variables of the environment, and wait for it."""
    return subprocess.run(
        [quick_python(), *arguments],
        cwd=cwd,
        env=environment_of(**variables),
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )


def _serve(listener: socket.socket, python: str, path: list[str]) -> None:
    """Fork a process for each client, until the tests end."""
    # Nobody waits for those that attend to the clients.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None
    while wait([listener, parent.sentinel]) == [listener]:
        client, _ = listener.accept()
        if os.fork() == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            listener.close()
            _attend_to(client, python, path)
        client.close()


def _attend_to(client: socket.socket, python: str, path: list[str]) -> None:
    """Fork the client's process, kill it if the client is killed, and say how it ended."""
    _, files, _, _ = socket.recv_fds(client, 1, 3)
    with client.makefile() as lines:
        arguments, folder, environment = json.loads(lines.readline())
    if (process := os.fork()) == 0:
        for number, file in enumerate(files):
            os.dup2(file, number)
        run_python(arguments, folder, environment, python, path)
    for file in files:
        os.close(file)
    client.sendall(f"{process}\n".encode())
    end = os.pidfd_open(process)
    if end not in wait([client, end]):
        os.kill(process, signal.SIGKILL)
    _, status = os.waitpid(process, 0)
    try:
        client.sendall(f"{os.waitstatus_to_exitcode(status)}\n".encode())
    finally:
        os._exit(0)
