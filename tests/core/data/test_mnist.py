"""Files are found, unpacked and checked; damaged ones are restored from the archive or reported."""

import gzip
import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from convblocks.data import mnist
from convblocks.data.images import ImageSets
from convblocks.data.mnist import DEFAULT_ROOT
from convblocks.errors import DataError
from tests.conftest import write_digits, write_idx
from tests.hostile.spoil import cut, flipped

NAMES = TRAIN_IMAGES, TRAIN_LABELS, TEST_IMAGES, TEST_LABELS = [names[0] for names in mnist.FILES]

Spoiler = Callable[[Path], None]


def copy_archives(folder: Path) -> None:
    folder.mkdir(parents=True)
    for name in NAMES:
        shutil.copy(DEFAULT_ROOT / "MNIST" / "raw" / f"{name}.gz", folder)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """MNIST's archives."""
    copy_archives(tmp_path / "data")
    return tmp_path / "data"


@pytest.fixture
def small(tmp_path: Path, digits: ImageSets) -> Path:
    """A data set of a few real digits, unpacked, without archives."""
    write_digits(tmp_path, digits)
    return tmp_path


@pytest.mark.parametrize("folder", ["", "raw", "Other/raw"])
def test_archives_are_found_and_unpacked(tmp_path: Path, folder: str, digits: ImageSets) -> None:
    copy_archives(tmp_path / "data" / folder)
    mnist.prepare(tmp_path / "data")
    assert all((tmp_path / "data" / folder / name).is_file() for name in NAMES)
    loaded = mnist.load(tmp_path / "data")
    assert loaded.original
    assert torch.equal(loaded.train.images, digits.train.images)
    assert torch.equal(loaded.test.labels, digits.test.labels)


def test_archives_are_read_where_nothing_can_be_unpacked(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)  # mode bits would not stop root, as whom the tests may run
    mnist.prepare(root)
    assert not (root / TRAIN_IMAGES).exists()
    assert mnist.load(root).original


def test_unpacked_files_suffice_and_their_content_is_in_the_fingerprint(small: Path, digits: ImageSets) -> None:
    mnist.prepare(small)
    loaded = mnist.load(small)
    assert torch.equal(loaded.train.images, digits.train.images[:200])
    assert not loaded.original
    flipped(5000)(small / TEST_IMAGES)
    changed = mnist.load(small).fingerprint
    assert [name for name in NAMES if loaded.fingerprint[name] != changed[name]] == [TEST_IMAGES]


# Damaged files of MNIST.


@pytest.mark.parametrize("damage", [cut(1_000_000), flipped(1_000_000)], ids=["truncated", "bit flipped"])
def test_a_damaged_unpacked_file_is_restored_from_its_archive(root: Path, damage: Spoiler) -> None:
    mnist.prepare(root)
    damage(root / TRAIN_IMAGES)
    mnist.prepare(root)
    assert mnist.load(root).original


@pytest.mark.parametrize("damage", [flipped(-1), flipped(500_000), cut(20_000)], ids=["length", "bit", "truncated"])
def test_a_damaged_archive_is_named(root: Path, damage: Spoiler) -> None:
    damage(root / f"{TEST_IMAGES}.gz")
    with pytest.raises(DataError, match=rf"{TEST_IMAGES}\.gz is damaged"):
        mnist.prepare(root)
    assert not list(root.glob("*.tmp"))


def test_a_file_that_differs_in_one_bit_is_named(root: Path) -> None:
    mnist.prepare(root)
    for archive in root.glob("*.gz"):
        archive.unlink()
    flipped(5000)(root / TEST_IMAGES)
    with pytest.raises(DataError, match=f"{TEST_IMAGES} is damaged"):
        mnist.load(root)


@pytest.mark.parametrize(("one", "other"), [(TRAIN_IMAGES, TEST_IMAGES), (TRAIN_LABELS, TEST_LABELS)])
def test_swapped_files_are_refused(one: str, other: str, root: Path) -> None:
    first, second = root / f"{one}.gz", root / f"{other}.gz"
    first.rename(root / "spare")
    second.rename(first)
    (root / "spare").rename(second)
    with pytest.raises(DataError, match=f"{one} holds the content of {other}"):
        mnist.load(root)


# Other data sets.


@pytest.mark.parametrize(
    ("name", "damage", "message"),
    [
        (TEST_LABELS, Path.unlink, f"lacks {TEST_LABELS}"),
        (TRAIN_IMAGES, flipped(2), f"{TRAIN_IMAGES} is not an IDX file"),
        (TRAIN_IMAGES, cut(1000), "has 1,000 bytes where its header says"),
        (TRAIN_IMAGES, lambda path: write_idx(path, torch.ones(200, 20, 28)), r"shape \(200, 20, 28\)"),
        (TRAIN_LABELS, lambda path: write_idx(path, torch.arange(200) % 11), "holds the label 10"),
        (TRAIN_LABELS, lambda path: write_idx(path, torch.ones(199)), r"holds 200 images, but .* 199 labels"),
    ],
    ids=["missing", "magic number", "length", "shape of images", "label out of range", "number of labels"],
)
def test_a_file_that_cannot_be_used_is_named(name: str, damage: Spoiler, message: str, small: Path) -> None:
    damage(small / name)
    with pytest.raises(DataError, match=message):
        mnist.load(small)


def test_qmnist_is_read(small: Path, digits: ImageSets) -> None:
    """QMNIST has other file names, and the class in the first of eight 32-bit columns."""
    for mine, split, part, count in (("train", "train", digits.train, 200), ("test", "t10k", digits.test, 100)):
        (small / f"{split}-images-idx3-ubyte").rename(small / f"qmnist-{mine}-images-idx3-ubyte")
        (small / f"{split}-labels-idx1-ubyte").unlink()
        rows = torch.zeros(count, 8, dtype=torch.int32)
        rows[:, 0] = part.labels[:count]
        header = b"\0\0\x0c\x02" + count.to_bytes(4, "big") + (8).to_bytes(4, "big")
        (small / f"qmnist-{mine}-labels-idx2-int").write_bytes(header + rows.numpy().astype(">i4").tobytes())
    assert torch.equal(mnist.load(small).test.labels, digits.test.labels[:100])


def test_of_several_data_sets_mnist_is_taken_or_one_must_be_named(tmp_path: Path, digits: ImageSets) -> None:
    for name in ("KMNIST", "FashionMNIST"):
        write_digits(tmp_path / name / "raw", digits)
    with pytest.raises(DataError, match=r"point --data\.root to one of .*FashionMNIST"):
        mnist.load(tmp_path)
    write_digits(tmp_path / "MNIST" / "raw", digits)
    assert mnist.load(tmp_path).folder == tmp_path / "MNIST" / "raw"


def test_an_archive_of_other_digits_is_kept(small: Path) -> None:
    """Torchvision would download MNIST over an archive whose MD5 differs."""
    path, archive = small / TEST_LABELS, small / f"{TEST_LABELS}.gz"
    content = gzip.compress(path.read_bytes())
    archive.write_bytes(content)
    path.unlink()
    mnist.prepare(small)
    assert archive.read_bytes() == content
    assert path.is_file()


def test_a_root_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")
    with pytest.raises(DataError, match="is a file"):
        mnist.prepare(tmp_path / "data")


def test_no_data_and_no_network_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError("network is unreachable")

    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(mnist, "DEFAULT_ROOT", tmp_path / "data")
    with pytest.raises(DataError, match=rf"could not be downloaded: put {TRAIN_IMAGES}\.gz"):
        mnist.prepare(tmp_path / "data")
    assert not (tmp_path / "data").exists()
