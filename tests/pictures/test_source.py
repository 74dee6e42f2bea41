"""A folder of pictures is a data set: listed in natural order, decoded once, with
one-line errors.
"""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from unittest.mock import Mock

import pytest
import torch
from PIL import Image

from convblocks.data.module import MNISTDataModule, find_source
from convblocks.errors import DataError
from convblocks.pictures import decoding
from convblocks.pictures import source as source_module
from convblocks.pictures.decoding import to_picture
from convblocks.pictures.source import PictureFolder, kept_file
from tests.data.pictures import write_pictures
from tests.hostile.spoil import cut, flipped


def shell(command: str, folder: Path) -> None:
    subprocess.run(command, shell=True, check=True, cwd=folder)


@pytest.mark.parametrize(("ending", "colour"), [("png", True), ("png", False), ("bmp", True)])
def test_folder_gives_its_files_in_the_order_of_their_names(
    ending: str, colour: bool, tmp_path: Path
) -> None:
    write_pictures(tmp_path, train=24, test=12, size=(12, 20), colour=colour, ending=ending)
    sets = PictureFolder(tmp_path).load()
    assert sets.image_spec.shape == (3 if colour else 1, 12, 20)
    assert sets.image_spec.classes == ("disc", "square")
    for split, part, count in (("train", sets.train, 24), ("test", sets.test, 12)):
        for index, pixels, label in zip(
            sorted(map(str, range(count))), part.images, part.labels, strict=True
        ):
            with Image.open(
                tmp_path / split / sets.image_spec.classes[label] / f"{index}.{ending}"
            ) as picture:
                assert picture.tobytes() == to_picture(pixels.numpy()).tobytes()


@pytest.mark.parametrize(
    "command",
    [
        "mkdir -p train/disc/more.png/within && mv train/disc/4.png train/disc/more.png/within",
        "mv train/disc .. && ln -s ../../disc train/disc",
        "mkdir train/.ipynb_checkpoints && cd train/disc && touch .DS_Store ._0.png notes.txt",
        "mkdir train/disc/.thumbs && touch train/disc/.thumbs/0.png",
    ],
    ids=["folders within a class", "a class is a link", "other files", "hidden folders"],
)
def test_folder_gives_the_same_images_with(command: str, root: Path) -> None:
    before = PictureFolder(root).load().fingerprint
    shell(command, root)
    assert PictureFolder(root).load().fingerprint == before


def test_folder_with_a_picture_of_another_size_must_be_scaled_and_one_in_colour_makes_all_so(
    tmp_path: Path,
) -> None:
    write_pictures(tmp_path, colour=False)
    Image.new("RGB", (50, 30), "red").save(tmp_path / "train" / "disc" / "0.png")
    with pytest.raises(
        DataError, match=r"1\.png is 16 x 16 .*/0\.png is 30 x 50: scale them with --data\.size"
    ):
        PictureFolder(tmp_path).load()
    sets = PictureFolder(tmp_path, size=(10, 12)).load()
    assert sets.image_spec.shape == (3, 10, 12)
    assert (sets.train.images[0] == torch.tensor([255, 0, 0]).view(3, 1, 1)).all()


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("rm -r train/square", "{root}/train needs folders of pictures for two or more classes"),
        ("rm train/square/*; touch train/square/0.txt", "{root}/train/square holds no pictures"),
        (
            "ln -s .. train/square/loop",
            "{root}/train/square/loop is a link to a folder that it is in: remove it",
        ),
        ("mv test/square test/circle", "{root}/test/circle: {root}/train has no such class"),
        (
            "truncate -s 300 train/disc/8.png",
            "cannot use the picture {root}/train/disc/8.png: it cannot be read (",
        ),
    ],
)
def test_folder_that_cannot_be_used_is_one_line_that_names_the_file(
    command: str, message: str, root: Path
) -> None:
    shell(command, root)
    with pytest.raises(DataError) as caught:
        PictureFolder(root).load()
    assert str(caught.value).startswith(message.format(root=root))
    assert "\n" not in str(caught.value)
    assert not kept_file(root).exists()


def test_source_of_a_folder_without_data_is_refused(root: Path) -> None:
    with pytest.raises(
        DataError, match=r"holds no data: --data\.root must name .* pictures as train/<class>/"
    ):
        find_source(root / "train").load()


# The file that keeps decoded pictures.


@pytest.fixture
def decode(monkeypatch: pytest.MonkeyPatch) -> Mock:
    """Counts how often the pictures are decoded."""
    counting = Mock(wraps=decoding.decode)
    monkeypatch.setattr(source_module, "decode", counting)
    return counting


def test_kept_file_spares_decoding_again(root: Path, decode: Mock) -> None:
    unfinished = root / "..pictures.pt.0123456789ab.tmp"  # of a process that was killed
    unfinished.touch()
    first, again = PictureFolder(root).load(), PictureFolder(root).load()
    assert decode.call_count == 1
    assert (first.fingerprint, first.image_spec) == (again.fingerprint, again.image_spec)
    assert torch.equal(first.train.images, again.train.images)
    assert torch.equal(first.test.labels, again.test.labels)
    assert not unfinished.exists()


