"""Counts the CPUs that are free for a run, which is much slower with more threads."""

import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

CPUS = os.cpu_count() or 1

# The file with a container's limit: so much CPU time in such a period, in microseconds.
QUOTA = Path("/sys/fs/cgroup/cpu.max")


def free_cpus() -> float:
    """The number of CPUs that this process may use and no other process does."""
    usable: float = CPUS
    if hasattr(os, "sched_getaffinity"):  # not on macOS
        usable = len(os.sched_getaffinity(0))
    with suppress(OSError, ValueError):  # the file says "max" where there is no limit
        time, period = QUOTA.read_text().split()
        usable = min(usable, int(time) / int(period))
    # The smaller of two counts: the load still has a run that has just ended, and a measurement
    # also has what lasts a moment.
    busy = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0
    if busy > 0.5:
        busy = min(busy, psutil.cpu_percent(0.1) / 100 * CPUS)
    return max(0, min(usable, CPUS - busy))


def threads_hint(threads: Any, free: float) -> list[str]:
    """A line with the option for a run of more threads than CPUs are free; none for others.

    Args:
        threads: The threads that are asked for; by default torch takes one for each core.
        free: The number of free CPUs, as of ``free_cpus``.
    """
    usual = os.environ.get("OMP_NUM_THREADS"), psutil.cpu_count(logical=False), CPUS
    asked = next(int(text) for text in map(str, (threads, *usual)) if text.isdecimal())
    fitting = max(1, round(free))
    if fitting >= asked:
        return []
    return [
        f"the machine is busy, with about {free:.0f} of {CPUS} CPUs left: "
        f"--threads {fitting} may be faster"
    ]
