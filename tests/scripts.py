"""The project's commands, run by tests as users run them, in processes that start at once.

Each is forked from a server, which has done the imports: these take more processor time than most tests.
"""

import atexit
import os
import pickle
import select
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

_REPOSITORY = Path(__file__).resolve().parents[1]

# How the server tells a process's number, and then how it ended.
NUMBER = struct.Struct("i")


@dataclass(frozen=True)
class Call:
    """What a process is to run, and in what.

    Args:
        command: What would stand behind ``python``: a script or ``-m`` and a module, and the arguments.
        cwd: Its current folder.
        environment: Variables that differ from this process's.
        memory: How many bytes of address space it may take beyond what its imports have.
        prepare: What is called in the process before the script begins.
    """

    command: tuple[str, ...]
    cwd: Path
    environment: dict[str, str] = field(default_factory=dict)
    memory: int | None = None
    prepare: Callable[[], None] | None = None


def run_script(
    name: str,
    *arguments: str,
    cwd: Path,
    environment: dict[str, str] | None = None,
    memory: int | None = None,
    prepare: Callable[[], None] | None = None,
    timeout: float = 120,
    fresh: bool = False,
) -> subprocess.CompletedProcess[str]:
    """Run ``scripts/<name>.py`` as a user would, and wait for it.

    Args:
        name: The script's, without the ending.
        arguments: Its command line.
        cwd: See ``Call``, as for the next three.
        environment: See there.
        memory: See there.
        prepare: See there.
        timeout: After so many seconds it is killed, with what it has started.
        fresh: Start Python anew, where imports and how it starts are what is tested; without ``memory`` and
            ``prepare``.

    Raises:
        TimeoutExpired: it was killed.
    """
    return run(Call(_command(name, arguments), cwd, environment or {}, memory, prepare), timeout, fresh)


def run_benchmark(name: str, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run ``python -m benchmarks.<name>`` and wait for it."""
    path = os.pathsep.join(filter(None, [str(_REPOSITORY), os.environ.get("PYTHONPATH")]))
    return run(Call(("-m", f"benchmarks.{name}", *arguments), cwd, {"PYTHONPATH": path}), timeout=600)


def run(call: Call, timeout: float, fresh: bool = False) -> subprocess.CompletedProcess[str]:
    """Run a call and wait for it; see ``run_script``."""
    command = [sys.executable, *call.command]
    if fresh or not hasattr(os, "fork"):
        assert (call.memory, call.prepare) == (None, None)
        environment = os.environ | call.environment
        return subprocess.run(
            command, cwd=call.cwd, env=environment, capture_output=True, text=True, timeout=timeout, check=False
        )
    with Script(call) as script:
        output, errors = script.communicate(timeout)
        return subprocess.CompletedProcess(command, script.wait(0), output, errors)


def start_script(
    name: str, *arguments: str, cwd: Path | None = None, prepare: Callable[[], None] | None = None
) -> "Script":
    """Begin ``scripts/<name>.py``, in the current folder unless another is given, in a process group of its own."""
    return Script(Call(_command(name, arguments), cwd or Path.cwd(), prepare=prepare))


def memory_taken() -> int:
    """What this process has of address space, in bytes."""
    return int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")


class Script:
    """A process that runs a script; its group has its number too."""

    def __init__(self, call: Call) -> None:
        self.returncode: int | None = None
        self._output, self._errors = (_empty_file() for _ in range(2))
        told, tells = os.pipe()
        self._told = os.fdopen(told, "rb", buffering=0)
        _ask(call, [self._output.fileno(), self._errors.fileno(), tells])
        os.close(tells)
        self.pid = self._number()

    def __enter__(self) -> "Script":
        return self

    def __exit__(self, *_: object) -> None:
        """Kill it, unless it has ended, with what it has started."""
        if self.poll() is None:
            os.killpg(self.pid, signal.SIGKILL)
            self.wait(60)
        for file in (self._output, self._errors, self._told):
            file.close()

    def poll(self) -> int | None:
        """Its exit status, below 0 the signal that killed it; None while it runs."""
        if self.returncode is None and select.select([self._told], [], [], 0)[0]:
            self.returncode = self._number()
        return self.returncode

    def wait(self, timeout: float) -> int:
        """Wait so many seconds for its end.

        Raises:
            TimeoutExpired: it goes on.
        """
        select.select([self._told] if self.returncode is None else [], [], [], timeout)
        if (status := self.poll()) is None:
            raise subprocess.TimeoutExpired("a script", timeout)
        return status

    def communicate(self, timeout: float) -> tuple[str, str]:
        """Wait so many seconds for its end, and return what it printed as output and errors.

        Raises:
            TimeoutExpired: it goes on.
        """
        self.wait(timeout)
        for file in (self._output, self._errors):
            file.seek(0)
        return self._output.read(), self._errors.read()

    def send_signal(self, number: int) -> None:
        """Send a signal to it alone, if it has not ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def _number(self) -> int:
        content = self._told.read(NUMBER.size)
        assert content, "the server of scripts has died"
        number: int = NUMBER.unpack(content)[0]
        return number


def _empty_file() -> IO[str]:
    return TemporaryFile("w+", errors="backslashreplace")


def _command(name: str, arguments: tuple[str, ...]) -> tuple[str, ...]:
    return str(_REPOSITORY / "scripts" / f"{name}.py"), *arguments


def _ask(call: Call, descriptors: list[int]) -> None:
    """Let the server run a call, with these for its output, its errors and what the server tells of it."""
    environment = dict(os.environ) | call.environment
    request = pickle.dumps(call.__class__(**(vars(call) | {"environment": environment})))
    server = _server()
    socket.send_fds(server, [NUMBER.pack(len(request))], descriptors)
    server.sendall(request)


@cache
def _server() -> socket.socket:
    """What the server is asked by; it ends with this process."""
    ours, servers = socket.socketpair()
    environment = os.environ | {"MPLBACKEND": "agg"}  # as commands set it before their imports
    environment.pop("OMP_NUM_THREADS", None)  # a call has its own
    command = [sys.executable, "-m", "tests.script_server", str(servers.fileno())]
    process = subprocess.Popen(
        command,
        cwd=_REPOSITORY,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        pass_fds=[servers.fileno()],
        start_new_session=True,  # a terminal's Ctrl-C is for the tests
    )
    servers.close()
    atexit.register(_end, ours, process)
    return ours


def _end(requests: socket.socket, server: subprocess.Popen[bytes]) -> None:
    requests.close()
    server.wait()
