"""The tour of the code, docs/manual/code.md, names what is there: each name in a file
that the same step names.
"""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from convblocks import wings
from tests.conftest import REPOSITORY

SOURCE = REPOSITORY / "src"
PACKAGE = SOURCE / "convblocks"
TOUR = (REPOSITORY / "docs" / "manual" / "code.md").read_text()

# Commands, names of torch, Lightning and the notebook, and what only another package's wing
# defines.
OTHERS = {
    *wings.COMMANDS,
    "make_keeper",
    "zero_grad",
    "backward",
    "step",
    "ToTensor",
    "Normalize",
    "DataLoader",
    "Linear",
}

# The most files that a reader opens on each walk.
WALKS = {"Follow one batch": 8, "Follow one setting": 6, "Follow one result": 6}

FILE = re.compile(r"`([\w/]+\.py)`")
NAME = re.compile(r"`(?:\w+\.)*(?!(?:py|csv|json|yaml)`)([a-zA-Z_]\w+)(?:\([\w, ]*\))?`")

SECTIONS = dict(re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", TOUR, re.MULTILINE | re.DOTALL))


def steps(section: str) -> list[str]:
    """The paragraphs, list items and table rows of a section, without blocks of code."""
    text = re.sub(r"^```.*?^```", "", SECTIONS[section], flags=re.MULTILINE | re.DOTALL)
    return [step for step in re.split(r"\n\s*\n|\n(?=\d\. |- |\| )", text) if step.strip()]


def path_of(name: str) -> Path:
    """A file of the package or, with its whole path, of the repository."""
    return next(
        (path for path in (PACKAGE / name, REPOSITORY / name) if path.is_file()), PACKAGE / name
    )


@cache
def defined(path: Path) -> set[str]:
    """What a file defines: classes, functions and their parameters, variables and attributes."""
    names = set[str]()
    for node in ast.walk(ast.parse(path.read_text())):
        match node:
            case ast.ClassDef(name=name) | ast.FunctionDef(name=name) | ast.arg(arg=name):
                names.add(name)
            case ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store()):
                names.add(name)
    return names


@pytest.mark.parametrize("section", SECTIONS)
def test_tour_names_files_and_what_those_of_each_step_define(section: str) -> None:
    """Or, on a walk, names that an earlier step has had; in other sections what any
    file of the package defines.
    """
    everything, had, missing = sorted(SOURCE.rglob("*.py")), set(OTHERS), []
    for step in steps(section):
        files, names = FILE.findall(step), set(NAME.findall(step))
        paths = (
            [path for path in map(path_of, files) if path.is_file()]
            if section in WALKS
            else everything
        )
        unknown = names.difference(had, *map(defined, paths))
        missing += [f"{name} in {', '.join(files) or 'any file'}" for name in sorted(unknown)]
        missing += [name for name in files if not path_of(name).is_file()]
        had |= names
    assert not missing, f"docs/manual/code.md, {section}: no {'; no '.join(missing)}"


@pytest.mark.parametrize("walk", WALKS)
def test_tour_is_short(walk: str) -> None:
    """The numbered steps; ``wings.py`` is looked up, not read."""
    numbered = [step for step in steps(walk) if re.match(r"\s*\d\. ", step)]
    files = {path_of(name) for step in numbered for name in FILE.findall(step)} - {
        PACKAGE / "wings.py"
    }
    assert len(files) <= WALKS[walk], sorted(path.name for path in files)
