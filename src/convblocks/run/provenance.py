"""Where a run's numbers come from: command, code, packages, machine and data, noted at its start and each resume."""

import json
import os
import platform
import re
import shlex
import subprocess
import sys
from functools import cache
from importlib.metadata import distributions, version
from pathlib import Path
from typing import Any

from convblocks.files import write
from convblocks.text import as_json

PACKAGES = ("torch", "torchvision", "lightning", "torchmetrics")

# A longer diff to the commit is cut.
LONGEST_DIFF = 100_000

# The content of provenance.json.
Origin = dict[str, Any]


def origin(seed: int, data: dict[str, str]) -> Origin:
    """Command, code, packages, machine, seed and data (the MD5 of each file) of this process."""
    return {
        "command": shlex.join(sys.argv),
        "python": sys.version,
        "machine": describe_hardware(),
        "seed": seed,
        "data": data,
        "git_commit": git_commit(),
        "uncommitted": uncommitted(),
        "packages": packages(),
    }


def note_start(path: Path, seed: int, data: dict[str, str]) -> list[str]:
    """Write ``provenance.json`` or, on a resume, add there what differs from the start of the run.

    Returns:
        The names of what differs. The command may.
    """
    began, now = read_origin(path), origin(seed, data)
    if began is None:
        write(path, as_json(now) + "\n")
        return []
    changes = {name: value for name, value in now.items() if name != "command" and began.get(name) != value}
    began["resumed"] = [*began.get("resumed", []), {"command": now["command"], "changes": changes}]
    write(path, as_json(began) + "\n")
    return list(changes)


def read_origin(path: Path) -> Origin | None:
    """The origin of a run; None where it is unknown: the file is missing or damaged."""
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def describe_machine() -> str:
    """Processor, system, and the versions that can change a result, in one line."""
    versions = [f"{package} {version(package)}" for package in PACKAGES]
    return ", ".join([describe_hardware(), f"python {platform.python_version()}", *versions])


def describe_hardware() -> str:
    """Processor and system in one line."""
    return f"{os.cpu_count()} CPUs ({_processor()}), {platform.system()}"


def git_commit() -> str | None:
    """The commit of this code, with ``-dirty`` where files differ from it; None outside a repository."""
    found = _git("describe", "--always", "--dirty", "--exclude=*")
    return found and found.strip()


@cache  # reading them takes as long as dozens of steps
def packages() -> dict[str, str]:
    """The versions of all installed packages, by name."""
    found = {package.metadata["Name"]: package.metadata["Version"] for package in distributions()}
    return dict(sorted((name, version) for name, version in found.items() if name))


def uncommitted() -> str | None:
    """The names of changed and new files, and the diff of the code to its commit; None outside a repository."""
    names, diff = _git("status", "--short"), _git("diff", "HEAD")
    return None if names is None or diff is None else names + diff[:LONGEST_DIFF]


def _git(*arguments: str) -> str | None:
    """What git says of this code; None if it is not there, or knows no commit of it."""
    command = ["git", "-C", str(Path(__file__).parent), *arguments]
    try:
        return subprocess.run(command, capture_output=True, text=True, errors="replace", check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return None


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")  # Linux; elsewhere the standard library knows
    found = re.search(r"^model name\s*: (.+)$", cpuinfo.read_text(), re.MULTILINE) if cpuinfo.is_file() else None
    return found[1].strip() if found else platform.processor() or platform.machine()
