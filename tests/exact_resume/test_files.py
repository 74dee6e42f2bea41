"""Atomic writes."""

import os
from pathlib import Path

import pytest

from exact_resume.files import write


def test_file_is_on_disk_before_it_gets_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, names = tmp_path / "file", list[bool]()
    monkeypatch.setattr(os, "fsync", lambda number: names.append(path.exists()))
    write(path, "content")
    assert (path.read_text(), names) == ("content", [False])
