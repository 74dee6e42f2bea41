"""A folder of pictures is a data set: listed in natural order, decoded once, with one-line errors."""

import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
import torch
from PIL import Image

from convblocks.data.images import ImageSets
from convblocks.data.mnist import MNISTFiles
from convblocks.data.module import MNISTDataModule, find_source
from convblocks.errors import DataError, UsageError
from convblocks.pictures import source as folder_module
from convblocks.pictures.decoding import decode, to_picture
from convblocks.pictures.lazy import LazyImages
from convblocks.pictures.source import PictureFolder, kept_file
from tests.conftest import write_digits
from tests.data.pictures import SHAPES, write_pictures
from tests.hostile.spoil import cut, flipped


def shell(command: str, folder: Path) -> None:
    subprocess.run(command, shell=True, check=True, cwd=folder)


# Listing.


@pytest.mark.parametrize("colour", [True, False], ids=["colour", "grey"])
@pytest.mark.parametrize(("classes", "size"), [(2, (16, 16)), (12, (12, 20))])
def test_images_and_classes_are_those_of_the_files(
    classes: int, size: tuple[int, int], colour: bool, tmp_path: Path
) -> None:
    write_pictures(tmp_path, classes=list(SHAPES)[:classes], train=24, test=12, size=size, colour=colour)
    sets = PictureFolder(tmp_path).load()
    assert sets.image_spec.shape == (3 if colour else 1, *size)
    assert sets.image_spec.classes == tuple(sorted(list(SHAPES)[:classes]))
    for split, part, count in (("train", sets.train, 24), ("test", sets.test, 12)):
        assert len(part.images) == len(part.labels) == count
        for index, (pixels, label) in enumerate(zip(part.images, part.labels, strict=True)):
            with Image.open(tmp_path / split / sets.image_spec.classes[label] / f"{index}.png") as picture:
                assert picture.tobytes() == to_picture(pixels.numpy()).tobytes()


@pytest.mark.parametrize("ending", ["jpg", "JPEG", "webp", "bmp"])
def test_other_formats_are_read(ending: str, root: Path, tmp_path: Path) -> None:
    write_pictures(tmp_path / "other", ending=ending)
    other, exact = PictureFolder(tmp_path / "other").load(), PictureFolder(root).load()
    assert torch.equal(other.train.labels, exact.train.labels)
    assert (other.train.images.float() - exact.train.images.float()).abs().mean() < 16


def test_the_order_is_that_of_the_names_with_numbers_by_value(root: Path) -> None:
    shell("rm train/square/*; for name in b a10 a9 100; do cp train/disc/0.png train/square/$name.png; done", root)
    pictures = folder_module.list_pictures(root / "train", ["disc", "square"])
    discs = [f"{number}.png" for number in range(0, 40, 2)]
    assert [path.name for path, _ in pictures] == [*discs, "100.png", "a9.png", "a10.png", "b.png"]
    assert [label for _, label in pictures] == [0] * 20 + [1] * 4


@pytest.mark.parametrize(
    "command",
    [
        "mkdir -p train/disc/more.png/within && mv train/disc/4.png train/disc/more.png/within",
        "mv train/disc .. && ln -s ../../disc train/disc",
        "mkdir train/.ipynb_checkpoints && touch train/disc/.DS_Store train/disc/._0.png train/disc/notes.txt",
        "mkdir train/disc/.thumbs && touch train/disc/.thumbs/0.png",
    ],
    ids=["folders within a class", "a class is a link", "other files", "hidden folders"],
)
def test_the_images_stay_the_same(command: str, root: Path) -> None:
    before = PictureFolder(root).load().fingerprint
    shell(command, root)
    assert PictureFolder(root).load().fingerprint == before


def test_one_picture_of_another_size_or_in_colour_decides_for_all(tmp_path: Path) -> None:
    write_pictures(tmp_path, colour=False)
    Image.new("RGB", (50, 30), "red").save(tmp_path / "train" / "disc" / "0.png")
    with pytest.raises(DataError, match=r"1\.png is 16 x 16 .*/0\.png is 30 x 50: scale them with --data\.size"):
        PictureFolder(tmp_path).load()
    sets = PictureFolder(tmp_path, size=(10, 12)).load()
    assert sets.image_spec.shape == (3, 10, 12)
    assert (sets.train.images[0] == torch.tensor([255, 0, 0]).view(3, 1, 1)).all()


