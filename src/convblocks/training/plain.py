"""What a parser has understood, as values that YAML and JSON can hold."""

import inspect
from enum import Enum
from typing import Any

import jsonargparse

from convblocks.model import names


def plain(value: Any) -> Any:
    """A parsed value without objects, and without what is None; of a class only what is not its default."""
    if isinstance(value, jsonargparse.Namespace):
        parts = vars(value)
        if "class_path" in parts:
            return {"class_path": parts["class_path"], "init_args": _not_defaults(**parts)}
        return {option: plain(one) for option, one in parts.items() if one is not None}
    if isinstance(value, dict):
        return {key: plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    if isinstance(value, Enum):
        return value.value
    return value if isinstance(value, str | int | float | None) else str(value)


def _not_defaults(class_path: str, init_args: jsonargparse.Namespace | None = None, **_: Any) -> dict[str, Any]:
    """The arguments of a class that are not its defaults."""
    defaults = inspect.signature(names.import_class(class_path)).parameters
    arguments = vars(init_args) if init_args else {}
    return {
        option: plain(value)
        for option, value in arguments.items()
        if (value is not None if option not in defaults else value != defaults[option].default)
    }
