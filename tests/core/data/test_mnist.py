"""Files are found and read where they are, packed or not; missing and damaged ones are named."""

import gzip
import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from convblocks.data.images import MNIST, ImageSets
from convblocks.data.mnist import DEFAULT_ROOT, ORIGINAL_MD5, MNISTFiles
from convblocks.errors import DataError
from tests.conftest import write_digits, write_idx
from tests.hostile.spoil import cut, flipped

NAMES = TRAIN_IMAGES, TRAIN_LABELS, TEST_IMAGES, TEST_LABELS = list(ORIGINAL_MD5)
ARCHIVES = {f"{name}.gz" for name in NAMES}


@pytest.fixture
def small(tmp_path: Path, digits: ImageSets) -> Path:
    """A data set of a few real digits, unpacked."""
    write_digits(tmp_path, digits)
    return tmp_path


@pytest.mark.parametrize("folder", ["", "raw", "MNIST/raw"])
def test_mnist_archives_are_found_and_read_and_nothing_is_written(
    tmp_path: Path, folder: str, digits: ImageSets
) -> None:
    folder_of_files = tmp_path / "data" / folder
    shutil.copytree(
        DEFAULT_ROOT / "MNIST" / "raw",
        folder_of_files,
        ignore=lambda _, names: {*names} - {*ARCHIVES},
    )
    loaded = MNISTFiles(tmp_path / "data").load()
    assert loaded.fingerprint == ORIGINAL_MD5
    assert torch.equal(loaded.train.images, digits.train.images)
    assert torch.equal(loaded.test.labels, digits.test.labels)
    assert {path.name for path in folder_of_files.iterdir()} == ARCHIVES


def test_mnist_prefers_unpacked_files_and_their_content_is_in_the_fingerprint(
    small: Path, digits: ImageSets
) -> None:
    content = (small / TEST_IMAGES).read_bytes()
    (small / f"{TEST_IMAGES}.gz").write_bytes(gzip.compress(content))
    loaded = MNISTFiles(small).load()
    assert torch.equal(loaded.train.images, digits.train.images[:200])
    assert loaded.fingerprint == {
        name: hashlib.md5((small / name).read_bytes()).hexdigest() for name in NAMES
    }
    flipped(5000)(small / TEST_IMAGES)
    changed = MNISTFiles(small).load().fingerprint
    assert [name for name in NAMES if loaded.fingerprint[name] != changed[name]] == [TEST_IMAGES]
    (small / TEST_IMAGES).unlink()
    assert MNISTFiles(small).load().fingerprint == loaded.fingerprint


@pytest.mark.parametrize(
    ("name", "damage", "message"),
    [
        (TEST_LABELS, Path.unlink, f"lacks {TEST_LABELS}"),
        (TRAIN_IMAGES, cut(0), f"{TRAIN_IMAGES} is damaged, or not an IDX file"),
        (TRAIN_IMAGES, flipped(2), "its header is wrong"),
        (TRAIN_IMAGES, cut(1000), "it has fewer bytes than its header says"),
        (
            TRAIN_LABELS,
            lambda path: write_idx(path, torch.ones(199)),
            r"holds 200 images, but .* 199 labels",
        ),
        (
            TEST_IMAGES,
            lambda path: write_idx(path, torch.ones(100, 20, 28)),
            r"test set's images .* all of one shape",
        ),
        (TEST_IMAGES, lambda path: write_idx(path, torch.ones(0, 28, 28)), "its header is wrong"),
    ],
    ids=[
        "missing",
        "empty",
        "magic number",
        "length",
        "number of labels",
        "shape of images",
        "no images",
    ],
)
def test_mnist_file_that_cannot_be_used_is_named(
    name: str, damage: Callable[[Path], None], message: str, small: Path
) -> None:
    damage(small / name)
    with pytest.raises(DataError, match=message):
        MNISTFiles(small).load()


def test_mnist_archive_that_is_damaged_is_named(small: Path) -> None:
    archive = small / f"{TEST_IMAGES}.gz"
    archive.write_bytes(gzip.compress((small / TEST_IMAGES).read_bytes())[:-2000])
    (small / TEST_IMAGES).unlink()
    with pytest.raises(
        DataError, match=rf"{TEST_IMAGES}\.gz is damaged, .*: put an intact IDX file there"
    ):
        MNISTFiles(small).load()


def test_mnist_format_of_other_shapes_and_more_classes_has_its_own_image_spec(
    small: Path, digits: ImageSets
) -> None:
    """EMNIST's letters have labels of 1 to 26."""
    assert MNISTFiles(small).load().image_spec == MNIST
    write_idx(small / TRAIN_LABELS, torch.arange(200) % 26 + 1)
    letters = MNISTFiles(small).load()
    assert letters.image_spec.classes == tuple(map(str, range(27)))
    assert letters.image_spec.mean != MNIST.mean
    assert letters.fingerprint.keys() == ORIGINAL_MD5.keys()
    write_idx(small / TRAIN_IMAGES, digits.train.images[:200, 0, 4:24, 4:20])
    write_idx(small / TEST_IMAGES, digits.test.images[:100, 0, 4:24, 4:20])
    assert MNISTFiles(small).load().image_spec.shape == (1, 20, 16)
