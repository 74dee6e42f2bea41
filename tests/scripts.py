"""The project's commands, run by tests as users run them, in processes that start at once (see tests/quick_python)."""

import base64
import os
import pickle
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

from tests.quick_python import REPOSITORY, python_path, quick_python
from tests.quick_python.client import ask


def run_script(
    name: str,
    *arguments: str,
    cwd: Path,
    environment: dict[str, str] | None = None,
    prepare: Callable[[], None] | None = None,
    timeout: float = 120,
    fresh: bool = False,
) -> subprocess.CompletedProcess[str]:
    """Run ``scripts/<name>.py`` as a user would, and wait for it.

    Args:
        name: The script's, without the ending.
        arguments: Its command line.
        cwd: Its current folder.
        environment: Variables that differ from this process's.
        prepare: A function to call in the process before the script begins.
        timeout: Seconds after which it is killed, with the processes that it has started.
        fresh: Start a new Python, where imports and the first moments are tested; without ``prepare``.

    Raises:
        TimeoutExpired: it was killed.
    """
    command = _command(name, arguments)
    if fresh:
        return subprocess.run(
            [sys.executable, *command],
            cwd=cwd,
            env=os.environ | (environment or {}),
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
    return run(command, cwd, environment, prepare, timeout)


def run_benchmark(name: str, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run ``python -m lab.benchmarks.<name>`` in a new Python and wait for it.

    It starts processes after it has computed with several threads, which a process that was forked itself cannot.
    """
    return subprocess.run(
        [sys.executable, "-m", f"lab.benchmarks.{name}", *arguments],
        cwd=cwd,
        env=os.environ | {"PYTHONPATH": python_path()},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


def run(
    command: Sequence[str],
    cwd: Path,
    environment: dict[str, str] | None = None,
    prepare: Callable[[], None] | None = None,
    timeout: float = 120,
) -> subprocess.CompletedProcess[str]:
    """Run Python with these arguments and wait for it; see ``Script`` and ``run_script``."""
    with Script(command, cwd, environment, prepare) as script:
        output, errors = script.communicate(timeout)
        return subprocess.CompletedProcess([sys.executable, *command], script.wait(0), output, errors)


def start_script(
    name: str, *arguments: str, cwd: Path | None = None, prepare: Callable[[], None] | None = None
) -> "Script":
    """Begin ``scripts/<name>.py``, in the current folder unless another is given, in a process group of its own."""
    return Script(_command(name, arguments), cwd or Path.cwd(), prepare=prepare)


class Script:
    """A process that runs Python; its group has its number too.

    Args:
        command: Python's arguments.
        cwd: Its current folder.
        environment: Variables that differ from this process's.
        prepare: A function to call in the process first.
    """

    def __init__(
        self,
        command: Sequence[str],
        cwd: Path,
        environment: dict[str, str] | None = None,
        prepare: Callable[[], None] | None = None,
    ) -> None:
        self.returncode: int | None = None
        self._output, self._errors = _empty_file(), _empty_file()
        with Path(os.devnull).open() as nothing:
            self._connection = ask(
                str(quick_python()),
                list(command),
                str(cwd),
                os.environ | (environment or {}),
                {0: nothing.fileno(), 1: self._output.fileno(), 2: self._errors.fileno()},
                base64.b64encode(pickle.dumps(prepare)).decode() if prepare else "",
            )
        self._answers = self._connection.makefile("rb", buffering=0)
        self.pid = self._number()

    def __enter__(self) -> "Script":
        return self

    def __exit__(self, *_: object) -> None:
        """Kill it, unless it has ended, with the processes that it has started."""
        if self.poll() is None:
            os.killpg(self.pid, signal.SIGKILL)
            self.wait(60)
        for file in (self._output, self._errors, self._answers, self._connection):
            file.close()

    def poll(self) -> int | None:
        """Its exit status, below 0 the signal that killed it; None while it runs."""
        if self.returncode is None and select.select([self._answers], [], [], 0)[0]:
            self.returncode = self._number()
        return self.returncode

    def wait(self, timeout: float) -> int:
        """Wait so many seconds for its end.

        Raises:
            TimeoutExpired: it goes on.
        """
        select.select([self._answers] if self.returncode is None else [], [], [], timeout)
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
        line = self._answers.readline()
        assert line, "the server has died"
        return int(line)


def wait_until(is_true: Callable[[], object], seconds: float = 300) -> None:
    deadline = time.monotonic() + seconds
    while not is_true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def is_alive(group: int) -> bool:
    """Whether any process of a group is left."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def _empty_file() -> IO[str]:
    return TemporaryFile("w+", errors="backslashreplace")


def _command(name: str, arguments: tuple[str, ...]) -> list[str]:
    return [str(REPOSITORY / "scripts" / f"{name}.py"), *arguments]
