"""Locks between the processes of a user."""

import os
import tempfile
from pathlib import Path

import pytest

from convblocks.files import machine_lock
from exact_resume.files import write


def test_another_users_lock_is_not_in_the_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with machine_lock("data"), machine_lock("other data"):
        monkeypatch.setattr(os, "getuid", lambda: 12345)
        with machine_lock("data"):
            assert len(list(tmp_path.iterdir())) == 3


def test_file_is_on_disk_before_it_gets_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, names = tmp_path / "file", list[bool]()
    monkeypatch.setattr(os, "fsync", lambda number: names.append(path.exists()))
    write(path, "content")
    assert (path.read_text(), names) == ("content", [False])
