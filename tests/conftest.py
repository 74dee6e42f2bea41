"""Shared by the tests: real digits, a directory to run in, and trained networks.

Fixtures import modules that take seconds: the process that distributes the tests needs
none of them.
"""

import os
import signal
import sys
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import numpy as np
import pytest
from filelock import FileLock

# it lets Ctrl-C end the process at once, which is undone below
import convblocks.__main__  # noqa: F401
from tests.data.pictures import SHAPES, write_pictures
from tests.scripts import run_script

if TYPE_CHECKING:
    from torch import Tensor

    from convblocks.data.images import ImageSets

REPOSITORY = Path(__file__).resolve().parents[1]
os.environ.pop("CONVBLOCKS_DATA", None)
# A shell that runs the tests in the background lets them ignore Ctrl-C, and processes
# would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Lightning 2.6's CLI calls a method that jsonargparse 4.49 renamed.
os.environ["JSONARGPARSE_DEPRECATION_WARNINGS"] = "off"

# A worker of pytest-xdist has one core, and so have the processes that its tests start.
IS_WORKER = "PYTEST_XDIST_WORKER" in os.environ
if IS_WORKER:
    os.environ["OMP_NUM_THREADS"] = "1"

# Begin first: files that take longest, since a worker runs a whole file, and one that
# trains the network which others wait for.
FIRST = ("test_evaluate.py", "test_slurm.py", "test_faults.py", "test_resume.py", "test_cases.py")

DEBUG = ["--config", str(REPOSITORY / "configs" / "debug.yaml")]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that need the trained network are slow: it trains for half a minute."""
    items.sort(key=lambda item: item.path.name not in FIRST)
    for item in items:
        if {"trained", "trained_on_shapes"} & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session", autouse=True)
def mnist_is_read_once() -> Iterator[None]:
    """All runs of one process share the original MNIST in memory."""
    from convblocks.data.mnist import DEFAULT_ROOT, MNISTFiles

    load = MNISTFiles.load
    load_once = cache(lambda: load(MNISTFiles(DEFAULT_ROOT)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            MNISTFiles,
            "load",
            lambda files: load_once() if files.root == DEFAULT_ROOT else load(files),
        )
        yield


@pytest.fixture(autouse=True)
def started_as_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands in messages are those of a process that was started as ``convblocks``."""
    monkeypatch.setattr(sys, "argv", ["convblocks"])


@pytest.fixture(scope="session")
def digits(mnist_is_read_once: None) -> "ImageSets":
    """The original MNIST, from the archives in the repository."""
    from convblocks.data.mnist import DEFAULT_ROOT, MNISTFiles

    return MNISTFiles(DEFAULT_ROOT).load()


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkpoint of a BatchNorm network that is good after two epochs; only for
    reading, since workers share it.
    """
    from convblocks.record.directory import RunDirectory

    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if IS_WORKER else base) / "trained"
    folder.mkdir(exist_ok=True)
    run = RunDirectory("batchnorm", folder)
    with FileLock(folder / ".lock"):
        if not run.summary.exists():
            flags = ["--epochs", "2", "--lr_scheduler", "onecycle", "--threads", "1"]
            finished = run_script(
                "fit", "--arch", "batchnorm", "--name", run.name, *flags, cwd=folder, timeout=300
            )
            assert finished.returncode == 0, finished.stderr
    return run.last_checkpoint


@pytest.fixture(scope="session")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of colour pictures of twelve classes, wider than high."""
    folder = tmp_path_factory.mktemp("pictures") / "shapes"
    write_pictures(folder, classes=tuple(SHAPES), train=240, test=60, size=(32, 40))
    return folder


@pytest.fixture(scope="session")
def trained_on_shapes(shapes: Path) -> Path:
    """The checkpoint of a BatchNorm network that knows the shapes."""
    flags = ["--epochs", "4", "--batch_size", "20", "--lr_scheduler", "onecycle", "--threads", "1"]
    data = ["--data.root", str(shapes)]
    finished = run_script(
        "fit", "--arch", "batchnorm", "--name", "shapes", *flags, *data, cwd=shapes.parent
    )
    assert finished.returncode == 0, finished.stderr
    return shapes.parent / "lightning_logs" / "shapes" / "checkpoints" / "last.ckpt"


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


OWN_NETWORKS = """
from torch import nn


class Rows(nn.Module):
    \"\"\"A recurrent network that reads an image row by row.

    Its first weights are no pictures.
    \"\"\"

    def __init__(self, hidden: int = 16, dropout: float = 0.2):
        super().__init__()
        self.rnn = nn.GRU(28, hidden, batch_first=True)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(hidden, 10)

    def forward(self, images):
        states, _ = self.rnn(images.squeeze(1))
        return self.head(self.dropout(states[:, -1]))


class Colours(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Conv2d(3, 1, 28), nn.Flatten(), nn.Linear(1, 10))


class SevenClasses(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Flatten(), nn.Linear(784, 7))


class Lion:
    \"\"\"No optimizer at all.\"\"\"


class Normalised(nn.Sequential):
    def __init__(self, affine: bool = True, momentum: float | None = 0.1):
        super().__init__(
            nn.BatchNorm2d(1, affine=affine, momentum=momentum),
            nn.Flatten(),
            nn.BatchNorm1d(784),
            nn.Linear(784, 10),
        )

"""


@pytest.fixture
def own_networks(workspace: Path) -> Iterator[Path]:
    """A module of a user's own in the current folder, which nothing has imported yet."""
    path = workspace / "own_networks.py"
    path.write_text(OWN_NETWORKS)
    sys.modules.pop("own_networks", None)
    yield path
    sys.modules.pop("own_networks", None)


def needs(package: str) -> None:
    """Skip a test where a package is not installed that no extra of the tests has, except in CI."""
    if find_spec(package) is None:
        lack(f"{package}: pip install {package}")


def lack(what: str) -> NoReturn:
    """Skip a test for which this is not installed; in CI it fails."""
    (pytest.fail if "CI" in os.environ else pytest.skip)(f"needs {what}")


def write_idx(path: Path, array: "Tensor") -> None:
    """Write uint8 values as an IDX file."""
    header = (
        b"\0\0\x08"
        + bytes([array.ndim])
        + b"".join(size.to_bytes(4, "big") for size in array.shape)
    )
    path.write_bytes(header + array.numpy().astype(np.uint8).tobytes())


def write_digits(folder: Path, digits: "ImageSets", train: int = 200, test: int = 100) -> None:
    """Write the first few real digits as the four files of a small data set."""
    folder.mkdir(parents=True, exist_ok=True)
    write_idx(folder / "train-images-idx3-ubyte", digits.train.images[:train, 0])
    write_idx(folder / "train-labels-idx1-ubyte", digits.train.labels[:train])
    write_idx(folder / "t10k-images-idx3-ubyte", digits.test.images[:test, 0])
    write_idx(folder / "t10k-labels-idx1-ubyte", digits.test.labels[:test])
