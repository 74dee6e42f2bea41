"""Classes named in a config or a checkpoint: from a plain value to an object.

A class spec is a short name, the dotted name of a class, or a class with arguments as jsonargparse and LightningCLI
write it: ``{"class_path": "torch.optim.RAdam", "init_args": {"weight_decay": 0.01}}``.

A name may come from a checkpoint, and a checkpoint must not decide which code runs. Therefore ``resolve`` and
``instantiate`` only look into modules that are already imported, and only call classes of the expected kind.
``import_class`` is for names that a person has typed; these may also be functions.
"""

import importlib
import inspect
import sys
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

from convblocks.errors import UsageError

ClassSpec = str | dict[str, Any]

# The names that import_class was called with: a person has typed them.
_typed: set[str] = set()


def short_name(spec: ClassSpec) -> Any:
    """The name as given, short or dotted."""
    return spec if isinstance(spec, str) else spec.get("class_path")


def arguments_of(spec: ClassSpec) -> dict[str, Any]:
    """The arguments given for the class."""
    return {} if isinstance(spec, str) else dict(spec.get("init_args", {}))


def full_name(what: str, spec: ClassSpec, short: Mapping[str, str], package: ModuleType) -> str:
    """The dotted name of the class.

    Args:
        what: The option, for the message.
        spec: The class spec.
        short: Full names by short names.
        package: The package whose classes need no module before their name.

    Raises:
        UsageError: it is not the name of a class.
    """
    name = short_name(spec)
    if name in short:
        return short[name]
    if isinstance(name, str) and "." in name:
        return name
    if isinstance(name, str) and inspect.isclass(getattr(package, name, None)):
        return f"{package.__name__}.{name}"
    some = ", ".join(short)
    raise UsageError(f"unknown {what} {name!r}: choose one of {some}, or give a class, such as {package.__name__}.NAME")


def resolve(name: str) -> Callable[..., Any]:
    """The class or function with a dotted name.

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
    """Whether the module of a dotted name is already imported."""
    return name.rpartition(".")[0] in sys.modules


def import_class(name: str) -> Callable[..., Any]:
    """Like ``resolve``, but first import the module, from the current folder or an installed package.

    Raises:
        UsageError: there is no such module, class or function. Errors inside the module are passed on.
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
            raise  # the module exists, but one of its own imports does not
        where = "neither in the current folder nor installed"
        raise UsageError(f"cannot import {name}: there is no module {error.name}, {where}") from error
    _typed.add(name)
    return resolve(name)


def see_current_folder() -> None:
    """Let Python import modules from the current folder too, not only from the script's."""
    if "" not in sys.path:
        sys.path.append("")


def instantiate(kind: type, name: str, *arguments: Any, **named: Any) -> Any:
    """Call the class or function with a dotted name, and check that the result is of the expected kind.

    Raises:
        UsageError: the result is of another kind, or the arguments are refused.
    """
    what, called = kind.__name__, resolve(name)
    if isinstance(called, type) and not issubclass(called, kind):
        raise UsageError(f"the class {name} is not a subclass of {what}")
    if not isinstance(called, type) and name not in _typed:
        raise UsageError(
            f"{name} is a function, which a checkpoint alone must not call: `names.import_class({name!r})` first"
        )
    try:
        made = called(*arguments, **named)
    except Exception as error:  # from code that is not ours, about arguments that a person chose
        given = ", ".join(f"{key}={value!r}" for key, value in named.items()) or "no arguments"
        raise UsageError(f"{what} {name} cannot be made with {given}: {' '.join(str(error).split())}") from error
    if not isinstance(made, kind):
        raise UsageError(f"{name} returns a {type(made).__name__}, not a {what}")
    return made


def _how_to_import(module_name: str) -> str:
    return f"put `import {module_name}` first" if module_name else "give its module too, as in module.Name"
