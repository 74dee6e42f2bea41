"""What hostile hands get hold of: a finished run, the data it was trained on, and a picture."""

import shutil
import sys
from pathlib import Path

import pytest
from PIL import Image

from convblocks.data.images import ImageSets
from convblocks.run import fit
from tests.conftest import write_digits

# Settings of a run that takes next to no time.
SHORT = """
epochs: 2
threads: 1
data: {root: data, val_size: 50, eval_batch_size: 100}
trainer: {log_every_n_steps: 3}
"""


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory: pytest.TempPathFactory, digits: ImageSets) -> Path:
    """The folder that ``test_cases`` describes."""
    folder = tmp_path_factory.mktemp("hostile") / "folder"
    write_digits(folder / "data", digits)
    (folder / "short.yaml").write_text(SHORT)
    seven = Image.fromarray(255 - digits.test.images[0, 0].numpy()).resize((280, 280))
    seven.save(folder / "seven.png")
    flags = ["--config", "short.yaml", "--arch", "mlp", "--name", "run"]
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.chdir(folder)
        monkeypatch.setattr(sys, "argv", ["scripts/fit.py", *flags])
        fit.main(flags)
    return folder


@pytest.fixture
def folder(finished_run: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(finished_run, tmp_path / "folder"))
