"""What may be taken off: the only file that names a wing, as strings.

The core (the files beside this one, data/, model/ and run/) trains a run and writes its record. A wing is a folder that
adds a command, an option, a callback or a source of data: delete the folder, and what does not need it still works. A
wing imports the core, and another wing only where ``NEEDS`` says so; nothing outside of a wing imports it.

Another package may bring a wing too: a module with ``VERSION`` and any of the tables ``COMMANDS``, ``CALLBACKS``,
``KEEPERS``, ``CHECKS``, ``SOURCES`` and ``OPTIONS``, named by an entry point of the group ``convblocks.wings``. Its
tables hold full names of modules. A wing that fails is left out, with a line that says why.
"""

import os
from collections.abc import Iterator, Mapping
from functools import cache
from importlib import import_module
from typing import Any

from convblocks.console import print_error
from convblocks.errors import UserError

# Of these tables; a wing of another package names the one that it was made for.
VERSION = 1

# The module of each command, which has its ``main``, and its help as docstring.
COMMANDS = {
    "fit": "run.fit",
    "compare": "compare.command",
    "search": "search.command",
    "evaluate": "evaluate.command",
    "predict": "handwriting.predict",
    "demo": "demo.server",
    "export": "evaluate.export",
    "summary": "model.summary",
    "new": "new.command",
}

# What each run gets, in this order. Their ``make(run)`` returns a callback or None, before the Trainer exists: it may
# raise a UsageError, and change ``run.trainer_arguments``. ``RunCallback`` says how a callback takes part in a run.
CALLBACKS = (
    "fast.callback",
    "compat.callback",
    "cluster.callback",
    "diagnosis.callback",
    "evaluate.callback",
    "boards.callback",
)

# What ``ExactResume`` keeps beyond the core's state: their ``make_keeper(trainer)`` returns a ``Keeper``.
KEEPERS = ("compat.loaders", "compat.values", "compat.attributes")

# What refuses a run's settings, by ``check(settings)``, before anything is built.
CHECKS = ("cluster.layout",)

# Where data may come from: ``find(root, size)`` returns an ImageSource, or None if the folder holds something else.
SOURCES = ("data.mnist", "pictures.source")

# Options of ``fit`` that are not settings: neither saved, nor compared on a resume. ``add_option(parser)`` adds one.
# Given, one whose module has ``instead(config)`` does something else than train.
OPTIONS = {"fast": "fast.callback", "check_resume": "check.resume"}

# Names of wings for ``from convblocks import ...``.
PUBLIC = {"DeadUnits": "diagnosis.callback", "PictureFolder": "pictures.source", "check_resume": "check.resume"}

# The modules of other wings that a wing imports: without them it is left out too.
NEEDS = {
    "boards": ("figures.style",),
    "compare": ("figures.style",),
    "demo": ("handwriting.predict", "diagnosis.dead_units"),
    "evaluate": ("figures.style",),
    "handwriting": ("pictures.source",),
    "search": ("compare.command",),
}

# The entry points by which other packages bring wings.
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


def add_options(parser: Any) -> None:
    """Add the options of ``fit`` that wings bring to its parser."""
    for module in options().values():
        _call(module, "add_option", parser)


def does_instead(config: Any) -> bool:
    """Let a given option do something else than train, and return whether one has; it may raise a UserError."""
    given = [module for option, module in options().items() if config.options[option]]
    others = [module for module in given if hasattr(import_module(module), "instead")]
    for module in others[:1]:
        _call(module, "instead", config)
    return bool(others)


def check(settings: Mapping[str, Any]) -> None:
    """Let the wings refuse a run's settings.

    Raises:
        UsageError: a wing refuses them.
    """
    for module in _modules("CHECKS", CHECKS):
        _call(module, "check", settings)


def find_source(root: Any, size: tuple[int, int] | None) -> Any:
    """The first source that recognises the data in a folder; None if nobody does.

    Raises:
        UserError: a source refuses them.
    """
    found = (_call(module, "find", root, size) for module in _modules("SOURCES", SOURCES))
    return next((source for source in found if source is not None), None)


def modules() -> list[str]:
    """The modules of the callbacks that each run gets, for a process that imports them before it forks."""
    return [f"convblocks.{module}" for module in CALLBACKS if is_there(module)]


def make_callbacks(run: Any) -> list[Any]:
    """What the wings add to a run.

    Raises:
        UsageError: a wing refuses it.
    """
    return _made("make", run, _modules("CALLBACKS", CALLBACKS))


def make_keepers(trainer: Any) -> list[Any]:
    """What the wings keep of a training, beyond the core's state."""
    return _made("make_keeper", trainer, _modules("KEEPERS", KEEPERS))


def _made(function: str, argument: Any, modules: Iterator[str]) -> list[Any]:
    made = [_call(module, function, argument) for module in modules]
    return [part for part in made if part is not None]


def _named(table: str, own: Mapping[str, str]) -> dict[str, str]:
    """A table's names and modules; this package's names come first, and cannot be taken by others."""
    others = {name: module for wing in _of_others() for name, module in getattr(wing, table, {}).items()}
    found = {name: f"convblocks.{module}" for name, module in own.items() if is_there(module)}
    return found | {name: module for name, module in others.items() if name not in own}


def _modules(table: str, own: tuple[str, ...]) -> Iterator[str]:
    """The full names of a table's modules; other packages are asked after this one."""
    yield from (f"convblocks.{module}" for module in own if is_there(module))
    for wing in _of_others():
        yield from getattr(wing, table, ())


def _call(module: str, function: str, *arguments: Any) -> Any:
    """Call a function of a wing's module; None if it fails and is another package's, which is then left out."""
    try:
        return getattr(import_module(module), function)(*arguments)
    except UserError:
        raise
    except Exception as error:
        if module.startswith("convblocks."):
            raise
        return _leave_out(module, f"{type(error).__name__}: {error}")


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
            _leave_out(entry.name, f"{type(error).__name__}: {error}")
    return found


@cache
def _leave_out(module: str, reason: str) -> None:
    """Say so once, in one of a run's processes."""
    slurm = import_module("convblocks.run.slurm")  # imports little
    if not slurm.is_further_process(of_all_machines=True):
        print_error(f"the wing {module} is left out: {reason}")
