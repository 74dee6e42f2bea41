"""The core imports no wing, imports go one way, and only wings.py names a wing."""

import ast
import re
from pathlib import Path

import pytest

from convblocks import wings
from tests.conftest import REPOSITORY

PACKAGE = REPOSITORY / "src" / "convblocks"

# The core, from the lowest floor up: a room imports from itself and from lower floors.
FLOORS = (
    {"errors"},
    {"files", "text"},
    {"console", "command_line"},
    {"wings"},
    {"data"},
    {"model"},
    {"run"},
    {"__main__"},
)
CORE = set[str]().union(*FLOORS)

# Within run/ likewise.
FLOORS_OF_RUN = (
    {"judge", "signals", "slurm", "provenance", "checkpoints"},
    {"quiet", "result", "preemption", "process_state"},
    {"resume"},
    {"directory"},
    {"metrics_log"},
    {"callbacks", "parser"},
    {"config"},
    {"run"},
    {"finish", "friendly_errors"},
    {"fit"},
)

# Each wing, and the wings that it may import.
ARROWS: dict[str, set[str]] = {
    "fast": set(),
    "pictures": set(),
    "diagnosis": set(),
    "boards": set(),
    "cluster": set(),
    "compat": set(),
    "figures": set(),
    "evaluate": {"figures"},
    "handwriting": {"pictures"},
    "demo": {"diagnosis", "handwriting", "pictures"},
    "compare": {"figures"},
    "search": {"compare", "figures"},
    "new": set(),
    "check": set(),
}

# In lines of Python.
MOST_IN_CORE, MOST_IN_PACKAGE, MOST_IN_FILE = 4_800, 11_500, 300


def name_of(path: Path) -> str:
    """The module's full name."""
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


# Without the files of `convblocks new`, which are a project's own.
TEMPLATE = PACKAGE / "new" / "template"
PATHS = [
    path
    for path in sorted(PACKAGE.rglob("*.py"))
    if TEMPLATE not in path.parents and path != PACKAGE / "__init__.py"
]
MODULES = {name_of(path): path for path in PATHS}


def room_of(module: str) -> str:
    """The folder or top file that a module is in."""
    return module.split(".")[1]


OF_CORE = [module for module in MODULES if room_of(module) in CORE]
WINGS = [wing for wing in ARROWS if (PACKAGE / wing).is_dir()]  # one may have been taken off


def imported(path: Path) -> set[str]:
    """The modules of this package that a file imports, in functions too, but not for types only."""
    names: set[str] = set()
    tree = ast.parse(path.read_text())
    tree.body = [
        node for node in tree.body if ast.unparse(node).partition("\n")[0] != "if TYPE_CHECKING:"
    ]
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            # In "from a.b import c" either a.b.c is a module or a.b is.
            submodules = {f"{node.module}.{alias.name}" for alias in node.names}
            names |= submodules & MODULES.keys() or {node.module} & MODULES.keys()
    return names


def floor(name: str, floors: tuple[set[str], ...]) -> int:
    """The number of a name's floor; for one that has none, such as a wing, above all."""
    return next((number for number, names in enumerate(floors) if name in names), len(floors))


def may_import(module: str, target: str) -> bool:
    room, target_room = room_of(module), room_of(target)
    if room in WINGS:
        return target_room in {room} | ARROWS[room] | CORE - {"__main__"}
    if room == target_room == "run":
        name, target_name = module.rpartition(".")[2], target.rpartition(".")[2]
        return floor(target_name, FLOORS_OF_RUN) < floor(name, FLOORS_OF_RUN)
    return room == target_room or floor(target_room, FLOORS) < floor(room, FLOORS)


def test_rooms_are_those_of_the_core_and_the_wings() -> None:
    rooms = {path.stem for path in PACKAGE.iterdir()} - {
        "__pycache__",
        "__init__",
        "py",
    }  # py.typed
    assert rooms == CORE | set(WINGS)


@pytest.mark.parametrize("module", MODULES)
def test_imports_run_down_and_along_the_arrows(module: str) -> None:
    for target in imported(MODULES[module]):
        assert may_import(module, target), f"{module} imports {target}"


@pytest.mark.parametrize("wing", WINGS)
def test_wing_is_named_as_a_string_only_in_wings_py(wing: str) -> None:
    may = {wing, *(room for room, arrows in ARROWS.items() if wing in arrows)}
    for module, path in MODULES.items():
        is_named = re.search(rf'"(convblocks\.)?{wing}\.(?!json)\w+"', path.read_text())
        assert room_of(module) in may or module == "convblocks.wings" or not is_named, (
            f"{module} names {wing}"
        )


@pytest.mark.parametrize("wing", WINGS)
def test_wing_is_left_out_without_those_it_needs(wing: str) -> None:
    """What wings.py says of needs is what the imports say."""
    modules = [path for module, path in MODULES.items() if room_of(module) == wing]
    seen = {room_of(target) for path in modules for target in imported(path)} & set(ARROWS) - {wing}
    needed, more = set[str](), {wing}
    while (
        more := {need.partition(".")[0] for name in more for need in wings.NEEDS.get(name, ())}
        - needed
    ):
        needed |= more
    assert seen <= needed <= ARROWS[wing]


def test_lab_is_imported_by_nothing() -> None:
    """It is in the repository, and not installed."""
    for path in sorted(PACKAGE.rglob("*.py")):
        assert not re.search(r"^\s*(from|import) lab\b", path.read_text(), re.MULTILINE), path


def test_imports_go_in_no_circle() -> None:
    waiting = {module: imported(path) for module, path in MODULES.items()}
    while free := {module for module, needed in waiting.items() if not needed & waiting.keys()}:
        waiting = {module: needed for module, needed in waiting.items() if module not in free}
    assert not waiting


def lines(paths: list[Path]) -> int:
    return sum(len(path.read_text().splitlines()) for path in paths)


def test_core_is_read_in_an_evening() -> None:
    assert (
        lines([MODULES[module] for module in OF_CORE]) + lines([PACKAGE / "__init__.py"])
        <= MOST_IN_CORE
    )


def test_package_does_not_grow() -> None:
    """With the files of ``convblocks new``."""
    assert lines(list(PACKAGE.rglob("*.py"))) <= MOST_IN_PACKAGE


def test_file_is_read_at_a_stretch() -> None:
    for path in PATHS:
        assert lines([path]) <= MOST_IN_FILE, path
