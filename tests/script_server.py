"""Runs what scripts.py asks for, each call in a process forked from this one, as Python started anew would run it."""

import contextlib
import gc
import os
import pickle
import resource
import runpy
import signal
import socket
import sys
import traceback
from collections.abc import Sequence
from importlib import import_module
from multiprocessing import forkserver, process, resource_tracker, util
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any

import torch

from tests.scripts import NUMBER, Call, memory_taken

# What the scripts import, at once or when they need it.
MODULES = (
    "convblocks.comparison.study.stages",
    "convblocks.evaluation.evaluate",
    "convblocks.evaluation.export",
    "convblocks.handwriting.demo.server",
    "convblocks.handwriting.predict",
    "convblocks.search.search",
)

# As many as torch takes where nobody says how many.
THREADS = torch.get_num_threads()

spawn = util.spawnv_passfds


def serve(requests: socket.socket) -> Call | None:
    """Fork a process for each call, in which this returns it; None when nobody is left to ask."""
    while True:
        size, descriptors, *_ = socket.recv_fds(requests, NUMBER.size, 3)
        if not size:
            return None
        request = requests.recv(NUMBER.unpack(size)[0], socket.MSG_WAITALL)
        if os.fork() == 0:
            requests.close()
            return fork_and_wait(pickle.loads(request), *descriptors)
        for descriptor in descriptors:
            os.close(descriptor)
        with contextlib.suppress(ChildProcessError):  # there are none
            while os.waitpid(-1, os.WNOHANG) != (0, 0):
                pass


def fork_and_wait(call: Call, output: int, errors: int, tells: int) -> Call:
    """Fork once more: one of the two processes runs the call, the other tells its number and how it ended."""
    if process := os.fork():
        with contextlib.suppress(BrokenPipeError):  # who asked has died
            os.write(tells, NUMBER.pack(process))
            status = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
            os.write(tells, NUMBER.pack(status))
        os._exit(0)
    os.close(tells)
    for descriptor, standard in ((output, 1), (errors, 2)):
        os.dup2(descriptor, standard)
        os.close(descriptor)
    return call


def settle(call: Call) -> None:
    """Make this process what a new one is in which Python has started."""
    os.setsid()
    os.chdir(call.cwd)
    process.ORIGINAL_DIR = str(call.cwd)  # type: ignore[attr-defined]  # for what it spawns
    before = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    os.environ.clear()
    os.environ.update(call.environment)
    paths = [Path(path).absolute() for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    sys.path[:] = ["", *map(str, paths), *(path for path in sys.path[1:] if path not in before)]
    sys.excepthook = excepthook
    signal.signal(signal.SIGINT, signal.default_int_handler)
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", THREADS)))
    util.spawnv_passfds = fork_passfds  # type: ignore[assignment]  # its arguments have no type here
    if call.memory is not None:
        limit = memory_taken() + call.memory
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def run(command: Sequence[str]) -> None:
    """Run a script, or with ``-m`` a module, and end as it ends."""
    if command[0] == "-m":
        sys.path[0], sys.argv = str(Path.cwd()), list(command[1:])
        runpy.run_module(command[1], run_name="__main__", alter_sys=True)
        return
    path = Path(command[0])
    sys.path[0], sys.argv = str(path.parent), list(command)
    sys.modules["__main__"] = main = ModuleType("__main__")
    main.__file__ = str(path)
    exec(compile(path.read_bytes(), path, "exec"), vars(main))


def excepthook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Print a traceback without what in it is of this file."""
    while trace and trace.tb_frame.f_code.co_filename in (__file__, "<frozen runpy>"):
        trace = trace.tb_next
    sys.__excepthook__(kind, error.with_traceback(trace), trace)


def fork_passfds(path: bytes, arguments: Sequence[Any], descriptors: Sequence[int]) -> int:
    """Start what multiprocessing starts; its own server of forks is forked too, since it would import the same."""
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
    """Forget what a process forgets that starts another program: open files but these, signals, multiprocessing."""
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
    for module in MODULES:
        import_module(module)
    gc.collect()
    gc.freeze()
    if call := serve(socket.socket(fileno=int(sys.argv[1]))):
        settle(call)
        if call.prepare:
            call.prepare()
        try:
            run(call.command)
        finally:
            gc.unfreeze()  # nanobind, of which triton is made, takes frozen objects for leaks
    else:
        os._exit(0)
