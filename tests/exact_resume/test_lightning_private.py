"""Private names of other packages: each is there in the installed versions, and stands
in one of the files that are made for them.
"""

import ast
import inspect
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

from exact_resume import lightning_private
from exact_resume.lightning_private import Private

PACKAGE = Path(lightning_private.__file__).parent

NAMES = [value for value in vars(lightning_private).values() if isinstance(value, Private)]


def is_there(private: Private) -> bool:
    """Whether the installed version has it: as an attribute, or set by a method."""
    module, _, kind = private.place.partition(":")
    owner = import_module(module)
    if not kind:
        return hasattr(owner, private.name)
    owner = getattr(owner, kind)
    sources = map(inspect.getsource, owner.__mro__[:-1])
    return hasattr(owner, private.name) or any(
        re.search(rf"self\.{private.name}\b", source) for source in sources
    )


@pytest.mark.parametrize("private", NAMES, ids=lambda private: private.name)
def test_private_name_is_there(private: Private) -> None:
    assert is_there(private), (
        f"{private.place} has no {private.name} any more, which was for: {private.purpose}"
    )


def test_private_name_that_is_gone_is_noticed() -> None:
    assert not is_there(Private("lightning.pytorch:Trainer", "_no_such_name", "nothing"))
    assert not is_there(Private("lightning.fabric.utilities.data", "_no_such_name", "nothing"))


def private_names(path: Path) -> Iterator[str]:
    """The private names of others that a file reads, replaces or imports."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            yield from (f"{alias.name}, {path}" for alias in node.names if is_private(alias.name))
        if isinstance(node, ast.Attribute) and is_private(node.attr):
            is_own = isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")
            if not is_own:
                yield f"{node.attr}, {path}:{node.lineno}"


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def test_no_other_file_has_a_private_name() -> None:
    others = [path for path in PACKAGE.rglob("*.py") if path.name != "lightning_private.py"]
    assert [name for path in others for name in private_names(path)] == []
    known = {private.name for private in NAMES}
    for path in others:
        texts = {
            node.value
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Constant) and isinstance(node.value, str)
        }
        assert texts & known == set(), path
