"""Files are found, unpacked and checked; damaged ones are restored from the archive or reported."""

import gzip
import os
import shutil
import socket
from pathlib import Path

import pytest
import torch

from convblocks.data import mnist
from convblocks.data.images import ImageSets
from convblocks.data.mnist import DEFAULT_ROOT
from convblocks.errors import DataError
from tests.conftest import write_digits, write_idx
from tests.hostile.spoil import flipped

ARCHIVES = DEFAULT_ROOT / "MNIST" / "raw"
NAMES = [names[0] for names in mnist.FILES]


def copy_archives(folder: Path) -> None:
    folder.mkdir(parents=True)
    for name in NAMES:
        shutil.copy(ARCHIVES / f"{name}.gz", folder)


@pytest.fixture
def small(tmp_path: Path, digits: ImageSets) -> Path:
    """A data set of a few real digits, unpacked, without archives."""
    write_digits(tmp_path, digits)
    return tmp_path


@pytest.mark.parametrize("folder", ["", "raw", "MNIST/raw", "Other/raw"])
def test_archives_are_found_and_unpacked(tmp_path: Path, folder: str, digits: ImageSets) -> None:
    root = tmp_path / "data"
    copy_archives(root / folder)
    mnist.prepare(root)
    assert all((root / folder / name).is_file() for name in NAMES)
    loaded = mnist.load(root)
    assert loaded.original
    assert torch.equal(loaded.train.images, digits.train.images)
    assert torch.equal(loaded.test.labels, digits.test.labels)


def test_unpacked_files_suffice(small: Path, digits: ImageSets) -> None:
    mnist.prepare(small)
    loaded = mnist.load(small)
    assert torch.equal(loaded.train.images, digits.train.images[:200])
    assert not loaded.original


@pytest.mark.parametrize(("one", "other"), [(0, 2), (1, 3)])
def test_swapped_files_of_mnist_are_refused(one: int, other: int, tmp_path: Path) -> None:
    root = tmp_path / "data"
    copy_archives(root)
    first, second = (root / f"{NAMES[number]}.gz" for number in (one, other))
    first.rename(root / "spare")
    second.rename(first)
    (root / "spare").rename(second)
    with pytest.raises(DataError, match=f"{NAMES[one]} holds the content of {NAMES[other]}"):
        mnist.load(root)


def test_the_fingerprint_changes_with_the_data(small: Path, digits: ImageSets) -> None:
    before = mnist.load(small).fingerprint
    flipped(5000)(small / "t10k-images-idx3-ubyte")
    after = mnist.load(small).fingerprint
    assert [name for name in NAMES if before[name] != after[name]] == ["t10k-images-idx3-ubyte"]


@pytest.mark.parametrize("damage", ["truncated", "bit flipped"])
def test_a_damaged_unpacked_file_is_restored_from_its_archive(tmp_path: Path, damage: str) -> None:
    root = tmp_path / "data"
    copy_archives(root)
    mnist.prepare(root)
    path = root / "train-images-idx3-ubyte"
    if damage == "truncated":
        os.truncate(path, 1_000_000)
    else:
        flipped(1_000_000)(path)
    mnist.prepare(root)
    assert mnist.load(root).original


def test_archives_are_read_where_nothing_can_be_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy_archives(tmp_path / "data")
    monkeypatch.setattr(os, "access", lambda *_: False)  # mode bits would not stop root, as whom the tests may run
    mnist.prepare(tmp_path / "data")
    assert not (tmp_path / "data" / NAMES[0]).exists()
    assert mnist.load(tmp_path / "data").original


@pytest.mark.parametrize("position", [-1, 500_000])
def test_a_damaged_archive_is_named(tmp_path: Path, position: int) -> None:
    root = tmp_path / "data"
    copy_archives(root)
    flipped(position)(root / "t10k-images-idx3-ubyte.gz")
    with pytest.raises(DataError, match=r"t10k-images-idx3-ubyte\.gz is damaged"):
        mnist.prepare(root)
    assert not list(root.glob("*.tmp"))


def test_a_truncated_archive_is_named(tmp_path: Path) -> None:
    root = tmp_path / "data"
    copy_archives(root)
    os.truncate(root / "train-labels-idx1-ubyte.gz", 20_000)
    with pytest.raises(DataError, match=r"train-labels-idx1-ubyte\.gz is damaged"):
        mnist.prepare(root)


