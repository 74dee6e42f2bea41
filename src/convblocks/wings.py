"""What may be taken off: the only file that names a wing, as strings.

The core (the files beside this one, data/, model/ and run/) trains a run and writes its record. A wing is a folder that
adds a command, an option, a callback or a source of data: delete the folder, and everything else still works. A wing
imports the core, and another wing only where ``NEEDS`` says so; nothing outside of a wing imports it.

A package of your own may bring a wing too: a module with any of the tables below and ``VERSION``, named by an entry
point of the group ``convblocks.wings``. Its tables hold full names of modules. One that cannot be used is left out,
with a line that says why.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from importlib import import_module
from typing import Any

from convblocks.console import print_error
from convblocks.errors import UserError

# The kind of tables in this file; another package's wing says which it is made for.
VERSION = 1

# The module of each command, which has its ``main``, and its help as docstring.
COMMANDS = {
    "fit": "run.fit",
    "compare": "compare.command",
    "search": "search.command",
    "study": "study.stages",
    "evaluate": "evaluate.command",
    "predict": "handwriting.predict",
    "demo": "demo.server",
    "export": "evaluate.export",
    "summary": "model.summary",
    "benchmark": "compare.benchmark",
    "new": "new.command",
}

# What each run gets, in this order. Their ``make(run)`` returns a callback or None, before the Trainer exists: it may
# raise a UsageError, and change ``run.trainer_arguments``. ``RunCallback`` says how a callback takes part in a run.
CALLBACKS = (
    "fast.callback",
    "compat.callback",
    "cluster.callback",
    "diagnosis.callback",
    "boards.callback",
    "evaluate.callback",
)

# What refuses a run's settings, by ``check(settings)``, before anything is built.
CHECKS = ("cluster.layout",)

# Where data may come from: ``find(root, size)`` returns an ImageSource, or None if the folder holds something else.
SOURCES = ("data.mnist", "pictures.source")

# Options of ``fit`` that are no settings: they are not saved, nor compared on a resume. ``add_option(parser)`` adds it.
OPTIONS = {"fast": "fast.callback"}

# Names for ``from convblocks import ...``.
PUBLIC = {"DeadUnits": "diagnosis.callback"}

# The modules of other wings that a wing imports: without them it is left out too.
NEEDS = {
    "boards": ("figures.style",),
    "compare": ("figures.style",),
    "demo": ("handwriting.predict",),
    "evaluate": ("figures.style",),
    "handwriting": ("pictures.source",),
    "search": ("compare.command",),
    "study": ("compare.command",),
}

# The group of entry points by which other packages bring wings.
GROUP = "convblocks.wings"


def is_there(module: str) -> bool:
    """Whether a module of this package, and what its wing needs, has not been taken off."""
    wing, _, _ = module.partition(".")
    file = os.path.join(os.path.dirname(__file__), *module.split(".")) + ".py"  # pathlib is slow to load
    return os.path.isfile(file) and all(map(is_there, NEEDS.get(wing, ())))


def optional(module: str) -> Any:
    """A module of a wing, or None if it has been taken off."""
    return import_module(f"convblocks.{module}") if is_there(module) else None


def commands() -> dict[str, str]:
    """The commands that are there, and the full names of their modules."""
    return _named("COMMANDS", COMMANDS)


def options() -> dict[str, str]:
    """The options of ``fit`` that wings add, and the full names of the modules that define them."""
    return _named("OPTIONS", OPTIONS)


def public() -> dict[str, str]:
    """The names that wings add to ``convblocks``, and the full names of their modules."""
    return _named("PUBLIC", PUBLIC)


def check(settings: Mapping[str, Any]) -> None:
    """Let the wings refuse a run's settings.

    Raises:
        UsageError: one does.
    """
    for refuse in _functions("CHECKS", CHECKS, "check"):
        refuse(settings)


def sources() -> Iterator[Callable[..., Any]]:
    """The functions ``find(root, size)`` of the sources that are there."""
    return _functions("SOURCES", SOURCES, "find")


def modules() -> list[str]:
    """The modules of the callbacks that each run gets, for a process that imports them before it forks."""
    return [f"convblocks.{module}" for module in CALLBACKS if is_there(module)]


def callbacks_of(run: Any) -> list[Any]:
    """What the wings add to a run.

    Raises:
        UsageError: one refuses the run.
    """
    made = []
    for make in _functions("CALLBACKS", CALLBACKS, "make"):
        try:
            made.append(make(run))
        except UserError:
            raise
        except Exception as error:
            if make.__module__.startswith("convblocks."):
                raise
            _leave_out(make.__module__, error)
    return [callback for callback in made if callback is not None]


def _named(table: str, own: Mapping[str, str]) -> dict[str, str]:
    """A table's names and modules; this package's names come first, and cannot be taken by others."""
    found = {name: f"convblocks.{module}" for name, module in own.items() if is_there(module)}
    for wing in _of_others():
        found = found | {name: module for name, module in getattr(wing, table, {}).items() if name not in found}
    return found


def _functions(table: str, own: tuple[str, ...], name: str) -> Iterator[Callable[..., Any]]:
    """The functions of that name in a table's modules."""
    yield from (getattr(import_module(f"convblocks.{module}"), name) for module in own if is_there(module))
    for module in (module for wing in _of_others() for module in getattr(wing, table, ())):
        try:
            function = getattr(import_module(module), name)
        except Exception as error:
            _leave_out(module, error)
        else:
            yield function


@cache
def _of_others() -> list[Any]:
    """The wings that other installed packages bring."""
    from importlib.metadata import entry_points  # slow to load

    found = []
    for entry in entry_points(group=GROUP):
        try:
            wing = entry.load()
            if wing.VERSION != VERSION:
                raise ValueError(f"it is made for version {wing.VERSION} of the tables in wings.py, this is {VERSION}")
            found.append(wing)
        except Exception as error:
            _leave_out(entry.name, error)
    return found


def _leave_out(name: str, error: Exception) -> None:
    if os.environ.get("LOCAL_RANK", "0") == "0":  # one of a run's processes is enough
        print_error(f"the wing {name} is left out: {type(error).__name__}: {error}")
