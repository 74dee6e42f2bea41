"""Processes that start at once, since they are forked from a server that has done the imports."""

import multiprocessing
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
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([module.__name__ for module in modules])
    return context
