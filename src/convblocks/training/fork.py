"""Processes that start at once, since they are forked from a server that has done the imports."""

import multiprocessing
from multiprocessing.context import ForkServerContext
from types import ModuleType


def fork_server(*modules: ModuleType) -> ForkServerContext:
    """A context for multiprocessing whose server imports these modules before it forks."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([module.__name__ for module in modules])
    return context
