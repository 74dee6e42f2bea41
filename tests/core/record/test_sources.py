"""Where the source of a module is, which is not imported to find it."""

import sys
from pathlib import Path

import pytest

from convblocks.record.sources import source_in, source_of

BROKEN = "raise RuntimeError('it needs what this machine has not')"
FILES = {
    "frond": "frond/__init__.py",
    "frond.kernels": "frond/kernels.py",
    "frond.late": "frond/late/__init__.py",
    "wild.deep.nets": "wild/deep/nets.py",
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package that cannot be imported, and folders without ``__init__.py``."""
    for name in FILES.values():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(BROKEN)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


@pytest.mark.parametrize(("module", "file"), FILES.items())
def test_source_is_found_without_an_import(module: str, file: str, folder: Path) -> None:
    assert source_of(module) == source_in(folder, module) == folder / file
    assert not {"frond", "wild"} & sys.modules.keys()


@pytest.mark.parametrize("module", ["frond.kernels.Kernel", "frond.none", "wild", "no", "", ".a"])
def test_what_is_no_module_with_a_file_has_no_source(module: str, folder: Path) -> None:
    assert source_of(module) is None
    assert source_in(folder, module) is None


def test_source_of_an_imported_module_is_its_file(monkeypatch: pytest.MonkeyPatch) -> None:
    module = sys.modules[__name__]
    assert source_of(__name__) == Path(__file__)
    monkeypatch.setattr(module, "__file__", "/archive.zip/module.py")
    assert source_of(__name__) is None
    assert source_of("math") is None
