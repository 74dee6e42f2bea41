"""What a dotted name such as ``torch.optim.RAdam`` stands for.

A name may come out of a checkpoint, and a checkpoint must not decide which code is run: only modules that are imported
already are looked into, and only classes of the kind that is wanted are called. ``load`` is for names that a person has
typed; these may be functions too.
"""

import importlib
import sys
from collections.abc import Callable
from typing import Any

from convblocks.errors import UsageError

_typed: set[str] = set()


def find(name: str) -> Callable[..., Any]:
    """The class or function of that name.

    Raises:
        UsageError: its module is not imported, or has no such class or function.
    """
    module_name, _, own_name = name.rpartition(".")
    if not is_imported(name):
        raise UsageError(f"{name} is not imported: {_how_to_import(module_name)}")
    found = getattr(sys.modules[module_name], own_name, None)
    if not callable(found):
        raise UsageError(f"{module_name} has no class or function {own_name!r}")
    return found  # type: ignore[no-any-return]  # of an unknown module


def is_imported(name: str) -> bool:
    """Whether the module of that name is imported already."""
    return name.rpartition(".")[0] in sys.modules


def load(name: str) -> Callable[..., Any]:
    """The same, and its module is imported first: from the current folder, or an installed package.

    Raises:
        UsageError: there is no such module, class or function. What goes wrong inside the module is passed on.
    """
    if not all(part.isidentifier() for part in name.split(".")):
        raise UsageError(f"{name!r} is not the name of a class, such as module.Network")
    module_name, _, _ = name.rpartition(".")
    if not module_name:
        raise UsageError(f"{name} is not imported: {_how_to_import(module_name)}")
    see_current_folder()
    try:
        importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise  # the module is there, and misses another
        where = "neither in the current folder nor installed"
        raise UsageError(f"cannot import {name}: there is no module {error.name}, {where}") from error
    _typed.add(name)
    return find(name)


def see_current_folder() -> None:
    """Let modules be imported from the current folder too: Python looks in that of the script instead."""
    if "" not in sys.path:
        sys.path.append("")


def call(kind: type, name: str, *arguments: Any, **named: Any) -> Any:
    """Call what a name stands for, to get something of that kind.

    Raises:
        UsageError: it makes nothing of the kind, or does not take these arguments or these values.
    """
    what, called = kind.__name__, find(name)
    if isinstance(called, type) and not issubclass(called, kind):
        raise UsageError(f"the class {name} is no {what}")
    if not isinstance(called, type) and name not in _typed:
        raise UsageError(f"{name} is a function, which a checkpoint alone must not call: `names.load({name!r})` first")
    try:
        made = called(*arguments, **named)
    except Exception as error:  # of code that is not ours, about arguments that a person chose
        given = ", ".join(f"{key}={value!r}" for key, value in named.items()) or "no arguments"
        raise UsageError(f"{what} {name} cannot be made with {given}: {' '.join(str(error).split())}") from error
    if not isinstance(made, kind):
        raise UsageError(f"{name} makes a {type(made).__name__}, which is no {what}")
    return made


def _how_to_import(module_name: str) -> str:
    return f"put `import {module_name}` first" if module_name else "give its module too, as in module.Name"
