"""Looks up the private names of other packages in the versions that are installed."""

import ast
import re
from collections.abc import Iterator
from importlib import import_module
from inspect import getsource
from pathlib import Path


def is_there(place: str) -> bool:
    """Whether a class still has an attribute: its own, a declared one, or one that its
    methods assign.

    Args:
        place: ``module:Class.attribute``.
    """
    module, _, names = place.partition(":")
    class_name, _, attribute = names.partition(".")
    kind = getattr(import_module(module), class_name, None)
    if kind is None:
        return False
    if hasattr(kind, attribute):
        return True
    ours = [base for base in kind.__mro__ if base is not object]
    is_declared = any(attribute in vars(base).get("__annotations__", ()) for base in ours)
    assigned = re.compile(rf"\bself\.{attribute}\b[^=\n]*=[^=]")
    return is_declared or any(assigned.search(getsource(base)) for base in ours)


def private_names(path: Path) -> Iterator[str]:
    """The private names of other objects that a file imports, reads or sets."""
    for node in ast.walk(ast.parse(path.read_text())):
        match node:
            case ast.ImportFrom():
                yield from (alias.name for alias in node.names if is_private(alias.name))
            case ast.Attribute(value=ast.Name("self" | "cls")):
                continue
            case ast.Attribute() if is_private(node.attr):
                yield node.attr


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.endswith("__")