# Errors.


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("rm -r train/*", "{root}/train needs folders of pictures for two or more classes, but has none"),
        ("rm -r train/square", "{root}/train needs folders of pictures for two or more classes, but has only disc"),
        ("rm train/square/*; touch train/square/0.txt", "{root}/train/square holds no pictures"),
        ("mv test/square test/circle", "{root}/test/circle: {root}/train has no such class"),
        ("truncate -s 300 train/disc/8.png", "cannot use the picture {root}/train/disc/8.png: it cannot be read ("),
        ("echo text > train/disc/8.png", "cannot use the picture {root}/train/disc/8.png: it is not a picture of a"),
    ],
)
def test_errors_are_one_line_and_name_the_file(command: str, message: str, root: Path) -> None:
    shell(command, root)
    with pytest.raises(DataError) as caught:
        PictureFolder(root).load()
    assert str(caught.value).startswith(message.format(root=root))
    assert "\n" not in str(caught.value)
    assert not kept_file(root).exists()


@pytest.mark.parametrize("kept", [False, True])
def test_more_pictures_than_fit_into_memory_are_decoded_as_they_are_needed(
    kept: bool, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if kept:
        PictureFolder(root).load()
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=50_000))
    sets = PictureFolder(root).load()
    assert isinstance(sets.train.images, LazyImages)
    assert sets.note == (
        "60 pictures of 16 x 16 pixels need 0.0 GB decoded, 0.0 GB are free: they are decoded as they are needed, "
        "which is slower."
    )
    assert not isinstance(PictureFolder(root, size=(8, 8)).load().train.images, LazyImages)


# The kind of a data set.


def test_mnists_files_are_read_as_mnist_whatever_is_beside_them(root: Path, digits: ImageSets) -> None:
    write_digits(root / "MNIST" / "raw", digits)
    shutil.copy(root / "train" / "disc" / "0.png", root)
    assert isinstance(find_source(root), MNISTFiles)
    with pytest.raises(UsageError, match=r"--data\.size is for folders of pictures"):
        find_source(root / "MNIST" / "raw", (8, 8))


@pytest.mark.parametrize("folder", [".", "train", "train/disc"])
def test_pictures_that_lie_otherwise_are_not_taken_for_mnist(folder: str, root: Path) -> None:
    if folder == ".":
        shutil.rmtree(root / "train")  # which leaves the folder test
    with pytest.raises(DataError, match=r"holds no data: --data\.root must name .* pictures as train/<class>/"):
        find_source(root / folder).load()


