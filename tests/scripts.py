"""The project's commands, run by tests as users run them, in processes that start at once."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

from tests.forked_python import REPOSITORY, python_path, run_python, server, standard_path
from tests.quick_python import quick_python


def run_script(
    name: str,
    *arguments: str,
    cwd: Path,
    environment: dict[str, str] | None = None,
    prepare: Callable[[], None] | None = None,
    timeout: float = 120,
    fresh: bool = False,
) -> subprocess.CompletedProcess[str]:
    """Run ``scripts/<name>.py`` as a user would, and wait for it; see ``Script``.

    Args:
        name: The script's, without the ending.
        arguments: Its command line.
        cwd: Its current folder.
        environment: Variables that differ from this process's.
        prepare: A function to call in the process before the script begins.
        timeout: Seconds after which it is killed, with the processes that it has
            started.
        fresh: Start a new Python, where imports and the first moments are tested;
            without ``prepare``.

    Raises:
        TimeoutExpired: it was killed.
    """
    command = _command(name, arguments)
    if fresh:
        return run_fresh(command, cwd, environment or {}, timeout)
    with Script(command, cwd, environment, prepare) as script:
        output, errors = script.communicate(timeout)
        return subprocess.CompletedProcess(
            [sys.executable, *command], script.wait(0), output, errors
        )


def run_fresh(
    command: Sequence[str], cwd: Path, environment: dict[str, str], timeout: float
) -> subprocess.CompletedProcess[str]:
    """Run a new Python with these arguments, and wait for it."""
    return subprocess.run(
        [sys.executable, *command],
        cwd=cwd,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def run_benchmark(name: str, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run ``python -m lab.benchmarks.<name>`` in a new Python and wait for it.

    It starts processes after it has computed with several threads, which a process that
    was forked itself cannot.
    """
    return run_fresh(
        ["-m", f"lab.benchmarks.{name}", *arguments], cwd, {"PYTHONPATH": python_path()}, 600
    )


def start_script(name: str, *arguments: str, cwd: Path) -> "Script":
    """Begin ``scripts/<name>.py`` in a folder, in a process group of its own."""
    return Script(_command(name, arguments), cwd)


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
        # closed at exit
        self._output = NamedTemporaryFile("w+", errors="backslashreplace")  # noqa: SIM115
        self._errors = NamedTemporaryFile("w+", errors="backslashreplace")  # noqa: SIM115
        environment = os.environ | (environment or {})
        python = (
            list(command),
            str(cwd),
            environment,
            str(quick_python()),
            standard_path(),
            prepare,
        )
        self._process = server().Process(
            target=_run, args=(self._output.name, self._errors.name, *python)
        )
        self._process.start()

    @property
    def pid(self) -> int:
        """Its number."""
        number: int = self._process.pid
        return number

    @property
    def returncode(self) -> int | None:
        """Its exit status, below 0 the signal that killed it; None while it runs."""
        status: int | None = self._process.exitcode
        return status

    def __enter__(self) -> "Script":
        return self

    def __exit__(self, *_: object) -> None:
        """Kill it, unless it has ended, with the processes that it has started."""
        if self.returncode is None:
            os.killpg(self.pid, signal.SIGKILL)
            self.wait(60)
        for file in (self._output, self._errors):
            file.close()

    def wait(self, timeout: float) -> int:
        """Wait so many seconds for its end.

        Raises:
            TimeoutExpired: it goes on.
        """
        self._process.join(timeout)
        if (status := self.returncode) is None:
            raise subprocess.TimeoutExpired("a script", timeout)
        return status

    def printed(self) -> str:
        """What it has printed as output so far."""
        return Path(self._output.name).read_text()

    def communicate(self, timeout: float) -> tuple[str, str]:
        """Wait so many seconds for its end, and return what it printed as output and errors.

        Raises:
            TimeoutExpired: it goes on.
        """
        self.wait(timeout)
        return self._output.read(), self._errors.read()


def _run(output: str, errors: str, *python: Any) -> None:
    for path, number in ((output, 1), (errors, 2)):
        with Path(path).open("ab") as file:
            os.dup2(file.fileno(), number)
    run_python(*python)


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


def _command(name: str, arguments: tuple[str, ...]) -> list[str]:
    return [str(REPOSITORY / "scripts" / f"{name}.py"), *arguments]
