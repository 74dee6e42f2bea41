"""Where a run's numbers come from: command, code, packages, machine and data, noted at
its start and each resume.
"""

import os
import platform
import re
import shlex
import subprocess
import sys
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TypedDict

import msgspec
import torch

from convblocks.errors import UserError
from convblocks.text import Settings, as_json
from exact_resume.files import write

# Their versions can change a result.
PACKAGES = ("torch", "torchvision", "lightning", "torchmetrics")


class Origin(TypedDict, total=False):
    """The content of ``provenance.json``; older ones lack the processor."""

    command: str
    machine: str
    processor: str
    data: dict[str, str]
    git_commit: str | None
    resumed: list[Settings]


def note_start(path: Path, data: dict[str, str]) -> list[str]:
    """Write ``provenance.json`` or, on a resume, add there what differs from the start of the run.

    Args:
        path: The file.
        data: The MD5 of each part of the data.

    Returns:
        The names of what differs. The command may.
    """
    now = {
        "command": shlex.join(sys.argv),
        "machine": describe_machine(),
        "processor": describe_processor(),
        "data": data,
        "git_commit": git_commit(),
    }
    began: Settings = {**read_origin(path)}
    changes = {}
    if began:
        command = now.pop("command")
        changes = {name: value for name, value in now.items() if began.get(name) != value}
        began.setdefault("resumed", []).append({"command": command, "changes": changes})
    write(path, as_json(began or now) + "\n")
    return list(changes)


def read_origin(path: Path) -> Origin:
    """The content of a run's ``provenance.json``; empty if there is none yet.

    Raises:
        UserError: it is damaged.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=Origin)
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise UserError(
            f"cannot read {path} ({error}), which is damaged: restore it, or delete it"
        ) from error


def describe_machine() -> str:
    """Processor, system, and the versions that can change a result, in one line."""
    processor = _of_processor("model name") or platform.processor() or platform.machine()
    described = [
        f"{os.cpu_count()} CPUs ({processor}), {platform.system()}",
        f"python {platform.python_version()}",
    ]
    for package in PACKAGES:
        # Torchvision is only for those who use it.
        with suppress(PackageNotFoundError):
            described.append(f"{package} {version(package)}")
    return ", ".join(described)


def describe_processor() -> str:
    """What the name leaves open and rounding depends on: ``family 25, model 17,
    AVX512``, the last as torch uses it.
    """
    known = [torch.backends.cpu.get_cpu_capability()]
    for name in ("model", "family"):
        if number := _of_processor(f"(?:cpu )?{name}"):
            known.insert(0, f"{name} {number}")
    return ", ".join(known)


def _of_processor(key: str) -> str | None:
    """What Linux says of the first processor; None elsewhere, and where it does not say."""
    cpuinfo = Path("/proc/cpuinfo")
    text = cpuinfo.read_text() if cpuinfo.is_file() else ""
    found = re.search(rf"^{key}\s*: (.*\S)", text, re.MULTILINE)
    return found[1] if found else None


def git_commit() -> str | None:
    """The commit of this code, with ``-dirty`` where files differ from it; None outside
    a repository.
    """
    try:
        return subprocess.check_output(
            ["git", "describe", "--always", "--dirty", "--exclude=*"],
            cwd=Path(__file__).parent,
            stderr=subprocess.DEVNULL,
            text=True,
        ).strip()
    except (OSError, subprocess.CalledProcessError):
        return None