# The file that keeps decoded pictures.


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of pictures of each decoding."""
    counts: list[int] = []

    def counting(paths: list[Path], shape: tuple[int, int, int]) -> torch.Tensor:
        counts.append(len(paths))
        return decode(paths, shape)

    monkeypatch.setattr(folder_module, "decode", counting)
    return counts


def test_pictures_are_decoded_once(root: Path, decoded: list[int]) -> None:
    unfinished = root / "..pictures.pt.0123456789ab.tmp"  # of a process that was killed
    unfinished.touch()
    first, again = PictureFolder(root).load(), PictureFolder(root).load()
    assert decoded == [60]
    assert (first.fingerprint, first.image_spec) == (again.fingerprint, again.image_spec)
    assert torch.equal(first.train.images, again.train.images)
    assert torch.equal(first.test.labels, again.test.labels)
    assert not unfinished.exists()


@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize(
    "command", ["mv 6.png 1000.png", "touch 6.png", "echo >> 6.png", "mv 6.png ../square", "rm 6.png"]
)
def test_a_change_of_any_file_decodes_all_again(command: str, split: str, root: Path, decoded: list[int]) -> None:
    PictureFolder(root).load()
    shell(command, root / split / "disc")
    changed = PictureFolder(root).load()
    assert len(decoded) == 2
    copy = shutil.copytree(root, root.with_name("copy"), ignore=shutil.ignore_patterns(".*"))
    assert PictureFolder(copy).load().fingerprint == changed.fingerprint
    assert len(decoded) == 3
    PictureFolder(root).load()  # keeps the changed set
    assert len(decoded) == 3


@pytest.mark.parametrize("spoil", [cut(0), cut(1000), cut(-100), flipped(20_000), flipped(-400), flipped(40)])
def test_a_damaged_kept_file_is_replaced(spoil: Callable[[Path], None], root: Path, decoded: list[int]) -> None:
    before = PictureFolder(root).load().fingerprint
    spoil(kept_file(root))
    assert PictureFolder(root).load().fingerprint == before
    assert PictureFolder(root).load().fingerprint == before
    assert len(decoded) <= 2  # a byte between the file's parts has no meaning


def test_a_byte_of_a_kept_picture_that_differs_is_noticed(root: Path, decoded: list[int]) -> None:
    before, path = PictureFolder(root).load(), kept_file(root)
    flipped(path.read_bytes().index(before.train.images[3].numpy().tobytes()))(path)
    assert PictureFolder(root).load().fingerprint == before.fingerprint
    assert len(decoded) == 2


@pytest.mark.parametrize("kept", [False, True])
def test_a_folder_that_cannot_be_written_to_is_read(
    kept: bool, root: Path, decoded: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    if kept:
        PictureFolder(root).load()
    files = set(root.iterdir())

    def refuse(path: Path) -> None:
        raise PermissionError(path)

    monkeypatch.setattr(folder_module, "atomic_write", refuse)  # mode bits would not stop root, who may run the tests
    assert PictureFolder(root).load().image_spec.shape == (3, 16, 16)
    assert decoded == [60]
    assert set(root.iterdir()) == files


def test_on_a_full_disk_pictures_are_decoded_all_the_same(root: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))  # bytes in a file
    try:
        fingerprint = PictureFolder(root).load().fingerprint
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not list(root.glob(".*.pt*"))
    assert PictureFolder(root).load().fingerprint == fingerprint


@pytest.mark.slow
def test_of_two_processes_at_once_one_decodes_and_both_have_the_pictures(tmp_path: Path) -> None:
    write_pictures(tmp_path, train=1000, test=200)
    load = "from convblocks.pictures.source import *; print(PictureFolder(Path()).load().fingerprint)"
    pipe = subprocess.PIPE
    processes = [
        subprocess.Popen([sys.executable, "-c", load], cwd=tmp_path, stdout=pipe, stderr=pipe, text=True)
        for _ in range(2)
    ]
    outputs, errors = zip(*(process.communicate(timeout=240) for process in processes), strict=True)
    assert [process.returncode for process in processes] == [0, 0], errors
    assert "".join(errors).count("Decoding 1,200 pictures") == 1
    assert outputs == (f"{PictureFolder(tmp_path).load().fingerprint}\n",) * 2
    assert [path.name for path in tmp_path.glob(".*.pt*")] == [kept_file(tmp_path).name]


def test_kept_pictures_are_not_taken_for_those_of_another_size(root: Path, decoded: list[int]) -> None:
    before = PictureFolder(root).load()
    assert PictureFolder(root, size=(16, 16)).load().fingerprint == before.fingerprint
    assert decoded == [60]
    for size in ((8, 8), None, (8, 10)):
        assert PictureFolder(root, size).load().image_spec.shape[1:] == (size or (16, 16))
    assert decoded == [60] * 4


# In the data module.


def ready(root: Path, **settings: Any) -> MNISTDataModule:
    module = MNISTDataModule(str(root), batch_size=8, **settings)
    module.prepare_data()
    module.setup()
    return module


def test_without_test_images_a_run_is_tested_on_those_held_out(tmp_path: Path) -> None:
    write_pictures(tmp_path, test=0)
    module = ready(tmp_path, val_size=10)
    assert (len(module.train.labels), len(module.val.labels)) == (30, 10)
    assert module.test is module.val
    with pytest.raises(DataError, match=r"has no test images: add some .* --data\.val_size"):
        ready(tmp_path)


def test_a_folder_of_pictures_is_trained_and_evaluated_on(tmp_path: Path) -> None:
    write_pictures(tmp_path, size=(12, 20))
    module = MNISTDataModule(str(tmp_path), batch_size=16)
    image_spec = module.image_spec
    assert (image_spec.shape, image_spec.classes) == ((3, 12, 20), ("disc", "square"))
    batches = list(module.train_dataloader())
    assert [images.shape for images, _ in batches] == [(16, 3, 12, 20), (16, 3, 12, 20), (8, 3, 12, 20)]
    everything = torch.cat([images for images, _ in batches])
    assert everything.mean(dim=(0, 2, 3)).abs().max() < 1e-3
    assert (everything.std(dim=(0, 2, 3)) - 1).abs().max() < 1e-3
    assert sum(len(targets) for _, targets in module.test_dataloader()) == 20
    assert MNISTDataModule(str(tmp_path), batch_size=8, size=(10, 14)).image_spec.shape == (3, 10, 14)
