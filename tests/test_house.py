"""What ``lint-imports`` does not see of the house's rules.

Its contracts, in pyproject.toml, say what may import what.
"""

import re
import tomllib
from pathlib import Path

import pytest

from convblocks import wings
from tests.conftest import REPOSITORY
from tests.private_names import private_names

PACKAGE = REPOSITORY / "src" / "convblocks"

WINGS = sorted({path.parent.name for path in PACKAGE.glob("*/__init__.py")}.difference(wings.CORE))


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
        importer, imported = re.findall(r"convblocks(?:\.(\w+))?", arrow)
        if importer:  # the package itself names those in PUBLIC
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
