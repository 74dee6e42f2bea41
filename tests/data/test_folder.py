"""A folder of pictures is a data set: listed in natural order, with one-line errors."""

import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
import torch
from PIL import Image

from convblocks.data import folder as folder_module
from convblocks.data.folder import PictureFolder, kept_file
from convblocks.data.images import ImageSets
from convblocks.data.mnist import MNISTFiles
from convblocks.data.module import find_source
from convblocks.data.pictures import to_picture
from convblocks.errors import DataError, UsageError
from tests.conftest import write_digits
from tests.data.pictures import SHAPES, write_pictures
from tests.hostile.spoil import cut


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """40 training and 20 test pictures in colour, of discs and squares."""
    write_pictures(tmp_path / "shapes")
    return tmp_path / "shapes"


def same(one: ImageSets, other: ImageSets) -> bool:
    return one.fingerprint == other.fingerprint and one.image_spec == other.image_spec


# Listing.


@pytest.mark.parametrize("colour", [True, False], ids=["colour", "grey"])
@pytest.mark.parametrize("size", [(16, 16), (12, 20)], ids=str)
@pytest.mark.parametrize("classes", [2, 12])
def test_shape_and_classes_are_found(colour: bool, size: tuple[int, int], classes: int, tmp_path: Path) -> None:
    write_pictures(tmp_path, classes=list(SHAPES)[:classes], train=24, test=12, size=size, colour=colour)
    sets = PictureFolder(tmp_path).load()
    assert sets.image_spec.shape == (3 if colour else 1, *size)
    assert sets.image_spec.classes == tuple(sorted(list(SHAPES)[:classes]))
    assert sets.train.images.shape == (24, *sets.image_spec.shape)
    assert sets.test.images.shape == (12, *sets.image_spec.shape)


def test_images_and_labels_are_those_of_the_files(root: Path) -> None:
    sets = PictureFolder(root).load()
    for split, part in (("train", sets.train), ("test", sets.test)):
        for index, (pixels, label) in enumerate(zip(part.images, part.labels, strict=True)):
            with Image.open(root / split / sets.image_spec.classes[label] / f"{index}.png") as picture:
                assert picture.tobytes() == to_picture(pixels.numpy()).tobytes()


def test_mnist_written_as_a_folder_is_mnist(digits: ImageSets, tmp_path: Path) -> None:
    for index in range(120):
        path = tmp_path / "train" / str(int(digits.train.labels[index])) / f"{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        to_picture(digits.train.images[index].numpy()).save(path)
    sets = PictureFolder(tmp_path).load()
    assert torch.equal(sets.train.images, digits.train.images[:120])
    assert torch.equal(sets.train.labels, digits.train.labels[:120])
    assert sets.image_spec.classes == digits.image_spec.classes


@pytest.mark.parametrize("ending", ["jpg", "JPEG", "webp", "bmp"])
def test_other_formats_are_read(ending: str, root: Path, tmp_path: Path) -> None:
    write_pictures(tmp_path / "other", ending=ending)
    other, exact = PictureFolder(tmp_path / "other").load(), PictureFolder(root).load()
    assert torch.equal(other.train.labels, exact.train.labels)
    assert (other.train.images.float() - exact.train.images.float()).abs().mean() < 16


def test_one_picture_in_colour_makes_all_of_them_colour(tmp_path: Path) -> None:
    write_pictures(tmp_path, colour=False)
    Image.new("RGB", (16, 16), "red").save(tmp_path / "train" / "disc" / "0.png")
    assert PictureFolder(tmp_path).load().image_spec.channels == 3


def test_the_order_is_that_of_the_names_with_numbers_by_value(root: Path) -> None:
    for path in (root / "train" / "square").iterdir():
        path.unlink()
    for name in ("b.png", "a10.png", "a9.png", "100.png"):
        shutil.copy(root / "train" / "disc" / "0.png", root / "train" / "square" / name)
    listing = folder_module.list_pictures(root / "train", ["disc", "square"])
    discs = [f"{number}.png" for number in range(0, 40, 2)]
    assert [path.name for path in listing.paths] == [*discs, "100.png", "a9.png", "a10.png", "b.png"]
    assert listing.labels == [0] * 20 + [1] * 4


def test_pictures_may_lie_in_folders_within_a_class(root: Path) -> None:
    before = PictureFolder(root).load()
    nested = root / "train" / "disc" / "more.png" / "of them"  # a folder, in spite of its name
    nested.mkdir(parents=True)
    (root / "train" / "disc" / "4.png").rename(nested / "4.png")
    assert same(PictureFolder(root).load(), before)


def test_a_class_may_be_a_link(root: Path, tmp_path: Path) -> None:
    before = PictureFolder(root).load()
    (root / "train" / "disc").rename(tmp_path / "elsewhere")
    (root / "train" / "disc").symlink_to(tmp_path / "elsewhere")
    assert same(PictureFolder(root).load(), before)


def test_hidden_files_and_other_files_are_left_alone(root: Path) -> None:
    before = PictureFolder(root).load()
    for name in (".DS_Store", "._0.png", "notes.txt", ".thumbs/0.png"):
        path = root / "train" / "disc" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("no picture")
    (root / "train" / ".ipynb_checkpoints").mkdir()
    assert same(PictureFolder(root).load(), before)


def test_without_a_folder_test_there_are_no_test_images(tmp_path: Path) -> None:
    write_pictures(tmp_path, test=0)
    assert len(PictureFolder(tmp_path).load().test.labels) == 0


