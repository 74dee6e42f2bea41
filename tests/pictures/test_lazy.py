"""Pictures that do not fit into memory give the same images as those in memory, decoded a batch at a time."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from convblocks.data.images import ImageSets
from convblocks.data.loader import Augmentation, ImageLoader
from convblocks.data.module import ImageDataModule
from convblocks.errors import DataError
from convblocks.pictures import lazy as lazy_module
from convblocks.pictures import source as folder_module
from convblocks.pictures.decoding import read_pixels
from convblocks.pictures.lazy import LazyImages
from convblocks.pictures.source import PictureFolder
from tests.hostile.spoil import cut


@pytest.fixture
def in_memory(root: Path) -> ImageSets:
    return PictureFolder(root).load()


@pytest.fixture
def lazy(root: Path, in_memory: ImageSets, monkeypatch: pytest.MonkeyPatch) -> ImageSets:
    """The same pictures on a machine with too little memory."""
    monkeypatch.setattr(folder_module, "memory_for_images", lambda: 1000)
    return PictureFolder(root).load()


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The pictures that were decoded while they were needed."""
    paths: list[Path] = []

    def counting(path: Path, shape: Sequence[int]) -> NDArray[np.uint8]:
        paths.append(path)
        return read_pixels(path, shape)

    monkeypatch.setattr(lazy_module, "read_pixels", counting)
    return paths


def test_mean_deviation_and_fingerprint_are_those_of_pictures_in_memory(in_memory: ImageSets, lazy: ImageSets) -> None:
    assert isinstance(lazy.train.images, LazyImages)
    assert (lazy.image_spec, lazy.fingerprint) == (in_memory.image_spec, in_memory.fingerprint)


@pytest.mark.parametrize("processes", [1, 2, 7])
def test_batches_are_those_of_pictures_in_memory(processes: int, in_memory: ImageSets, lazy: ImageSets) -> None:
    """Of 40 pictures the last batch holds one, and most processes' share of it is empty."""
    for process in range(processes):
        one, other = (
            ImageLoader(
                sets.train,
                13,
                shuffle=True,
                image_spec=sets.image_spec,
                augmentation=Augmentation(shift=2, flip=True),
                processes=processes,
                process=process,
            )
            for sets in (in_memory, lazy)
        )
        for expected, batch in zip([*one, *one], [*other, *other], strict=True):
            torch.testing.assert_close(batch, expected, rtol=0, atol=0)


def test_an_epoch_goes_on_after_the_last_batch_that_was_used(lazy: ImageSets) -> None:
    """Whatever was decoded ahead."""
    whole, stopped, resumed = (ImageLoader(lazy.train, 10, shuffle=True, image_spec=lazy.image_spec) for _ in range(3))
    iterator = iter(stopped)
    used = [next(iterator) for _ in range(2)]
    resumed.load_state_dict(stopped.state_dict())
    for batch, expected in zip([*used, *resumed], whole, strict=True):
        torch.testing.assert_close(batch, expected, rtol=0, atol=0)


def test_no_more_than_one_batch_is_decoded_ahead(lazy: ImageSets, decoded: list[Path]) -> None:
    loader = ImageLoader(lazy.train, 10, shuffle=False, image_spec=lazy.image_spec)
    batches = iter(loader)
    for used in (1, 2):
        next(batches)
        assert 10 * used <= len(decoded) <= 10 * (used + 1)


@pytest.mark.parametrize("chosen", [slice(3, 20, 2), torch.tensor([5, 0, 5]), torch.arange(40) > 30, slice(0)], ids=str)
def test_choosing_pictures_decodes_none(
    chosen: slice | Tensor, in_memory: ImageSets, lazy: ImageSets, decoded: list[Path]
) -> None:
    images = lazy.train.images[chosen]
    assert (images.shape, images.dtype) == (in_memory.train.images[chosen].shape, torch.uint8)
    assert not decoded
    assert torch.equal(images, in_memory.train.images[chosen])


def test_held_out_pictures_are_those_in_memory_and_take_none(root: Path, lazy: ImageSets) -> None:
    beyond = ImageDataModule(str(root), batch_size=8, val_size=10)
    beyond.setup()
    assert isinstance(beyond.train.images, LazyImages)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(folder_module, "memory_for_images", lambda: 1e9)
        within = ImageDataModule(str(root), batch_size=8, val_size=10)
        within.setup()
    assert torch.equal(beyond.train.images, within.train.images)
    assert torch.equal(beyond.val.images, within.val.images)


def test_pictures_that_fit_once_but_not_with_copies_of_those_held_out_stay_lazy(
    root: Path, in_memory: ImageSets, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = folder_module.kept_file(root).stat().st_size
    monkeypatch.setattr(folder_module, "memory_for_images", lambda: 1.5 * kept)
    for val_size, stays_lazy in ((0, False), (10, True)):
        module = ImageDataModule(str(root), batch_size=8, val_size=val_size)
        module.setup()
        assert isinstance(module.train.images, LazyImages) == stays_lazy


def test_a_picture_damaged_since_it_was_measured_is_named(root: Path, lazy: ImageSets) -> None:
    path = root / "train" / "disc" / "8.png"
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(DataError, match=rf"^cannot use the picture {path}: it cannot be read \(.*\)$"):
        list(lazy.train.images.split(10))


def test_a_damaged_picture_is_refused_when_the_folder_is_read(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder_module, "memory_for_images", lambda: 1000)
    path = root / "train" / "disc" / "8.png"
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(DataError, match=rf"^cannot use the picture {path}: "):
        PictureFolder(root).load()


def test_pictures_are_measured_once_and_again_after_a_change_or_damage(
    root: Path, lazy: ImageSets, decoded: list[Path]
) -> None:
    for size in (None, (16, 16)):
        assert PictureFolder(root, size).load().fingerprint == lazy.fingerprint
    assert not decoded
    (root / "train" / "disc" / "8.png").unlink()
    assert PictureFolder(root).load().fingerprint != lazy.fingerprint
    assert len(decoded) == 59
    cut(100)(folder_module.kept_file(root))
    PictureFolder(root).load()
    assert len(decoded) == 2 * 59