@pytest.mark.parametrize("command", ["mv 6.png 1000.png", "echo >> 6.png", "mv 6.png ../square"])
def test_kept_file_is_out_of_date_after_a_change_of_any_picture(
    command: str, root: Path, decode: Mock
) -> None:
    PictureFolder(root).load()
    shell(command, root / "test" / "disc")
    changed = PictureFolder(root).load()
    assert decode.call_count == 2
    copy = shutil.copytree(root, root.with_name("copy"), ignore=shutil.ignore_patterns(".*"))
    assert PictureFolder(copy).load().fingerprint == changed.fingerprint
    PictureFolder(root).load()  # keeps the changed set
    assert decode.call_count == 3


def test_kept_file_is_valid_for_the_same_content(root: Path, decode: Mock) -> None:
    """In a copy of the folder, and where times have changed."""
    before = PictureFolder(root).load()
    copy = shutil.copytree(root, root.with_name("copy"))
    shell("touch 6.png", root / "test" / "disc")
    for folder in (root, copy, copy):
        assert torch.equal(PictureFolder(folder).load().test.images, before.test.images)
    assert decode.call_count == 1


def test_kept_file_is_out_of_date_after_classes_were_exchanged(tmp_path: Path) -> None:
    """Whose files have equal names, sizes and times."""
    write_bitmaps(tmp_path, black="a", white="b")
    assert PictureFolder(tmp_path).load().train.images[0].sum() == 0
    folder = tmp_path / "train"
    shell("mv a other && mv b a && mv other b", folder)
    images = PictureFolder(tmp_path).load().train
    assert [int(image.max()) for image in images.images] == [
        0 if label == 1 else 255 for label in images.labels
    ]


def test_content_of_pictures_is_read_once_to_find_that_they_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_bitmaps(tmp_path, black="a", white="b")
    PictureFolder(tmp_path).load()
    Image.new("L", (8, 8), 100).save(tmp_path / "train" / "a" / "0.bmp")
    digest_of = Mock(wraps=decoding.digest_of)
    monkeypatch.setattr(source_module, "digest_of", digest_of)
    PictureFolder(tmp_path).load()
    assert digest_of.call_count == 4  # pictures


def write_bitmaps(root: Path, black: str, white: str) -> None:
    """Two classes of pictures, alike in all but their pixels."""
    for name, grey in ((black, 0), (white, 255)):
        folder = root / "train" / name
        folder.mkdir(parents=True)
        for number in range(2):
            path = folder / f"{number}.bmp"
            Image.new("L", (8, 8), grey).save(path)
            os.utime(path, (1_000_000_000, 1_000_000_000))


@pytest.mark.parametrize("spoil", [cut(0), cut(-100), flipped(20_000), None])
def test_kept_file_that_is_damaged_is_replaced(
    spoil: Callable[[Path], None] | None, root: Path, decode: Mock
) -> None:
    before, path = PictureFolder(root).load(), kept_file(root)
    (spoil or flipped(path.read_bytes().index(before.train.images[3].numpy().tobytes())))(path)
    assert PictureFolder(root).load().fingerprint == before.fingerprint
    assert PictureFolder(root).load().fingerprint == before.fingerprint
    # A byte between the file's parts has no meaning, a pixel's has.
    assert decode.call_count == 2 or spoil


def test_kept_file_is_not_needed_where_none_can_be_written(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source_module, "atomic_write", Mock(side_effect=OSError))
    before = {*root.iterdir()}
    assert PictureFolder(root).load().fingerprint == PictureFolder(root).load().fingerprint
    assert {*root.iterdir()} == before


def test_kept_file_holds_pictures_of_one_size(root: Path, decode: Mock) -> None:
    before = PictureFolder(root).load()
    assert PictureFolder(root, size=(16, 16)).load().fingerprint == before.fingerprint
    assert decode.call_count == 1
    for size in ((8, 8), None, (8, 10)):
        assert PictureFolder(root, size).load().image_spec.shape[1:] == (size or (16, 16))
    assert decode.call_count == 4


# In the data module.


def test_data_module_without_test_pictures_tests_on_those_held_out(tmp_path: Path) -> None:
    write_pictures(tmp_path, test=0)
    module = MNISTDataModule(str(tmp_path), batch_size=8, val_size=10)
    module.setup()
    assert (len(module.train.labels), len(module.val.labels)) == (30, 10)
    assert module.test is module.val
    assert not module.augmentation.black_outside
    assert module.notes[-1] == "Without test images, 'test' below means the 10 held-out images."
    with pytest.raises(DataError, match=r"has no test images: add some .* --data\.val_size"):
        MNISTDataModule(str(tmp_path), batch_size=8).setup()
