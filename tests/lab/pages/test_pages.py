"""The documentation's pages are made of docs/data/: nobody writes a number by hand."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from convblocks.errors import UserError
from lab.pages import __main__ as pages
from lab.pages import results
from lab.pages.writing import DATA, SECTION
from lab.results import read_results, write_results
from tests.conftest import REPOSITORY

# The study's page has most runs, and figures; for that on handwriting 400 pictures are drawn.
MARKS = {"results": [pytest.mark.slow], "handwriting": [pytest.mark.nightly]}
COMMITTED = [pytest.param(name, marks=MARKS.get(name, [])) for name in pages.PAGES]

# Root mean square of the differences between two pictures' values, 0..255, that may be.
TOLERANCE = 3.0

# Another version of matplotlib sets letters a little differently, which does not show in a picture this much smaller.
SHRUNK = 16


def written(page: str, data: Path, folder: Path) -> dict[str, Path]:
    """The files of a page, by their names in the repository."""
    for name in ("lab", "manual"):
        (folder / "docs" / name).mkdir(parents=True)
    _, write = pages.PAGES[page]
    write(data, folder)
    return {str(path.relative_to(folder)): path for path in folder.rglob("*") if path.is_file()}


def are_alike(made: Path, committed: Path) -> bool:
    """Pages to the byte; pictures except for what versions of matplotlib draw differently."""
    if made.suffix != ".png":
        return made.read_bytes() == committed.read_bytes()
    with Image.open(made) as first, Image.open(committed) as second:
        if first.size != second.size:
            return False
        scale = 1 if first.info.get("Software") == second.info.get("Software") else SHRUNK
        values = [np.asarray(image.convert("RGB").reduce(scale), float) for image in (first, second)]
    return bool(np.sqrt(np.mean((values[0] - values[1]) ** 2)) <= TOLERANCE)


@pytest.mark.parametrize("page", COMMITTED)
def test_page_is_made_of_the_numbers_that_are_kept(page: str, tmp_path: Path) -> None:
    files = written(page, DATA, tmp_path)
    assert any(name.endswith((".md", ".html")) for name in files)
    different = [name for name, path in files.items() if not are_alike(path, REPOSITORY / name)]
    assert not different, "not made of docs/data/: run python -m lab.pages"


def test_answer_changes_with_the_study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the names of the two networks exchanged, BatchNorm is the better one."""
    monkeypatch.setattr(results, "save_in_both_themes", lambda draw, path: None)
    exchanged = {"maxpool": "batchnorm", "batchnorm": "maxpool"}
    for name in ("study-choose", "study-confirm"):
        runs = [replace(run, arch=exchanged.get(run.arch, run.arch)) for run in read_results(DATA / f"{name}.jsonl")]
        write_results(tmp_path / f"{name}.jsonl", runs)
    for name in ("errors.json", "onecycle.jsonl", "candidates-long.jsonl"):
        shutil.copy(DATA / name, tmp_path)
    files = written("results", tmp_path, tmp_path / "out")
    readme, page = files["README.md"].read_text(), files["docs/lab/results.md"].read_text()
    assert "Tuned, BatchNorm wins: it gets 99.41 % of MNIST's test images right, against MaxPool's 99.12 %" in readme
    assert "BatchNorm (lr 3e-3, onecycle) is better than MaxPool (lr 1e-2, onecycle) by 0.29 points" in page
    before = (REPOSITORY / "README.md").read_text()
    old, new = (dict(SECTION.findall(text)) for text in (before, readme))
    assert {name for name in old if old[name] != new[name]} == {"answer", "rates"}
    assert SECTION.sub("", readme) == SECTION.sub("", before)


def test_pages_without_numbers_are_named_with_the_command_and_left(tmp_path: Path) -> None:
    data, lab = tmp_path / "data", tmp_path / "out" / "docs" / "lab"
    data.mkdir()
    shutil.copy(DATA / "pictures.json", data)
    with pytest.raises(UserError) as caught:
        pages.write_pages(data, tmp_path / "out")
    message = str(caught.value)
    for page, (command, _) in pages.PAGES.items():
        is_written = page in ("pictures", "code")  # the latter needs no numbers
        assert (f"{page} (" in message) != is_written
        assert is_written or f": python {command})" in message
    assert "\n" not in message
    assert [path.name for path in lab.iterdir()] == ["pictures.md"]
