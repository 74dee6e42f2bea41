"""A fork server with the imports done, so that processes start at once."""

import multiprocessing
import signal
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # not available on all systems
    from multiprocessing.context import ForkServerContext, SpawnContext


def fork_server(*modules: ModuleType) -> "ForkServerContext | SpawnContext":
    """A multiprocessing context whose server imports these modules before it forks.

    On Windows, where processes cannot be forked, each of them does the imports.
    """
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    from multiprocessing import forkserver, resource_tracker

    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([*(module.__name__ for module in modules), "convblocks.training.unblock_sigint"])
    resource_tracker.ensure_running()  # otherwise forkserver starts it below, which would unblock SIGINT
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # Ctrl-C during the server's imports prints a traceback
    try:
        forkserver.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    return context
