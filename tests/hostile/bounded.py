"""Commands that may take only so much memory, and leave out the figure of a finished run, which takes seconds."""

import os
import subprocess
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from unittest.mock import patch

from tests.scripts import run_script

# Bytes of address space beyond those of the imports.
MEMORY = 1_500_000_000


def run_bounded(
    name: str,
    *arguments: str,
    cwd: Path,
    environment: Mapping[str, str] | None = None,
    prepare: Callable[[], None] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run ``scripts/<name>.py`` like that; see ``run_script``."""
    return run_script(name, *arguments, cwd=cwd, environment=dict(environment or {}), prepare=partial(bound, prepare))


def bound(prepare: Callable[[], None] | None) -> None:
    """Set these limits for this process."""
    import resource  # Windows has none

    from convblocks.boards import callback

    taken = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    resource.setrlimit(resource.RLIMIT_AS, (taken + MEMORY, resource.getrlimit(resource.RLIMIT_AS)[1]))
    patch.object(callback, "write_evaluation").start()
    if prepare:
        prepare()
