"""Decides which code a name may run.

A name may come from a checkpoint, which must not decide which code runs. So ``resolve``
only looks into modules that are imported already, and ``instantiate`` only calls what
makes an object of the wanted kind: subclasses, and functions whose return type says so
and that a person has named, for ``import_class``.
"""

import importlib
import inspect
import os
import pkgutil
import sys
import typing
from contextlib import suppress
from pathlib import Path
from traceback import extract_tb
from typing import Any

from convblocks.console import see_current_folder
from convblocks.errors import NotImportedError, UsageError, UserError, did_you_mean, one_line
from convblocks.model.class_specs import Factory, Named, short_name

# The package with the classes of lightning.pytorch once more.
OTHER_LIGHTNING = "pytorch_lightning"
INSTEAD = f"import lightning.pytorch instead of {OTHER_LIGHTNING}"

_named_by_a_person: set[str] = set()


def resolve(named: Named) -> Factory:
    """A class or function, passed or by its dotted name.

    Raises:
        NotImportedError: its module is not imported, or it is local to a function.
        UsageError: the module has no such class or function.
    """
    if not isinstance(named, str):
        return named
    module, _, attribute = named.rpartition(".")
    if "<" in named or module not in sys.modules:
        raise NotImportedError(
            f"{named} is not imported: "
            "import its module first, or pass the class or function itself"
        )
    called = getattr(sys.modules[module], attribute, None)
    if not callable(called):
        hint = did_you_mean(attribute, dir(sys.modules[module]))
        raise UsageError(f"{module} has no class or function {attribute!r}{hint}")
    # The types of its module are unknown.
    return called  # type: ignore[no-any-return]


def import_class(name: str) -> Factory:
    """Like ``resolve``, but first import the module, from the current folder or an
    installed package.

    Raises:
        UsageError: there is no such module, class or function; other errors of the
            module are passed on.
    """
    module = name.rpartition(".")[0]
    if not (module and all(map(str.isidentifier, name.split(".")))):
        raise UsageError(
            f"{name!r} is not the name of a class with its module, such as module.Network"
        )
    see_current_folder()
    try:
        importlib.import_module(module)
    except ModuleNotFoundError as error:
        parent, _, missing = str(error.name).rpartition(".")
        # The hint is looked for in the package or, if there is none, in all folders. The current
        # folder is named in full, since pkgutil remembers which one "" stood for at first.
        folders = [str(Path.cwd()), *sys.path]
        path = getattr(sys.modules.get(parent), "__path__", ()) if parent else folders
        there = pkgutil.iter_modules(path)
        hint = did_you_mean(missing, [found.name for found in there])
        reason = f"{error.msg} in the current folder, and none is installed{hint}"
        if error.name == OTHER_LIGHTNING:
            files = [frame.filename for frame in extract_tb(error.__traceback__)]
            reason = f"{error.msg}: in {[*filter(os.path.isfile, files)][-1]}, {INSTEAD}"
        raise UsageError(f"cannot import {name}: {reason}") from error
    except SystemExit as error:
        raise UsageError(
            f"cannot import {name}: its module ends the program when it is imported: put what it "
            'does then below `if __name__ == "__main__"`'
        ) from error
    _named_by_a_person.add(name)
    return resolve(name)


def instantiate(kind: type, named: Named, /, *arguments: Any, **options: Any) -> Any:
    """Call a class or function, passed or by its dotted name, that makes an object of a kind.

    Raises:
        UsageError: it makes another kind, or refuses the arguments.
    """
    name = short_name(named)
    called = resolve(named)
    check_kind(kind, named, called)
    try:
        made = called(*arguments, **options)
    except UserError:
        raise
    # The code is not ours, and a person has chosen the arguments, so this is the user's error.
    except Exception as error:
        # Values are shortened, since one may print a page.
        words = ", ".join(f"{key}={repr(value)[:60]}" for key, value in options.items())
        words = words or "no arguments"
        reason = one_line(str(error) or repr(error))
        raise UsageError(f"{kind.__name__} {name} cannot be made with {words}: {reason}") from error
    if not isinstance(made, kind):
        raise UsageError(f"{name} returns a {type(made).__name__}, not a {kind.__name__}")
    return made


def check_kind(kind: type, named: Named, called: Factory) -> None:
    """Raise a UsageError unless it is a subclass, or a function: passed, or named by a
    person with its return type.
    """
    is_function = not isinstance(called, type)
    if is_function and not isinstance(named, str):
        return
    made: Any = called
    if is_function:
        # Some types cannot be evaluated.
        with suppress(Exception):
            made = typing.get_type_hints(called).get("return")
    theirs: Any = getattr(sys.modules.get(OTHER_LIGHTNING), kind.__name__, ())
    if is_a(theirs, made):
        child = next(each for each in made.__mro__ if theirs in each.__bases__)
        raise UsageError(
            f"{named} is a {kind.__name__} of {OTHER_LIGHTNING}, which is another class "
            f"than lightning's: in {inspect.getfile(child)}, {INSTEAD}"
        )
    if not is_a(kind, made):
        raise UsageError(
            f"{named} is not a subclass of {kind.__name__}, or a function that says it returns one"
        )
    if is_function and named not in _named_by_a_person:
        raise UsageError(
            f"{named} is a function, which a checkpoint alone must not call: "
            "pass the function itself"
        )


def is_a(kind: Any, named: Any) -> bool:
    """True if something is a class, and a subclass of a kind."""
    return isinstance(named, type) and issubclass(named, kind)


def accepts(named: Named, parameter: str) -> bool:
    """True if a class or function, or the one of a dotted name, has a parameter of this name."""
    # Some builtins have no signature.
    with suppress(ValueError):
        return parameter in inspect.signature(resolve(named)).parameters
    return False
