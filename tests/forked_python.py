"""What a forked process does to be like one in a new Python."""

import atexit
import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable
from functools import cache
from importlib import import_module
from multiprocessing import process, resource_tracker
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

REPOSITORY = Path(__file__).resolve().parents[1]
MOST_FILES = 200  # open ones of a process that was just forked


def server() -> Any:
    """A context of multiprocessing for processes with the imports done or, without the
    wing of it, without these.
    """
    from convblocks import wings  # which the tests of exact_resume alone do not have

    if not wings.is_there("compare.forked"):
        return multiprocessing.get_context("forkserver")
    return import_module("convblocks.compare.forked").context()


def python_path() -> str:
    """For processes that import the tests from another folder; the package is where
    this process has it from.
    """
    return os.pathsep.join(filter(None, [str(REPOSITORY), os.environ.get("PYTHONPATH")]))


@cache
def standard_path() -> list[str]:
    """Where a Python looks for modules when nothing else is said."""
    command = [sys.executable, "-P", "-c", "import sys; print(*sys.path, sep='\\n')"]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, check=True
    ).stdout.splitlines()


def run_python(
    arguments: list[str],
    folder: str,
    environment: dict[str, str],
    executable: str,
    path: list[str],
    prepare: Callable[[], None] | None = None,
) -> NoReturn:
    """Be a Python started with these arguments: ``[-u] SCRIPT``, ``-m MODULE`` or ``-c CODE``.

    Args:
        arguments: The arguments.
        folder: The current one of the process.
        environment: All its variables.
        executable: The program that stands for Python.
        path: The ``standard_path``.
        prepare: A function to call first.
    """
    os.setsid()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # which the server ignores
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    if "OMP_NUM_THREADS" in environment:
        import torch

        torch.set_num_threads(int(environment["OMP_NUM_THREADS"]))
    # What the fork server's processes have open; a new Python has none of it.
    os.closerange(3, MOST_FILES)
    resource_tracker.ResourceTracker.__init__(resource_tracker._resource_tracker)
    # Those of the server are for other files.
    sys.stdin, sys.stdout = open(0, closefd=False), open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", buffering=1, errors="backslashreplace", closefd=False)  # noqa: SIM115
    process.current_process().daemon = False  # or it might not start others
    process._parent_process = None  # type: ignore[attr-defined]
    sys.executable = executable
    if prepare:
        prepare()
    before = [
        str(Path(folder).absolute())
        for folder in environment.get("PYTHONPATH", "").split(os.pathsep)
        if folder
    ]
    sys.path[:] = ["", *before, *path]
    status = 0
    try:
        _run(arguments)
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException as error:
        traceback.print_exc()
        status = -signal.SIGINT if isinstance(error, KeyboardInterrupt) else 1
    # As Python ends, but for the second in which it unloads its modules.
    threading._shutdown()  # type: ignore[attr-defined]  # waits for threads that are not daemons
    atexit._run_exitfuncs()
    if not sys.stdout.closed:
        sys.stdout.flush()
    if status < 0:
        signal.signal(-status, signal.SIG_DFL)
        os.kill(os.getpid(), -status)
    os._exit(status)


def _run(arguments: list[str]) -> None:
    if arguments[0] == "-u":
        arguments.pop(0)
        # it is a TextIOWrapper
        sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    how, *rest = arguments
    sys.argv = [how, *rest[1:]] if how in ("-m", "-c") else arguments
    if how == "-m":
        sys.path[0] = str(Path.cwd())
        runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
        return
    sys.modules["__main__"] = main = ModuleType("__main__")
    if how == "-c":
        exec(rest[0], vars(main))
    else:
        sys.path[0], main.__file__ = str(Path(how).resolve().parent), how
        exec(compile(Path(how).read_bytes(), how, "exec"), vars(main))
