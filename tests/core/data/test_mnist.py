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

Spoiler = Callable[[Path], None]


def read(root: Path) -> ImageSets:
    files = MNISTFiles(root)
    files.prepare()
    return files.load()


def copy_archives(folder: Path) -> None:
    folder.mkdir(parents=True)
    for name in NAMES:
        shutil.copy(DEFAULT_ROOT / "MNIST" / "raw" / f"{name}.gz", folder)


@pytest.fixture
def small(tmp_path: Path, digits: ImageSets) -> Path:
    """A data set of a few real digits, unpacked."""
    write_digits(tmp_path, digits)
    return tmp_path


@pytest.mark.parametrize("folder", ["", "raw", "Other/raw"])
def test_archives_are_found_and_read_and_nothing_is_written(tmp_path: Path, folder: str, digits: ImageSets) -> None:
    copy_archives(tmp_path / "data" / folder)
    for path in (tmp_path / "data" / folder).iterdir():
        path.chmod(0o444)
    (tmp_path / "data" / folder).chmod(0o555)
    loaded = read(tmp_path / "data")
    assert loaded.fingerprint == ORIGINAL_MD5
    assert loaded.folder == tmp_path / "data" / folder
    assert torch.equal(loaded.train.images, digits.train.images)
    assert torch.equal(loaded.test.labels, digits.test.labels)
    assert {path.name for path in (tmp_path / "data" / folder).iterdir()} == {f"{name}.gz" for name in NAMES}


def test_unpacked_files_are_preferred_and_their_content_is_in_the_fingerprint(small: Path, digits: ImageSets) -> None:
    content = (small / TEST_IMAGES).read_bytes()
    (small / f"{TEST_IMAGES}.gz").write_bytes(gzip.compress(content))
    loaded = read(small)
    assert torch.equal(loaded.train.images, digits.train.images[:200])
    assert loaded.fingerprint == {name: hashlib.md5((small / name).read_bytes()).hexdigest() for name in NAMES}
    flipped(5000)(small / TEST_IMAGES)
    changed = read(small).fingerprint
    assert [name for name in NAMES if loaded.fingerprint[name] != changed[name]] == [TEST_IMAGES]
    (small / TEST_IMAGES).unlink()
    assert read(small).fingerprint == loaded.fingerprint


@pytest.mark.parametrize("damage", [flipped(-1), flipped(500_000), cut(20_000)], ids=["length", "bit", "truncated"])
def test_a_damaged_archive_is_named(tmp_path: Path, damage: Spoiler) -> None:
    copy_archives(tmp_path / "data")
    damage(tmp_path / "data" / f"{TEST_IMAGES}.gz")
    with pytest.raises(DataError, match=rf"{TEST_IMAGES}\.gz is damaged, .*: put an intact IDX file there"):
        read(tmp_path / "data")


@pytest.mark.parametrize(
    ("name", "damage", "message"),
    [
        (TEST_LABELS, Path.unlink, f"lacks {TEST_LABELS}"),
        (TRAIN_IMAGES, cut(0), f"{TRAIN_IMAGES} is damaged, or of another kind"),
        (TRAIN_IMAGES, flipped(2), "its header is wrong"),
        (TRAIN_IMAGES, flipped(4), "its header is wrong"),
        (TRAIN_IMAGES, cut(1000), "it has fewer bytes than its header says"),
        (TRAIN_LABELS, lambda path: write_idx(path, torch.ones(199)), r"holds 200 images, but .* 199 labels"),
        (TEST_IMAGES, lambda path: write_idx(path, torch.ones(100, 20, 28)), r"test set's images .* all of one shape"),
        (TEST_IMAGES, lambda path: write_idx(path, torch.ones(0, 28, 28)), "its header is wrong"),
    ],
    ids=["missing", "empty", "magic number", "size", "length", "number of labels", "shape of images", "no images"],
)
def test_a_file_that_cannot_be_used_is_named(name: str, damage: Spoiler, message: str, small: Path) -> None:
    damage(small / name)
    with pytest.raises(DataError, match=message):
        read(small)


def test_other_shapes_and_more_classes_have_their_own_image_spec(small: Path, digits: ImageSets) -> None:
    """EMNIST's letters have labels of 1 to 26."""
    assert read(small).image_spec == MNIST
    write_idx(small / TRAIN_LABELS, torch.arange(200) % 26 + 1)
    letters = read(small)
    assert letters.image_spec.classes == tuple(map(str, range(27)))
    assert letters.image_spec.mean != MNIST.mean
    assert letters.fingerprint.keys() == ORIGINAL_MD5.keys()
    write_idx(small / TRAIN_IMAGES, digits.train.images[:200, 0, 4:24, 4:20])
    write_idx(small / TEST_IMAGES, digits.test.images[:100, 0, 4:24, 4:20])
    assert read(small).image_spec.shape == (1, 20, 16)


def test_of_several_data_sets_mnist_is_taken_or_one_must_be_named(tmp_path: Path, digits: ImageSets) -> None:
    for name in ("KMNIST", "FashionMNIST"):
        write_digits(tmp_path / name / "raw", digits)
    with pytest.raises(DataError, match=r"point --data\.root to one, such as .*FashionMNIST"):
        read(tmp_path)
    write_digits(tmp_path / "MNIST" / "raw", digits)
    assert read(tmp_path).folder == tmp_path / "MNIST" / "raw"


@pytest.mark.parametrize("root", ["nothing", "file"])
def test_a_root_that_is_no_folder_is_refused(root: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=rf"there is no folder .*{root}: --data\.root must name"):
        read(tmp_path / root)
