"""Imports what the commands need once, and forks a process for each client that connects to its socket."""

import atexit
import base64
import contextlib
import fcntl
import gc
import json
import multiprocessing
import os
import pickle
import runpy
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Sequence
from importlib import import_module
from multiprocessing import forkserver, resource_tracker, util
from pathlib import Path
from selectors import EVENT_READ, DefaultSelector
from types import ModuleType, TracebackType
from typing import Any, NamedTuple, NoReturn

import torch

from convblocks import wings
from convblocks.errors import UserError
from convblocks.run.parser import parser
from convblocks.run.provenance import packages

IMPORTS = [*wings.commands().values(), *wings.modules(), "torch.distributed.launcher.api"]
REPOSITORY = str(Path(__file__).resolve().parents[2])
MOST_FILES = 200  # open ones of a process, here as there

# As many as torch takes unless OMP_NUM_THREADS is set.
THREADS = torch.get_num_threads()

spawn = util.spawnv_passfds


class Process(NamedTuple):
    """A process that was forked for a client."""

    number: int
    client: socket.socket


def serve(listener: socket.socket) -> tuple[dict[str, Any], list[int]]:
    """Fork until the tests end; returns, in each forked process, the client's request and open files."""
    processes: dict[int, Process] = {}  # by the descriptor that becomes readable at the end
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
                    with contextlib.suppress(BrokenPipeError):
                        process.client.sendall(f"{os.waitstatus_to_exitcode(status)}\n".encode())
                    if process.client in selector.get_map():
                        selector.unregister(process.client)
                    process.client.close()
                else:  # the client was killed
                    selector.unregister(key.fileobj)
                    os.kill(key.data.number, signal.SIGKILL)


def receive(client: socket.socket) -> tuple[dict[str, Any], list[int]]:
    """The request, and the client's open files as they are numbered here."""
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


def become(request: dict[str, Any]) -> NoReturn:
    """Be a Python started with that request: ``python [-u] [-B] SCRIPT``, ``-m MODULE`` or ``-c CODE``."""
    os.setsid()
    os.chdir(request["folder"])
    multiprocessing.set_executable(request["executable"])
    multiprocessing.process.ORIGINAL_DIR = request["folder"]  # type: ignore[attr-defined]  # for spawned processes
    util.spawnv_passfds = fork_passfds  # type: ignore[assignment]  # its arguments have no type here
    sys.executable, sys.excepthook = request["executable"], excepthook
    before = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    os.environ.clear()
    os.environ.update(request["environment"])
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", THREADS)))
    sys.path[0] = REPOSITORY
    if request["prepare"]:
        pickle.loads(base64.b64decode(request["prepare"]))()
    paths = [str(Path(path).absolute()) for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    sys.path[:] = ["", *paths, *(path for path in sys.path[1:] if path not in before)]
    status = 0
    try:
        run(request["arguments"])
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
    except BaseException as error:
        sys.excepthook(*sys.exc_info())
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


def run(arguments: list[str]) -> None:
    """Run a command line of Python."""
    while arguments[0] in ("-u", "-B"):
        if arguments.pop(0) == "-u":
            sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # it is a TextIOWrapper
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


def excepthook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Print a traceback without the part that is in this file."""
    while trace and trace.tb_frame.f_code.co_filename in (__file__, "<frozen runpy>"):
        trace = trace.tb_next
    sys.__excepthook__(kind, error.with_traceback(trace), trace)


def fork_passfds(path: bytes, arguments: Sequence[Any], descriptors: Sequence[int]) -> int:
    """Start a process for multiprocessing; its own fork server is forked too, since it would import the same."""
    if "multiprocessing.forkserver" not in arguments[-1]:
        return spawn(path, arguments, descriptors)
    sys.stdout.flush()  # or it would be printed twice
    if process := os.fork():
        return process
    status = 1
    try:
        forget_but(descriptors)
        exec(arguments[-1], {})
    except SystemExit:
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


def forget_but(descriptors: Sequence[int]) -> None:
    """Drop what a process loses that starts another program: open files but these, signals, multiprocessing's state."""
    gc.collect()  # what would close a file later, when its number is another's
    gc.freeze()
    for descriptor in [int(path.name) for path in Path("/dev/fd").iterdir()]:
        if descriptor > 2 and descriptor not in descriptors:
            with contextlib.suppress(OSError):  # the listing's own
                os.close(descriptor)
    signal.set_wakeup_fd(-1)
    for number in signal.valid_signals():
        if callable(signal.getsignal(number)):
            signal.signal(number, signal.SIG_DFL)
    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    forkserver.ForkServer.__init__(forkserver._forkserver)
    resource_tracker.ResourceTracker.__init__(resource_tracker._resource_tracker)
    sys.modules["__main__"] = ModuleType("__main__")


if __name__ == "__main__":
    for name in IMPORTS:
        with contextlib.suppress(UserError):  # for want of an extra
            import_module(name)
    packages()  # cached, as is the parser: they take half the time of a short run
    parser()
    gc.collect()
    gc.freeze()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(sys.argv[1])
        listener.listen(64)
        print("ready", flush=True)
        request, files = serve(listener)
    take(files, request["files"])
    become(request)
