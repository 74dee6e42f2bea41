"""What a run ran on, for whoever reads its numbers later."""

import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path

PACKAGES = ("torch", "torchvision", "lightning", "torchmetrics")


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
    """The commit of the code that ran, with ``-dirty`` where files differ from it; None outside a repository."""
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--exclude=*"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")  # Linux; elsewhere the standard library knows
    if cpuinfo.is_file():
        for line in cpuinfo.read_text().splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                return value.strip()
    return platform.processor() or platform.machine()
