"""The tours of the code, in docs/manual/code.md and exact_resume's README, name what is
there, and show code as it is.
"""

import ast
import re
from functools import cache
from pathlib import Path
from textwrap import dedent

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

WALK = "The walk"

# The walk has at most so many words, beside the code that it shows, and so many files.
MOST_WORDS, MOST_FILES = 1200, 12

# From disk to gradient a reader opens at most so many files, at these stops.
FROM_DISK_TO_GRADIENT = ("data/module.py", "data/loader.py", "model/classifier.py")
MOST_FOR_A_BATCH = 8

FILE = re.compile(r"`([\w/]+\.py)`")
NAME = re.compile(r"`(?:\w+\.)*(?!(?:py|csv|json|yaml)`)([a-zA-Z_]\w+)(?:\([\w, ]*\))?`")

SECTIONS = dict(re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", TOUR, re.MULTILINE | re.DOTALL))

STOP = re.compile(r"^### \d+\. `(\S+)`\n(.*?)(?=^##|\Z)", re.MULTILINE | re.DOTALL)

# The text of each stop of the walks, by its file.
STOPS = dict(STOP.findall(SECTIONS[WALK]))
STOPS_OF_LIBRARY = dict(STOP.findall((SOURCE / "exact_resume" / "README.md").read_text()))


def steps(section: str) -> list[str]:
    """The paragraphs, list items and table rows of a section, or the stops of the walk, without
    blocks of code.
    """
    text = without_code(SECTIONS[section])
    between = r"\n(?=### )" if section == WALK else r"\n\s*\n|\n(?=- |\| )"
    return [step for step in re.split(between, text) if step.strip()]


def without_code(text: str) -> str:
    return re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)


def path_of(name: str) -> Path:
    """A file of a package or, with its whole path, of the repository."""
    folders = (PACKAGE, REPOSITORY, SOURCE / "exact_resume")
    return next((path for each in folders if (path := each / name).is_file()), PACKAGE / name)


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
    """Or, on the walk, names that an earlier stop has had; in other sections what any
    file of the package defines.
    """
    everything, had, missing = sorted(SOURCE.rglob("*.py")), set(OTHERS), []
    for step in steps(section):
        files, names = FILE.findall(step), set(NAME.findall(step))
        paths = (
            [path for path in map(path_of, files) if path.is_file()]
            if section == WALK
            else everything
        )
        unknown = names.difference(had, *map(defined, paths))
        missing += [f"{name} in {', '.join(files) or 'any file'}" for name in sorted(unknown)]
        missing += [name for name in files if not path_of(name).is_file()]
        had |= names
    assert not missing, f"docs/manual/code.md, {section}: no {'; no '.join(missing)}"


@pytest.mark.parametrize(("file", "text"), [*STOPS.items(), *STOPS_OF_LIBRARY.items()])
def test_walk_shows_code_as_it_stands_in_the_file(file: str, text: str) -> None:
    (shown,) = re.findall(r"^```python\n(.*?)\n```", text, re.MULTILINE | re.DOTALL)
    lines = path_of(file).read_text().splitlines()
    length = len(shown.splitlines())
    windows = (lines[start : start + length] for start in range(len(lines)))
    assert shown in (dedent("\n".join(window)) for window in windows)


def test_walk_is_read_in_an_evening() -> None:
    assert 0 < len(STOPS_OF_LIBRARY) <= MOST_FILES / 2
    assert 0 < len(STOPS) <= MOST_FILES
    assert len(without_code(SECTIONS[WALK]).split()) <= MOST_WORDS


def test_walk_follows_a_batch_from_disk_to_gradient_in_few_files() -> None:
    """``wings.py`` is looked up, not read."""
    named = {name for file in FROM_DISK_TO_GRADIENT for name in FILE.findall(STOPS[file])}
    files = {path_of(name) for name in (*named, *FROM_DISK_TO_GRADIENT)} - {PACKAGE / "wings.py"}
    assert len(files) <= MOST_FOR_A_BATCH, sorted(path.name for path in files)
