"""The tables of the wings, which may be removed: the only file that names them, as strings.

The core (the files beside this one, data/, model/, record/, settings/ and run/) trains a
run and writes its record. A wing is a folder that adds a command, an option, a callback
or a source of data: delete the folder, and what does not need it still works. A wing
imports the core, and another wing only where ``NEEDS`` says so; nothing outside of a wing
imports it.

Another package may bring a wing too: a module with ``VERSION`` and any of the tables
``CALLBACKS``, ``KEEPERS``, ``SOURCES`` and ``OPTIONS``, named by an entry point of the
group ``convblocks.wings``. Its tables hold full names of modules. A wing that cannot be
imported is left out, with a line that says why.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib import import_module
from types import UnionType
from typing import Any

from convblocks.console import print_error
from exact_resume.errors import ResumeError

# The beginning of our modules' names.
OURS = "convblocks."

# The folders that nobody may remove; every other one is a wing.
CORE = ("data", "model", "record", "settings", "run")

# The groups of fit's options, each with the arguments of one class.
GROUPS = ("model", "data", "trainer")

# A table: full names of modules by the names that they have in the table.
Table = Mapping[str, str]

# The version of these tables; a wing of another package states the one that it is made for.
VERSION = 3

# The module of each command, which has its ``main``, and its help as docstring.
COMMANDS = {
    "fit": "run.fit",
    "compare": "compare.command",
    "search": "search.command",
    "validate": "evaluate.validate",
    "test": "evaluate.test",
    "evaluate": "evaluate.command",
    "predict": "handwriting.predict",
    "demo": "demo.server",
    "export": "evaluate.export",
    "new": "new.command",
}

# The modules that read the words of a command before it imports torch: ``begin(name, arguments)``
# returns lines to print, or raises a UserError.
BEGINS = {"compare": "compare.options", "search": "search.config"} | dict.fromkeys(
    ("fit", "validate", "test", "evaluate", "predict", "demo", "export"), "settings.options"
)

# The modules that add a callback to each run, in this order. ``make(parts)`` is called before the
# Trainer exists: it returns a callback, an ``Added`` of ``run.callbacks``, or None, or raises a
# UsageError. ``RunCallback`` says how a callback takes part in a run.
CALLBACKS = (
    "fast.callback",
    "compat.callback",
    "cluster.callback",
    "diagnosis.callback",
    "evaluate.callback",
    "boards.callback",
)

# The modules that add a keeper to the ``ExactResume`` of each run: ``make_keeper()`` returns a
# ``Keeper`` of ``exact_resume``. This package has none.
KEEPERS: tuple[str, ...] = ()

# The modules that read a kind of data: ``find(root, size)`` returns an ImageSource, or None if the
# folder holds something else. The first that knows a folder reads it. That of MNIST is the core's,
# others are wings.
SOURCES = ("data.mnist", "pictures.source")

# Options that wings add to ``fit``. None is a setting: neither saved, nor compared on a resume.
# ``add_option(parser)`` adds one. If it is given and its module has
# ``instead(config)``, that is called, and nothing is trained.
OPTIONS = {"fast": "fast.callback", "check_resume": "check.option"}

# Names of wings for ``from convblocks import ...``; ``__init__.py`` has their types.
PUBLIC = {"DeadUnits": "diagnosis.callback", "PictureFolder": "pictures.source"}

# The modules of other wings that a wing imports: without them it is left out too.
NEEDS = {
    "compare": ("figures.style",),
    "demo": ("handwriting.predict", "diagnosis.dead_units"),
    "evaluate": ("figures.style",),
    "handwriting": ("pictures.source", "evaluate.loops"),
    "search": ("compare.command",),
}


def is_there(module: str) -> bool:
    """True unless a module of this package, or one that its wing needs, has been removed."""
    parts = module.split(".")
    file = os.path.join(os.path.dirname(__file__), *parts) + ".py"  # pathlib is slow to load
    return os.path.isfile(file) and all(map(is_there, NEEDS.get(parts[0], ())))


def commands() -> Table:
    """The commands that have not been removed, with the full names of their modules."""
    return _full_names(COMMANDS)


def public(name: str) -> str | None:
    """The full name of the module that has a name of ``PUBLIC``; None if it has been removed."""
    return _full_names(PUBLIC).get(name)


def call(
    table: str, function: str, *arguments: Any, kind: type | UnionType = object
) -> Iterator[Any]:
    """Call a function of each module of a table in turn, and yield its result unless that is
    None.

    This is a generator: a function is called only when the next result is asked for. A wing
    of another package that fails is left out, with a line; so is one of ours of which
    somebody has deleted a part.

    Args:
        table: The name of the table.
        function: The name of the function.
        arguments: Its arguments.
        kind: The type that its result must have.

    Raises:
        UserError: a wing refuses the arguments.
    """
    for module in modules(table).values():
        try:
            result = getattr(import_module(module), function)(*arguments)
            if not isinstance(result, kind | None):
                raise TypeError(f"its {function} returns a {type(result).__name__}")
        except ResumeError:
            raise
        except (Exception, SystemExit) as error:
            if not _may_be_left_out(module, error):
                raise
            say_left_out(f"the wing {module}", error)
        else:
            if result is not None:
                yield result


_say_once = cache(print_error)


def say_left_out(what: str, error: BaseException) -> None:
    """Print a line that something of another package is left out, once for each error."""
    _say_once(f"{what} is left out: {type(error).__name__}: {error}")


def _may_be_left_out(module: str, error: BaseException) -> bool:
    """True for an error of another package's wing, or of one of ours of which somebody has
    deleted a part.
    """
    is_missing = isinstance(error, ModuleNotFoundError) and str(error.name).startswith(OURS)
    return is_missing or not module.startswith(OURS)


def run_option_instead(config: Any) -> bool:
    """Let a given option of a wing do what it does in place of training; return whether one
    has done so. The option may raise a UserError.
    """
    for option, module in modules("OPTIONS").items():
        if config.options[option]:
            instead = getattr(import_module(module), "instead", None)
            if instead:
                instead(config)
                return True
    return False


def modules(table: str) -> Table:
    """The full names of a table's modules, by their names in the table. Modules of other
    packages are among them, but cannot take a name of ours.
    """
    ours = _by_name(globals()[table])
    theirs: dict[str, str] = {}
    for wing in _wings_of_other_packages():
        named = getattr(wing, table, ())
        if _is_table(named, table):
            theirs |= _by_name(named)
        else:
            say_left_out(
                f"the table {table} of the wing {wing.__name__}",
                TypeError("it holds something other than names"),
            )
    for name in theirs.keys() & ours.keys():
        del theirs[name]
    return {**_full_names(ours), **theirs}


def _full_names(table: Table) -> Table:
    return {name: f"convblocks.{module}" for name, module in table.items() if is_there(module)}


def _is_table(named: Any, table: str) -> bool:
    names = [*named, *named.values()] if isinstance(named, Mapping) else named
    if not (isinstance(names, tuple | list) and all(isinstance(name, str) for name in names)):
        return False
    options = [*named] if table == "OPTIONS" else []
    return all(map(str.isidentifier, options)) and not {*GROUPS} & {*options}


def _by_name(table: Table | Sequence[str]) -> Table:
    return table if isinstance(table, Mapping) else {module: module for module in table}


def others() -> Any:
    """The entry points of other packages' wings, which are not loaded."""
    from importlib.metadata import entry_points  # slow to load

    try:
        return entry_points(group="convblocks.wings")
    except ValueError as error:  # those of some package are not UTF-8
        say_left_out("every wing of other packages", error)
        return ()


@cache
def _wings_of_other_packages() -> list[Any]:
    wings = []
    for entry in others():
        try:
            wing = entry.load()
            if wing.VERSION != VERSION:
                raise ValueError(
                    f"it is made for version {wing.VERSION} of the tables in wings.py, "
                    f"this is {VERSION}"
                )
            wings.append(wing)
        except (Exception, SystemExit) as error:
            say_left_out(f"the wing {entry.name}", error)
    return wings
