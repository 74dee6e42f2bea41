"""The documentation's pages are made of docs/data/: nobody writes a number by hand."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lab.pages import __main__ as pages
from lab.pages import errors
from lab.pages.writing import DATA, read_raw_numbers
from tests.conftest import REPOSITORY

# These pages have most runs, and figures; for that on handwriting 400 pictures are drawn.
SLOW = [pytest.mark.slow]
MARKS = {"results": SLOW, "operations": SLOW, "handwriting": [pytest.mark.nightly]}
COMMITTED = [pytest.param(name, marks=MARKS.get(name, [])) for name in pages.PAGES]

# Root mean square of the differences between two pictures' values, 0..255, that may be.
TOLERANCE = 3.0

# Another version of matplotlib sets letters a little differently, which does not show
# in a picture this much smaller.
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
        values = [
            np.asarray(image.convert("RGB").reduce(scale), float) for image in (first, second)
        ]
    return bool(np.sqrt(np.mean((values[0] - values[1]) ** 2)) <= TOLERANCE)


@pytest.mark.parametrize("page", COMMITTED)
def test_page_is_made_of_the_numbers_that_are_kept(page: str, tmp_path: Path) -> None:
    files = written(page, DATA, tmp_path)
    assert any(name.endswith((".md", ".html")) for name in files)
    different = [name for name, path in files.items() if not are_alike(path, REPOSITORY / name)]
    assert not different, "not made of docs/data/: run python -m lab.pages"


def test_errors_of_tests_are_simulated_at_the_spreads_of_the_study() -> None:
    rates = read_raw_numbers(DATA, "errors", list[errors.Rates])
    assert [(rate.networks, rate.runs, rate.deviations) for rate in rates] == errors.spreads_of(
        DATA
    )