def test_pictures_of_several_sizes_are_scaled_to_the_size_asked_for(root: Path) -> None:
    Image.new("RGB", (50, 30), "red").save(root / "train" / "disc" / "0.png")
    sets = PictureFolder(root, size=(10, 12)).load()
    assert sets.image_spec.shape == (3, 10, 12)
    assert (sets.train.images[0] == torch.tensor([255, 0, 0]).view(3, 1, 1)).all()


# Errors.


def no_classes(root: Path) -> None:
    shutil.rmtree(root / "train")
    (root / "train").mkdir()


def one_class(root: Path) -> None:
    shutil.rmtree(root / "train" / "square")


def no_pictures(root: Path) -> None:
    for path in (root / "train" / "square").iterdir():
        path.rename(path.with_suffix(".txt"))


def unknown_class(root: Path) -> None:
    (root / "test" / "square").rename(root / "test" / "circle")


def no_test_pictures(root: Path) -> None:
    shutil.rmtree(root / "test")
    (root / "test").mkdir()


def two_sizes(root: Path) -> None:
    Image.new("RGB", (16, 20)).save(root / "test" / "disc" / "8.png")


def damaged(root: Path) -> None:
    cut(300)(root / "train" / "square" / "17.png")


def no_picture(root: Path) -> None:
    (root / "train" / "square" / "17.png").write_text("no picture")


def dangling_link(root: Path) -> None:
    (root / "train" / "square" / "17.png").unlink()
    (root / "train" / "square" / "17.png").symlink_to("nosuch")


def pipe(root: Path) -> None:
    (root / "train" / "square" / "17.png").unlink()
    os.mkfifo(root / "train" / "square" / "17.png")


def train_is_a_file(root: Path) -> None:
    shutil.rmtree(root / "train")
    (root / "train").write_text("")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (no_classes, "{root}/train needs folders of pictures for two or more classes, but has none"),
        (one_class, "{root}/train needs folders of pictures for two or more classes, but has only disc"),
        (no_pictures, "{root}/train/square holds no pictures: put some there, or remove the folder"),
        (unknown_class, "{root}/test/circle: {root}/train has no such class"),
        (no_test_pictures, "{root}/test holds no pictures"),
        (
            two_sizes,
            "the pictures in {root} differ in size: {root}/test/disc/8.png is 20 x 16 (height x width), most are "
            "16 x 16: scale them with --data.size HEIGHT WIDTH",
        ),
        (damaged, "cannot use the picture {root}/train/square/17.png: it cannot be read ("),
        (no_picture, "cannot use the picture {root}/train/square/17.png: it is not a picture of a known format"),
        (dangling_link, "cannot read {root}/train/square/17.png: No such file or directory"),
        (pipe, "cannot use the picture {root}/train/square/17.png: it is not a regular file"),
        (train_is_a_file, "cannot read {root}/train: Not a directory"),
    ],
)
def test_errors_are_one_line_and_name_the_file(spoil: Callable[[Path], None], message: str, root: Path) -> None:
    spoil(root)
    with pytest.raises(DataError) as caught:
        PictureFolder(root).load()
    assert str(caught.value).startswith(message.format(root=root))  # followed by Pillow's reason
    assert "\n" not in str(caught.value)
    assert not kept_file(root, None).exists()


def test_more_pictures_than_fit_into_memory_are_refused(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=50_000))
    message = rf"the 60 pictures in {re.escape(str(root))} would take .* GB of memory at 16 x 16 .* --data\.size"
    with pytest.raises(DataError, match=message):
        PictureFolder(root).load()
    assert PictureFolder(root, size=(8, 8)).load().image_spec.shape == (3, 8, 8)


def test_kept_pictures_that_do_not_fit_into_memory_are_not_loaded(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    PictureFolder(root).load()
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=50_000))
    with pytest.raises(DataError, match=r"the 60 pictures in .* would take"):
        PictureFolder(root).load()


def test_a_class_needs_a_name_that_can_be_printed(root: Path) -> None:
    (root / "train" / "disc").rename(root / "train" / "two\nlines")
    with pytest.raises(DataError, match="is not plain text, and cannot be the name of a class"):
        PictureFolder(root).load()


# The kind of a data set.


def test_a_folder_with_a_folder_train_is_one_of_pictures(root: Path) -> None:
    source = find_source(root, (8, 8))
    assert isinstance(source, PictureFolder)
    assert source.size == (8, 8)


def test_mnists_files_are_read_as_mnist_whatever_is_beside_them(root: Path, digits: ImageSets) -> None:
    write_digits(root / "MNIST" / "raw", digits)
    shutil.copy(root / "train" / "disc" / "0.png", root)
    shutil.copy(root / "train" / "disc" / "0.png", root / "test")
    assert isinstance(find_source(root), MNISTFiles)


def only_test(root: Path) -> Path:
    shutil.rmtree(root / "train")
    return root


def class_folders_alone(root: Path) -> Path:
    return root / "train"


def pictures_alone(root: Path) -> Path:
    return root / "train" / "disc"


@pytest.mark.parametrize("folder", [only_test, class_folders_alone, pictures_alone])
def test_pictures_that_lie_otherwise_are_not_taken_for_mnist(folder: Callable[[Path], Path], root: Path) -> None:
    with pytest.raises(DataError, match=r"has no folder train: put the pictures into train/<class>/"):
        find_source(folder(root))


def test_a_size_is_only_for_pictures(tmp_path: Path, digits: ImageSets) -> None:
    write_digits(tmp_path, digits)
    with pytest.raises(UsageError, match=r"--data\.size is for folders of pictures"):
        find_source(tmp_path, (8, 8))
