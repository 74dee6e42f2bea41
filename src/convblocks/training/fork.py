"""Processes that start at once, since they are forked from a server that has done the imports."""

import multiprocessing
import signal
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # neither is everywhere
    from multiprocessing.context import ForkServerContext, SpawnContext


def fork_server(*modules: ModuleType) -> "ForkServerContext | SpawnContext":
    """A context for multiprocessing whose server imports these modules before it forks.

    Where processes cannot be forked, on Windows, each does its imports itself.
    """
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    from multiprocessing import forkserver, resource_tracker

    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([*(module.__name__ for module in modules), "convblocks.training.unblock_sigint"])
    resource_tracker.ensure_running()  # otherwise begun by the next line but one, and it lets Ctrl-C through again
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # in the server's imports it would leave a traceback
    try:
        forkserver.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    return context
