"""Scripts run as real processes that start at once: they are forked from a server that has done the imports."""

import os
import resource
import runpy
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from convblocks.comparison import compare
from convblocks.evaluation import evaluate, export
from convblocks.handwriting import predict
from convblocks.handwriting.demo import server
from convblocks.training.fork import fork_server
from tests.conftest import REPOSITORY

# Memory that a script may take beyond what its imports have.
MEMORY = 1_500_000_000

SECONDS = 120


@dataclass(frozen=True)
class Finished:
    """How a script ended: its exit status, negative for a signal, and what it printed."""

    status: int
    output: str
    errors: str


def run(
    script: str,
    arguments: Sequence[str],
    folder: Path,
    environment: dict[str, str] | None = None,
    prepare: Callable[[], None] | None = None,
) -> Finished:
    """Run ``scripts/<script>.py`` in a folder, and wait for it.

    Args:
        script: Its name without the ending.
        arguments: Its command line.
        folder: Its current folder.
        environment: Variables to set.
        prepare: What is called in the process before the script begins.
    """
    context = fork_server(compare, evaluate, export, predict, server)
    output, errors = folder.parent / "output", folder.parent / "errors"
    process = context.Process(
        target=_run, args=(script, list(arguments), folder, environment or {}, prepare, output, errors)
    )
    process.start()
    process.join(SECONDS)
    if process.is_alive():
        process.kill()
        process.join()
        raise TimeoutError(f"{script} {arguments} ran for more than {SECONDS} s")
    assert process.exitcode is not None
    return Finished(process.exitcode, _read(output), _read(errors))


def _run(
    script: str,
    arguments: list[str],
    folder: Path,
    environment: dict[str, str],
    prepare: Callable[[], None] | None,
    output: Path,
    errors: Path,
) -> None:
    os.chdir(folder)
    os.environ.update(environment)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for path, stream in ((output, sys.stdout), (errors, sys.stderr)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), stream.fileno())
    limit = memory() + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    path = REPOSITORY / "scripts" / f"{script}.py"
    sys.argv = [str(path), *arguments]
    if prepare:
        prepare()
    runpy.run_path(str(path), run_name="__main__")


def memory() -> int:
    """What this process has of address space, in bytes."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    return pages * resource.getpagesize()


def _read(path: Path) -> str:
    return path.read_text(errors="backslashreplace")
