"""Private names of other packages: those that a file uses, and whether an installed
version has one.
"""

import ast
import re
from collections.abc import Iterator
from importlib import import_module
from inspect import getsource
from itertools import chain
from pathlib import Path
from types import ModuleType

from exact_resume.lightning_private import Private


def constants(module: ModuleType) -> list[Private]:
    """The private names of a module, each a constant or one of a list."""
    values = [*vars(module).values()]
    lists = [value for value in values if isinstance(value, list)]
    return [value for value in chain(values, *lists) if isinstance(value, Private)]


def is_there(private: Private) -> bool:
    """Whether the installed version has it: as an attribute, or set by a method."""
    module, _, kind = private.place.partition(":")
    owner = import_module(module)
    if not kind:
        return hasattr(owner, private.name)
    owner = getattr(owner, kind)
    sources = map(getsource, owner.__mro__[:-1])
    return hasattr(owner, private.name) or any(
        re.search(rf"self\.{private.name}\b", source) for source in sources
    )


def private_names(path: Path) -> Iterator[tuple[str, int]]:
    """The private names of others that a file reads, replaces or imports, and their lines."""
    for node in ast.walk(ast.parse(path.read_text())):
        match node:
            case ast.Import():
                names = ".".join(alias.name for alias in node.names).split(".")
            case ast.ImportFrom():
                names = [*(node.module or "").split("."), *(alias.name for alias in node.names)]
            case ast.Attribute(value=ast.Name("self" | "cls")):
                continue
            case ast.Attribute():
                names = [node.attr]
            case ast.Call(
                func=ast.Name("getattr" | "hasattr" | "setattr" | "delattr"),
                args=[_, ast.Constant(str(name)), *_],
            ):
                names = [name]
            case _:
                continue
        yield from ((name, node.lineno) for name in names if is_private(name))


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")
