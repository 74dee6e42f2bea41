"""The commands with the lowest torch and msgspec that pyproject.toml allows; Debian 13 has that torch."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from PIL import Image

from convblocks.data.images import ImageSets
from tests.conftest import DEBUG, REPOSITORY
from tests.quick_python import quick_python

pytestmark = [pytest.mark.slow, pytest.mark.nightly]

SYSTEM_PYTHON = Path("/usr/bin/python3")
LOWEST = {"torch": "2.6.0", "torchvision": "0.21.0"}
MSGSPEC = "0.19.0"
SHOW_VERSIONS = f"""
import ensurepip, importlib.metadata
print(*(importlib.metadata.version(name).split("+")[0] for name in {list(LOWEST)}))
"""


@pytest.fixture(scope="module")
def python() -> Iterator[Path]:
    """The Python of a new environment: the system's torch, and what pip adds to it for the project.

    It does its imports once, and knows nothing of the environment that runs the tests.
    """
    with pytest.MonkeyPatch.context() as patch, TemporaryDirectory() as environment:  # large: pytest would keep three
        for name in ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV"):
            patch.delenv(name, raising=False)
        patch.setenv("PYTHONNOUSERSITE", "1")
        if not SYSTEM_PYTHON.exists() or run(SYSTEM_PYTHON, "-c", SHOW_VERSIONS).stdout.split() != [*LOWEST.values()]:
            reason = "needs the torch of Debian 13: apt-get install python3-torch python3-torchvision python3-venv"
            if "CI" in os.environ:
                pytest.fail(reason)
            pytest.skip(reason)
        succeed(SYSTEM_PYTHON, "-m", "venv", "--system-site-packages", environment)
        python = Path(environment, "bin", "python")
        packages = ["-e", f"{REPOSITORY}[export]", f"msgspec=={MSGSPEC}"]
        succeed(python, "-m", "pip", "install", "--quiet", "--no-compile", *packages)
        yield quick_python(str(python))


@pytest.fixture(scope="module")
def checkpoint(python: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lowest")
    options = ["--arch", "batchnorm", "--name", "lowest", "--threads", "1"]
    script(python, "fit", *DEBUG, *options, cwd=folder)
    return folder / "lightning_logs" / "lowest" / "checkpoints" / "last.ckpt"


def test_a_run_is_trained_with_the_lowest_torch(checkpoint: Path) -> None:
    run = checkpoint.parents[1]
    packages = json.loads((run / "provenance.json").read_text())["packages"]
    expected = LOWEST | {"msgspec": MSGSPEC}
    assert {name: packages[name].split("+")[0] for name in expected} == expected
    assert len(json.loads((run / "summary.json").read_text())["epochs"]) == 2


def test_a_damaged_summary_is_rewritten(python: Path, checkpoint: Path, tmp_path: Path) -> None:
    run = tmp_path / "lightning_logs" / "lowest"
    shutil.copytree(checkpoint.parents[1], run)
    summary = run / "summary.json"
    expected = summary.read_text()
    summary.write_text(json.dumps(json.loads(expected) | {"epochs": []}))
    assert " 2 epochs in " in script(python, "fit", "--name", "lowest", "--resume", cwd=tmp_path)
    assert summary.read_text() == expected


def test_its_checkpoint_is_evaluated(python: Path, checkpoint: Path) -> None:
    assert "batchnorm on the 10,000 test images" in script(python, "evaluate", str(checkpoint))


def test_a_picture_is_recognised(python: Path, checkpoint: Path, tmp_path: Path, digits: ImageSets) -> None:
    grey = Image.fromarray(255 - digits.test.images[0, 0].numpy())
    grey.resize((300, 300), Image.Resampling.BICUBIC).save(tmp_path / "seven.png")
    assert "seven.png" in script(python, "predict", str(checkpoint), "seven.png", cwd=tmp_path)


def test_both_exports_answer_as_the_checkpoint_does(python: Path, checkpoint: Path, tmp_path: Path) -> None:
    said = script(python, "export", str(checkpoint), "--output", "digits", cwd=tmp_path)
    assert "Both make the same predictions for all 10,000 test images as the checkpoint.\n" in said


def script(python: Path, name: str, *arguments: str, cwd: Path | None = None) -> str:
    """Run ``scripts/<name>.py`` with this Python, and return what it prints."""
    return succeed(python, str(REPOSITORY / "scripts" / f"{name}.py"), *arguments, cwd=cwd)


def succeed(python: Path, *arguments: str, cwd: Path | None = None) -> str:
    finished = run(python, *arguments, cwd=cwd)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    return finished.stdout


def run(python: Path, *arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [str(python), *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=600, check=False)
