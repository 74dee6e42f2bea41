"""Where a run's numbers come from: command, code, packages, machine and data, noted at its start and each resume."""

import json
import os
import platform
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

# A longer diff to the commit is cut, and ends with a line that says so.
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


def changes(before: Origin, now: Origin) -> list[str]:
    """How a resumed run differs from its start, a line for each difference; the command may differ."""
    lines = [
        f"{name}: {before.get(name)} -> {now[name]}"
        for name in ("python", "machine", "seed", "git_commit")
        if before.get(name) != now[name]
    ]
    if before.get("uncommitted") != now["uncommitted"]:
        lines.append("uncommitted: other differences from the commit")
    then, today = before.get("packages", {}), now["packages"]
    return lines + [
        f"{name}: {then.get(name, 'not installed')} -> {today.get(name, 'not installed')}"
        for name in sorted(then.keys() | today.keys())
        if then.get(name) != today.get(name)
    ]


def note_start(path: Path, seed: int, data: dict[str, str]) -> list[str]:
    """Write ``provenance.json`` or, on a resume, add there what differs from the start of the run; returns that."""
    began, now = read_origin(path), origin(seed, data)
    if began is None:
        write(path, as_json(now) + "\n")
        return []
    changed = changes(began, now)
    resumed = [*began.get("resumed", []), {"command": now["command"], "changes": changed}]
    write(path, as_json({"data": data} | began | {"resumed": resumed}) + "\n")
    return changed


def read_origin(path: Path) -> Origin | None:
    """The origin of a run; None where it is unknown: the file is missing or damaged."""
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError, RecursionError):
        return None
    parts = {"data": dict, "packages": dict, "resumed": list}
    is_whole = isinstance(found, dict) and all(isinstance(found.get(key, kind()), kind) for key, kind in parts.items())
    return found if is_whole else None


def versions() -> dict[str, str]:
    """The versions of Python and of the packages that can change a result."""
    return {"python": platform.python_version()} | {package: version(package) for package in PACKAGES}


def describe_machine() -> str:
    """Processor, system and versions in one line."""
    return ", ".join([describe_hardware(), *(f"{name} {number}" for name, number in versions().items())])


def describe_hardware() -> str:
    """Processor and system in one line."""
    return f"{os.cpu_count()} CPUs ({_processor()}), {platform.system()}"


def git_commit() -> str | None:
    """The commit of this code, with ``-dirty`` where files differ from it; None outside a repository."""
    try:
        return _git("describe", "--always", "--dirty", "--exclude=*").strip()
    except (OSError, subprocess.CalledProcessError):
        return None


@cache  # reading them takes as long as dozens of steps
def packages() -> dict[str, str]:
    """The versions of all installed packages, by name."""
    found = {one.metadata["Name"]: one.metadata["Version"] for one in distributions()}
    return dict(sorted((name, version) for name, version in found.items() if name))


def uncommitted() -> str | None:
    """The diff of the code to its commit and the names of untracked files; None outside a repository."""
    try:
        diff = _git("diff", "HEAD")
        new = _git("ls-files", "--others", "--exclude-standard", ":/")
    except (OSError, subprocess.CalledProcessError):
        return None
    if len(diff) > LONGEST_DIFF:
        diff = f"{diff[:LONGEST_DIFF]}\n... {len(diff):,} characters in all\n"
    return diff + "".join(f"new file: {name}\n" for name in new.splitlines())


def _git(*arguments: str) -> str:
    command = ["git", "-C", str(Path(__file__).parent), *arguments]
    return subprocess.run(command, capture_output=True, text=True, errors="replace", check=True).stdout


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")  # Linux; elsewhere the standard library knows
    if cpuinfo.is_file():
        for line in cpuinfo.read_text().splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                return value.strip()
    return platform.processor() or platform.machine()
