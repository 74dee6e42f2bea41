"""The commands with the lowest torch and msgspec that pyproject.toml allows; Debian 13
has that torch.
"""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.conftest import DEBUG, REPOSITORY, lack

SYSTEM_PYTHON = Path("/usr/bin/python3")
TORCH = {"torch": "2.6.0", "torchvision": "0.21.0"}
MSGSPEC = "0.19.0"
SHOW_VERSIONS = f"""
import ensurepip, importlib.metadata
print(*(importlib.metadata.version(name).split("+")[0] for name in {list(TORCH)}))
"""


def system_versions() -> list[str]:
    """Of torch and torchvision; none without that Python."""
    if not SYSTEM_PYTHON.exists():
        return []
    return run(SYSTEM_PYTHON, "-c", SHOW_VERSIONS).stdout.split()


@pytest.fixture
def python() -> Iterator[Path]:
    """The Python of a new environment: the system's torch, and the packages that pip
    adds for the project.
    """
    # The environment is large: pytest would keep three.
    with pytest.MonkeyPatch.context() as patch, TemporaryDirectory() as environment:
        for name in ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV"):
            patch.delenv(name, raising=False)
        patch.setenv("PYTHONNOUSERSITE", "1")
        if system_versions() != [*TORCH.values()]:
            missing = "python3-torch python3-torchvision python3-venv"
            lack(f"the torch of Debian 13: apt-get install {missing}")
        run(SYSTEM_PYTHON, "-m", "venv", "--system-site-packages", environment)
        python = Path(environment, "bin", "python")
        packages = ["-e", f"{REPOSITORY}[export]", f"msgspec=={MSGSPEC}"]
        run(python, "-m", "pip", "install", "--quiet", "--no-compile", *packages)
        yield python


@pytest.mark.nightly
def test_lowest_versions_train_resume_evaluate_and_export(python: Path, workspace: Path) -> None:
    def script(name: str, *arguments: str) -> str:
        finished = run(python, str(REPOSITORY / "scripts" / f"{name}.py"), *arguments)
        assert finished.returncode == 0, finished.stdout + finished.stderr
        return finished.stdout

    script("fit", *DEBUG, "--arch", "batchnorm", "--name", "lowest", "--threads", "1")
    folder = Path("lightning_logs", "lowest")
    machine = json.loads((folder / "provenance.json").read_text())["machine"]
    assert all(f"{name} {version}" in machine for name, version in TORCH.items())
    assert " 3 epochs in " in script("fit", "--name", "lowest", "--resume", "--epochs", "3")
    checkpoint = str(folder / "checkpoints" / "last.ckpt")
    assert "batchnorm on the 10,000 test images" in script("evaluate", checkpoint)
    assert "It makes the same predictions" in script("export", checkpoint, "--output", "digits")


def run(python: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [python, *arguments], capture_output=True, text=True, timeout=600, check=False
    )
