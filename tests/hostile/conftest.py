"""What hostile hands get hold of: a finished run, the data it was trained on, a picture, and a folder of pictures."""

import os
import resource
import runpy
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType

import pytest
import torch
from PIL import Image

from convblocks.boards import callback
from convblocks.data.images import ImageSets
from convblocks.run import fit, signals
from tests.conftest import REPOSITORY, write_digits
from tests.data.pictures import write_pictures
from tests.hostile.bounded import limit_memory

# Settings of a run that takes next to no time.
SHORT = """
epochs: 2
threads: 1
data: {root: data, val_size: 50, eval_batch_size: 100}
trainer: {log_every_n_steps: 3}
"""

# Seconds after which a command in this process is ended.
PATIENCE = 120

RunHere = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory: pytest.TempPathFactory, digits: ImageSets) -> Path:
    """The folder that ``cases`` describes."""
    folder = tmp_path_factory.mktemp("hostile") / "folder"
    write_digits(folder / "data", digits)
    (folder / "short.yaml").write_text(SHORT)
    write_pictures(folder / "shapes")
    seven = Image.fromarray(255 - digits.test.images[0, 0].numpy()).resize((280, 280))
    seven.save(folder / "seven.png")
    flags = ["--config", "short.yaml", "--arch", "mlp", "--name", "run"]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(sys, "argv", ["scripts/fit.py", *flags])
        fit.main(flags)
    return folder


@pytest.fixture
def folder(finished_run: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(finished_run, tmp_path / "folder"))


@pytest.fixture
def bounded_memory() -> Iterator[None]:
    """This process may take 1 GB more than before the test."""
    before = limit_memory(1_000_000_000)
    yield
    resource.setrlimit(resource.RLIMIT_AS, (before, resource.getrlimit(resource.RLIMIT_AS)[1]))


@pytest.fixture
def run_here(
    folder: Path, bounded_memory: None, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Iterator[RunHere]:
    """Runs a script in this process, which is afterwards as it was before."""

    def run_here(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        script = str(REPOSITORY / "scripts" / f"{name}.py")
        monkeypatch.setattr(sys, "argv", [script, *arguments])
        with pytest.raises(SystemExit) as end:
            runpy.run_path(script, run_name="__main__")
        assert isinstance(end.value.code, int)
        return subprocess.CompletedProcess(sys.argv, end.value.code, *capfd.readouterr())

    def give_up(number: int, frame: FrameType | None) -> None:
        raise TimeoutError

    monkeypatch.chdir(folder)
    monkeypatch.setattr(callback, "write_evaluation", lambda *_: None)
    monkeypatch.setattr(sys, "path", [*sys.path])
    for name in ("MPLBACKEND", "PYTHONSAFEPATH"):  # so that they are put back
        monkeypatch.setenv(name, os.environ.get(name, ""))
    threads, on_alarm = torch.get_num_threads(), signal.signal(signal.SIGALRM, give_up)
    signal.alarm(PATIENCE)
    yield run_here
    signal.alarm(0)
    signal.signal(signal.SIGALRM, on_alarm)
    signals.uninstall()
    torch.set_num_threads(threads)
