"""Packages have layers: imports only go to the same package or to a lower layer."""

import ast
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY

PACKAGE = REPOSITORY / "src" / "convblocks"

# From the lowest layer up. A package imports from itself and from lower layers.
FLOORS = (
    {"errors"},
    {"atomic", "tables", "estimates"},
    {"console", "command_line", "data"},
    {"runs", "model"},
    {"figures"},
    {"evaluation"},
    {"training", "handwriting"},
    {"comparison"},
    {"search"},
    {"__main__"},
)


def name_of(path: Path) -> str:
    """The module's full name."""
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


# Without the files of `convblocks new`, which import each other from the current folder.
TEMPLATE = PACKAGE / "training" / "template"
PATHS = [path for path in sorted(PACKAGE.rglob("*.py")) if path.parent != TEMPLATE and path != PACKAGE / "__init__.py"]
MODULES = {name_of(path): path for path in PATHS}


def imported(path: Path) -> set[str]:
    """The modules of this package that a file imports, in functions too."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            # In "from a.b import c" either a.b.c is a module or a.b is.
            of_names = {f"{node.module}.{alias.name}" for alias in node.names}
            names |= of_names & MODULES.keys() or {node.module} & MODULES.keys()
    return names


@pytest.mark.parametrize("module", MODULES)
def test_no_import_runs_up(module: str) -> None:
    floor = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}
    own = module.split(".")[1]
    for other in imported(MODULES[module]):
        room = other.split(".")[1]
        assert room == own or floor[room] < floor[own], f"{module} imports {other}"


def test_no_imports_go_in_a_circle() -> None:
    waiting = {module: imported(path) for module, path in MODULES.items()}
    while free := {module for module, needed in waiting.items() if not needed & waiting.keys()}:
        waiting = {module: needed for module, needed in waiting.items() if module not in free}
    assert not waiting


def test_the_house_can_be_overlooked() -> None:
    names = {path.stem for path in PACKAGE.iterdir()} - {"__pycache__", "__init__", "py"}  # py.typed
    assert names == set().union(*FLOORS)
    assert len(names) <= 16
    for path in MODULES.values():
        assert len(path.read_text().splitlines()) <= 300, path
