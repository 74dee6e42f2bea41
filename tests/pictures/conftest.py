"""A small folder of pictures for these tests."""

from pathlib import Path

import pytest

from tests.data.pictures import write_pictures


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """40 training and 20 test pictures in colour, of discs and squares."""
    write_pictures(tmp_path / "shapes")
    return tmp_path / "shapes"