def test_a_file_of_mnist_that_differs_in_one_bit_is_named(tmp_path: Path) -> None:
    root = tmp_path / "data"
    copy_archives(root)
    mnist.prepare(root)
    for archive in root.glob("*.gz"):
        archive.unlink()
    flipped(5000)(root / "t10k-images-idx3-ubyte")
    with pytest.raises(DataError, match="t10k-images-idx3-ubyte is damaged"):
        mnist.load(root)


def test_a_missing_file_is_named(small: Path) -> None:
    (small / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(DataError, match="lacks t10k-labels-idx1-ubyte"):
        mnist.load(small)


def test_a_wrong_magic_number_is_refused(small: Path) -> None:
    flipped(2)(small / "train-images-idx3-ubyte")
    with pytest.raises(DataError, match="train-images-idx3-ubyte is not an IDX file"):
        mnist.load(small)


def test_a_length_that_contradicts_the_header_is_refused(small: Path) -> None:
    os.truncate(small / "train-images-idx3-ubyte", 1000)
    with pytest.raises(DataError, match="has 1,000 bytes where its header says"):
        mnist.load(small)


def test_a_label_out_of_range_is_refused(small: Path, digits: ImageSets) -> None:
    labels = digits.train.labels[:200].clone()
    labels[17] = 10
    write_idx(small / "train-labels-idx1-ubyte", labels)
    with pytest.raises(DataError, match="holds the label 10"):
        mnist.load(small)


def test_labels_must_be_as_many_as_images(small: Path, digits: ImageSets) -> None:
    write_idx(small / "train-labels-idx1-ubyte", digits.train.labels[:199])
    with pytest.raises(DataError, match=r"holds 200 images, but .* 199 labels"):
        mnist.load(small)


def test_images_must_be_28_by_28(small: Path, digits: ImageSets) -> None:
    write_idx(small / "train-images-idx3-ubyte", digits.train.images[:200, 0, :20])
    with pytest.raises(DataError, match=r"shape \(200, 20, 28\)"):
        mnist.load(small)


def test_qmnist_is_read(small: Path, digits: ImageSets) -> None:
    """QMNIST has other file names, and the class in the first of eight 32-bit columns."""
    for split, part, mine in (("train", digits.train, "train"), ("t10k", digits.test, "test")):
        (small / f"{split}-images-idx3-ubyte").rename(small / f"qmnist-{mine}-images-idx3-ubyte")
        (small / f"{split}-labels-idx1-ubyte").unlink()
        count = 200 if mine == "train" else 100
        rows = torch.zeros(count, 8, dtype=torch.int32)
        rows[:, 0] = part.labels[:count]
        header = b"\0\0\x0c\x02" + count.to_bytes(4, "big") + (8).to_bytes(4, "big")
        (small / f"qmnist-{mine}-labels-idx2-int").write_bytes(header + rows.numpy().astype(">i4").tobytes())
    assert torch.equal(mnist.load(small).test.labels, digits.test.labels[:100])


def test_mnist_is_taken_before_other_data_sets_beside_it(tmp_path: Path, digits: ImageSets) -> None:
    write_digits(tmp_path / "MNIST" / "raw", digits, train=150)
    write_digits(tmp_path / "FashionMNIST" / "raw", digits)
    assert mnist.load(tmp_path).folder == tmp_path / "MNIST" / "raw"


def test_several_other_data_sets_are_ambiguous(tmp_path: Path, digits: ImageSets) -> None:
    write_digits(tmp_path / "KMNIST" / "raw", digits)
    write_digits(tmp_path / "FashionMNIST" / "raw", digits)
    with pytest.raises(DataError, match=r"point --data\.root to one of .*FashionMNIST"):
        mnist.load(tmp_path)


def test_a_root_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")
    with pytest.raises(DataError, match="is a file"):
        mnist.prepare(tmp_path / "data")


def test_no_data_and_no_network_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError("network is unreachable")

    monkeypatch.setattr(socket, "create_connection", refuse)
    with pytest.raises(DataError, match=r"could not be downloaded: put train-images-idx3-ubyte\.gz"):
        mnist.prepare(tmp_path / "data")
    assert not (tmp_path / "data").exists()


def test_an_archive_of_other_digits_is_kept(small: Path) -> None:
    """Torchvision would download MNIST over an archive whose MD5 differs."""
    path = small / "t10k-labels-idx1-ubyte"
    archive = gzip.compress(path.read_bytes())
    path.with_name(path.name + ".gz").write_bytes(archive)
    path.unlink()
    mnist.prepare(small)
    assert path.with_name(path.name + ".gz").read_bytes() == archive
    assert path.is_file()
