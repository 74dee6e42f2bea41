"""Killed at any file operation, a run loses nothing that was finished, and resumed it ends the same."""

from pathlib import Path

import pytest

from tests.hostile.faults import hit

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("every", [None, pytest.param(1, marks=pytest.mark.nightly)])
def test_a_kill_at_a_file_operation_changes_nothing(every: int | None, folder: Path) -> None:
    statuses = [ended.returncode for ended in hit(folder, "kill", every)]
    assert set(statuses) == {-9}
    assert len(statuses) > (50 if every else 20)
