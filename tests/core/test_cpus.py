"""A run with more threads than the machine has left is told so."""

import os

import pytest

from convblocks.cpus import CPUS, free_cpus, threads_hint


@pytest.mark.parametrize(
    ("threads", "free", "fitting"),
    [
        (4, 0.2, 1),
        ("4", 2.4, 2),  # as it is typed
        (None, 0.0, 1),  # those of OMP_NUM_THREADS
        (1, 0.0, None),
        (4, 3.6, None),  # as good as free
        ("many", 8.0, None),  # the parser refuses it
    ],
)
def test_hint_names_as_many_threads_as_cpus_are_free(
    threads: object, free: float, fitting: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "8")
    hint = threads_hint(threads, free)
    expected = (
        f"the machine is busy, with about {free:.0f} of {CPUS} CPUs left: "
        f"--threads {fitting} may be faster"
    )
    assert hint == ([expected] if fitting else [])


def test_all_cpus_are_free_on_a_quiet_machine_and_less_on_a_busy_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    usable = len(os.sched_getaffinity(0))
    monkeypatch.setattr(os, "getloadavg", lambda: (0.1, 9.0, 9.0))
    assert usable - 0.1 <= free_cpus() <= usable
    monkeypatch.undo()
    assert 0 <= free_cpus() <= usable
