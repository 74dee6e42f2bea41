"""Notes where a run's numbers come from, at its start and at each resume: command, code,
packages, machine and data.
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

from convblocks.errors import UserError
from convblocks.record.own_code import PACKAGES, Code, changed, folder_of, shown
from convblocks.text import Settings, as_json, listed
from exact_resume.files import write


class Origin(TypedDict, total=False):
    """The content of ``provenance.json``; older ones lack the processor and the code, which
    is None where a class has no file.
    """

    command: str
    machine: str
    processor: str
    data: dict[str, str]
    git_commit: str | None
    code: Code | None
    own_commit: str | None
    resumed: list[Settings]


def note_start(path: Path, data: dict[str, str], code: Code | None, step: int) -> list[str]:
    """Write ``provenance.json`` or, on a resume, add there what differs from the start of the run.

    Args:
        path: The file.
        data: The MD5 of each part of the data.
        code: The user's own.
        step: At which the run begins or goes on.

    Returns:
        A line for each change. The command may differ.
    """
    now: Settings = {
        "command": shlex.join(sys.argv),
        "machine": describe_machine(),
        "processor": describe_processor(),
        "data": data,
        "git_commit": git_commit(),
    }
    origin = read_origin(path)
    if not origin:
        own = {"code": code, "own_commit": git_commit(folder_of(code))}
        write(path, as_json(now | own) + "\n")
        return []
    command = now.pop("command")
    began: Settings = {**origin}
    changes = {name: value for name, value in now.items() if began.get(name) != value}
    lines = [f"changed since the run began: {name}" for name in changes]
    before = latest_code(origin)
    edited = changed(before, code) if step else []
    if before != code:
        changes["code"] = code
    if edited:
        files = listed([shown(module) for module in edited])
        lines.append(f"changed since step {step}: {files}; the run goes on with two versions")
    resume = {"command": command, "changes": changes, "step": step, "edited": edited}
    write(path, as_json(began | {"resumed": [*began.get("resumed", ()), resume]}) + "\n")
    return lines


def latest_code(origin: Origin) -> Code | None:
    """The user's own code that trained last; None where it is not known."""
    latest = origin.get("code")
    for resume in origin.get("resumed", []):
        latest = resume["changes"].get("code", latest)
    return latest


def edited_in(origin: Origin) -> tuple[str, ...]:
    """The modules of which a run was trained with two versions or more, since it began at
    step 0 the last time.
    """
    names: list[str] = []
    for resume in origin.get("resumed", []):
        if resume.get("step") == 0:
            names = []
        names += resume.get("edited", [])
    return tuple(dict.fromkeys(names))


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
    """The details of the processor that its name leaves open and that rounding depends on:
    ``family 25, model 17, AVX512``. The vector instructions are those that torch uses.
    """
    from torch.backends.cpu import get_cpu_capability  # slow to load, and reports do without

    known = [get_cpu_capability()]
    for name in ("model", "family"):
        if number := _of_processor(f"(?:cpu )?{name}"):
            known.insert(0, f"{name} {number}")
    return ", ".join(known)


def _of_processor(key: str) -> str | None:
    """The value of a key of the first processor in ``/proc/cpuinfo``; None if it has none."""
    cpuinfo = Path("/proc/cpuinfo")
    text = cpuinfo.read_text() if cpuinfo.is_file() else ""
    found = re.search(rf"^{key}\s*: (.*\S)", text, re.MULTILINE)
    return found[1] if found else None


def git_commit(folder: Path | None = Path(__file__).parent) -> str | None:
    """The commit of a folder, by default of this code, with ``-dirty`` where files differ from
    it; None outside a repository.
    """
    if folder is None:
        return None
    try:
        return subprocess.check_output(
            ["git", "describe", "--always", "--dirty", "--exclude=*"],
            cwd=folder,
            stderr=subprocess.DEVNULL,
            text=True,
        ).strip()
    except (OSError, subprocess.CalledProcessError):
        return None
