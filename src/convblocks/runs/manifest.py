"""What a run's numbers may depend on, beside its settings: noted when it begins, and compared on a resume."""

import json
import shlex
import subprocess
import sys
from functools import cache
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

from convblocks.atomic import write
from convblocks.runs.machine import describe_hardware, git_commit
from convblocks.tables import as_json

# Differences from the commit that are longer are cut, with a line that says so.
LONGEST_DIFFERENCE = 100_000

Manifest = dict[str, Any]


def manifest(seed: int, data: dict[str, str]) -> Manifest:
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


def changes(before: Manifest, now: Manifest) -> list[str]:
    """What a resumed run has otherwise than the one that began, a line for each; the command may differ."""
    lines = [
        f"{what}: {before.get(what)} -> {now[what]}"
        for what in ("python", "machine", "seed", "git_commit")
        if before.get(what) != now[what]
    ]
    if before.get("uncommitted") != now["uncommitted"]:
        lines.append("uncommitted: other differences from the commit")
    then, today = before.get("packages", {}), now["packages"]
    return lines + [
        f"{name}: {then.get(name, 'not installed')} -> {today.get(name, 'not installed')}"
        for name in sorted(then.keys() | today.keys())
        if then.get(name) != today.get(name)
    ]


def read_manifest(path: Path) -> Manifest | None:
    """What a run was begun with; None where that is not known: the file is missing, or damaged."""
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError, RecursionError):
        return None
    parts = {"data": dict, "packages": dict, "resumed": list}
    is_whole = isinstance(found, dict) and all(isinstance(found.get(key, kind()), kind) for key, kind in parts.items())
    return found if is_whole else None


def write_manifest(path: Path, content: Manifest) -> None:
    write(path, as_json(content) + "\n")


@cache  # reading them takes as long as dozens of steps
def packages() -> dict[str, str]:
    """The versions of all installed packages, by name."""
    found = {one.metadata["Name"]: one.metadata["Version"] for one in distributions()}
    return dict(sorted((name, version) for name, version in found.items() if name))


def uncommitted() -> str | None:
    """How the code differs from its commit, and which files are in no commit; None outside a repository."""
    try:
        difference = _git("diff", "HEAD")
        new = _git("ls-files", "--others", "--exclude-standard", ":/")
    except (OSError, subprocess.CalledProcessError):
        return None
    if len(difference) > LONGEST_DIFFERENCE:
        difference = f"{difference[:LONGEST_DIFFERENCE]}\n... {len(difference):,} characters in all\n"
    return difference + "".join(f"new file: {name}\n" for name in new.splitlines())


def _git(*arguments: str) -> str:
    command = ["git", "-C", str(Path(__file__).parent), *arguments]
    return subprocess.run(command, capture_output=True, text=True, errors="replace", check=True).stdout
