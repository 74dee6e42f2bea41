"""What ``lint-imports`` does not see of the house's rules, and how much code there is.

Its contracts, in pyproject.toml, say what may import what.
"""

import re
import tomllib
from collections.abc import Sequence
from pathlib import Path

import pytest

from convblocks import wings
from tests.conftest import REPOSITORY
from tests.density import density, functions_with_many_branches
from tests.private_names import private_names

PACKAGE = REPOSITORY / "src" / "convblocks"

# The folders that nobody may remove; the others are wings.
CORE = {"data", "model", "run"}
WINGS = sorted({path.parent.name for path in PACKAGE.glob("*/__init__.py")} - CORE)


def files(*folders: str) -> list[Path]:
    """All Python files in folders of the repository."""
    return [path for folder in folders for path in sorted((REPOSITORY / folder).rglob("*.py"))]


# Without the files of `convblocks new`, which are a project's own.
TEMPLATE = PACKAGE / "new" / "template"
MODULES = [path for path in files("src") if TEMPLATE not in path.parents]


def needed_by(wing: str) -> set[str]:
    """The wings that a wing cannot do without, directly or through others."""
    direct = {module.partition(".")[0] for module in wings.NEEDS.get(wing, ())}
    return direct.union(*map(needed_by, direct))


@pytest.mark.parametrize("wing", WINGS)
def test_wing_is_named_as_a_string_only_in_wings_py(wing: str) -> None:
    may_name_it = {wing, *(other for other in WINGS if wing in needed_by(other))}
    name = re.compile(rf'"(convblocks\.)?{wing}\.(?!json)\w+"')
    for path in (path for path in MODULES if PACKAGE in path.parents):
        is_inside = may_name_it.intersection(path.relative_to(REPOSITORY).parts)
        if path != PACKAGE / "wings.py" and not is_inside:
            assert not name.search(path.read_text()), f"{path} names {wing}"


def test_wing_may_import_what_wings_py_says_that_it_needs() -> None:
    """The contract allows no other import, and each that it allows is there."""
    settings = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
    contract = settings["tool"]["importlinter"]["contracts"][0]
    allowed: dict[str, set[str]] = {wing: set() for wing in WINGS}
    for arrow in contract["ignore_imports"]:
        importer, imported = re.findall(r"convblocks\.(\w+)", arrow)
        if importer != "wings":
            allowed[importer].add(imported)
    for wing, others in allowed.items():
        direct = {module.partition(".")[0] for module in wings.NEEDS.get(wing, ())}
        assert direct <= others <= needed_by(wing), wing


# Private names of other packages than Lightning and torchdata, by file: what Python and
# argparse have no public name for, what subclasses of torch's classes need, Optuna's
# number of a trial, and a NamedTuple's own.
PRIVATE = {
    "convblocks/command_line.py": {"_option_string_actions"},
    "convblocks/compare/preload.py": {"_exit"},
    "convblocks/console.py": {"_exit", "_getframe", "_run_exitfuncs", "_shutdown"},
    "convblocks/diagnosis/callback.py": {"_asdict"},
    "convblocks/model/batch_norm.py": {"_BatchNorm"},
    "convblocks/model/classifier.py": {"_apply"},
    "convblocks/pictures/lazy.py": {
        "_C",
        "_disabled_torch_function_impl",
        "_make_wrapper_subclass",
        "_pytree",
    },
    "convblocks/search/worker.py": {"_trial_id"},
}


def test_private_names_stand_in_the_files_made_for_them() -> None:
    for path in files("src"):
        if path.name != "lightning_private.py":
            allowed = PRIVATE.get(path.relative_to(REPOSITORY / "src").as_posix(), set())
            assert {name for name, _ in private_names(path)} == allowed, path


# What adds a feature raises a number, and the commit says by how much and for what.
@pytest.mark.parametrize(
    ("paths", "most"),
    [
        pytest.param(
            [*PACKAGE.glob("*.py"), *files(*(f"src/convblocks/{folder}" for folder in CORE))],
            35_960,
            id="core",
        ),
        pytest.param(files("src/exact_resume"), 16_364, id="exact_resume"),
        pytest.param(files("src"), 100_125, id="src"),
    ],
)
def test_content_does_not_grow(paths: Sequence[Path], most: int) -> None:
    """In tokens, so that a long name or another line costs nothing."""
    assert density(paths).tokens <= most


@pytest.mark.parametrize(("folder", "most"), [("src", 44), ("lab", 45), ("tests", 45)])
def test_lines_of_code_are_short_on_average(folder: str, most: float) -> None:
    assert density(files(folder)).characters_a_line <= most


@pytest.mark.parametrize("folder", ["src", "lab", "scripts", "tests"])
def test_lines_have_at_most_100_columns(folder: str) -> None:
    wide = [
        f"{path}:{number}"
        for path in files(folder)
        for number, line in enumerate(path.read_text().splitlines(), start=1)
        if len(line) > 100
    ]
    assert not wide


def test_lines_of_code_have_few_branches_on_average() -> None:
    assert density(files("src")).branches_a_line <= 0.23


@pytest.mark.parametrize("folder", ["src", "lab"])
def test_functions_have_at_most_12_branches(folder: str) -> None:
    """Unless a comment at the ``def`` says that it is one table or one match."""
    found = [each for path in files(folder) for each in functions_with_many_branches(path, 12)]
    assert not found, "\n".join(found)
