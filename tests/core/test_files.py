"""Locks between the processes of a user."""

import os
import tempfile
from pathlib import Path

import pytest

from convblocks.files import machine_lock


def test_another_users_lock_is_not_in_the_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with machine_lock("data"), machine_lock("other data"):
        monkeypatch.setattr(os, "getuid", lambda: 12345)
        with machine_lock("data"):
            assert len(list(tmp_path.iterdir())) == 3
