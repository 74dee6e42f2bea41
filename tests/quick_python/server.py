"""Does the imports of training once, and forks a process for each client that connects to its socket."""

import atexit
import fcntl
import gc
import json
import multiprocessing
import os
import runpy
import signal
import socket
import sys
import threading
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from selectors import EVENT_READ, DefaultSelector
from typing import NamedTuple, NoReturn, TypedDict

from convblocks.errors import UserError

IMPORTS = [
    "convblocks.training.fit",
    "convblocks.comparison.compare",
    "convblocks.figures.evaluation",
    "convblocks.search.search",
    "torch.distributed.launcher.api",
]


MOST_FILES = 200  # open ones of a process, here as there


class Request(TypedDict):
    """What a client was started with."""

    executable: str
    arguments: list[str]
    folder: str
    environment: dict[str, str]
    files: list[int]


class Process(NamedTuple):
    """A process that was forked for a client."""

    number: int
    client: socket.socket


def serve(listener: socket.socket) -> tuple[Request, list[int]]:
    """Fork until the tests end; returns, in each forked process, what its client was started with."""
    processes: dict[int, Process] = {}  # by the file that tells of its end
    with DefaultSelector() as selector:
        selector.register(sys.stdin, EVENT_READ)
        selector.register(listener, EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fileobj is sys.stdin:
                    os._exit(0)  # nanobind, of which triton is made, would take frozen objects for leaks
                elif key.fileobj is listener:
                    client, _ = listener.accept()
                    request, files = receive(client)
                    if (number := os.fork()) == 0:
                        for end, process in processes.items():
                            os.close(end)
                            process.client.close()
                        client.close()
                        return request, files
                    for file in files:
                        os.close(file)
                    client.sendall(f"{number}\n".encode())
                    end, process = os.pidfd_open(number), Process(number, client)
                    processes[end] = process
                    selector.register(end, EVENT_READ)
                    selector.register(client, EVENT_READ, process)
                elif key.fd in processes:
                    process = processes.pop(key.fd)
                    selector.unregister(key.fd)
                    os.close(key.fd)
                    _, status = os.waitpid(process.number, 0)
                    with suppress(BrokenPipeError):
                        process.client.sendall(f"{os.waitstatus_to_exitcode(status)}\n".encode())
                    if process.client in selector.get_map():
                        selector.unregister(process.client)
                    process.client.close()
                else:  # the client was killed
                    selector.unregister(key.fileobj)
                    os.kill(key.data.number, signal.SIGKILL)


def receive(client: socket.socket) -> tuple[Request, list[int]]:
    """What it was started with, and its open files as they are numbered here."""
    _, files, _, _ = socket.recv_fds(client, 1, MOST_FILES)
    with client.makefile("rb") as lines:
        return json.loads(lines.readline()), files


def take(files: list[int], numbers: list[int]) -> None:
    """Have these files open under these numbers."""
    aside = [fcntl.fcntl(file, fcntl.F_DUPFD, MOST_FILES) for file in files]
    for file in files:
        os.close(file)
    for file, number in zip(aside, numbers, strict=True):
        os.dup2(file, number)
        os.close(file)


def become(request: Request) -> NoReturn:
    """Be a Python that was started so: ``python [-u] [-B] SCRIPT``, ``-m MODULE`` or ``-c CODE``."""
    sys.executable = request["executable"]
    multiprocessing.set_executable(sys.executable)
    os.chdir(request["folder"])
    multiprocessing.process.ORIGINAL_DIR = request["folder"]  # type: ignore[attr-defined]  # for what it spawns
    os.environ.clear()
    os.environ.update(request["environment"])
    try:
        run(request["arguments"])
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        sys.excepthook(*sys.exc_info())
        status = 1
    # As Python ends, but for the second in which it takes its modules apart.
    threading._shutdown()  # type: ignore[attr-defined]  # waits for threads that are no daemons
    atexit._run_exitfuncs()
    if not sys.stdout.closed:
        sys.stdout.flush()
    os._exit(status)


def run(arguments: list[str]) -> None:
    """What a command line of Python says."""
    while arguments[0] in ("-u", "-B"):
        if arguments.pop(0) == "-u":
            sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # it is a TextIOWrapper
    how, *rest = arguments
    first = str(Path.cwd() if how in ("-m", "-c") else Path(how).resolve().parent)
    sys.path[0:1] = [first, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    sys.argv = [how, *rest[1:]] if how in ("-m", "-c") else arguments
    if how == "-m":
        runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
    elif how == "-c":
        exec(rest[0], {"__name__": "__main__"})
    else:
        runpy.run_path(how, run_name="__main__")


if __name__ == "__main__":
    for name in IMPORTS:
        with suppress(UserError):  # for want of an extra
            import_module(name)
    gc.freeze()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(sys.argv[1])
        listener.listen(64)
        print("ready", flush=True)
        request, files = serve(listener)
    take(files, request["files"])
    become(request)
