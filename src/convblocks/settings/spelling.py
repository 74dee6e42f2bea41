"""Finds misspelt names of classes on a command line, before torch is imported."""

import ast
from collections.abc import Iterator
from pathlib import Path

from convblocks.errors import UsageError, did_you_mean
from convblocks.record.sources import source_in

# A module that defines this function, or imports all names of another, may have any name.
ANY_NAME = "__getattr__"


def refuse_no_class(named: str) -> None:
    """Raise a UsageError for a class that a module in the current folder does not have.

    Nothing is imported: other mistakes show when the module is.
    """
    module, _, name = named.rpartition(".")
    file = source_in(Path.cwd(), module)
    if not file:
        return
    try:
        names = {*_names_in(ast.parse(file.read_bytes()))}
    except (SyntaxError, ValueError, OSError, RecursionError):
        return
    if not {name, ANY_NAME} & names:
        raise UsageError(f"{module} has no class or function {name!r}{did_you_mean(name, names)}")


def _names_in(node: ast.AST) -> Iterator[str]:
    """The names that a module binds, also in its conditions and loops."""
    for child in ast.iter_child_nodes(node):
        match child:
            case ast.ClassDef(name=name) | ast.FunctionDef(name=name):
                yield name
            case ast.Import(names=aliases) | ast.ImportFrom(names=aliases):
                for alias in aliases:
                    yield ANY_NAME if alias.name == "*" else (alias.asname or alias.name)
            case ast.Name(id=name, ctx=ast.Store()):
                yield name
            case _:
                yield from _names_in(child)
