"""Classes that a config and a checkpoint name in plain values.

Each is given as a short name, as the name of a class, or as a class with arguments, written as jsonargparse and
LightningCLI write it: ``{"class_path": "torch.optim.RAdam", "init_args": {"weight_decay": 0.01}}``.
"""

import inspect
from collections.abc import Mapping
from types import ModuleType
from typing import Any

from convblocks.errors import UsageError

Choice = str | dict[str, Any]


def short_name(choice: Choice) -> Any:
    """The name as it was given."""
    return choice if isinstance(choice, str) else choice.get("class_path")


def given_arguments(choice: Choice) -> dict[str, Any]:
    """The arguments of the class."""
    return {} if isinstance(choice, str) else dict(choice.get("init_args", {}))


def full_name(what: str, choice: Choice, short: Mapping[str, str], package: ModuleType) -> str:
    """The class's name with its module.

    Args:
        what: The option, for the message.
        choice: What was given.
        short: Short names and what they stand for.
        package: Whose classes need no module before their name.

    Raises:
        UsageError: it is the name of no class.
    """
    name = short_name(choice)
    if name in short:
        return short[name]
    if isinstance(name, str) and "." in name:
        return name
    if isinstance(name, str) and inspect.isclass(getattr(package, name, None)):
        return f"{package.__name__}.{name}"
    some = ", ".join(short)
    raise UsageError(f"unknown {what} {name!r}: choose one of {some}, or give a class, such as {package.__name__}.NAME")
