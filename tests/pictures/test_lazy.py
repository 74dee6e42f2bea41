"""Pictures that do not fit into memory give the same images as those in memory, decoded
a batch at a time.
"""

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import psutil
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from convblocks.data.images import ImageSets
from convblocks.data.loader import Augmentation, ImageLoader
from convblocks.errors import DataError
from convblocks.pictures import lazy as lazy_module
from convblocks.pictures.decoding import read_pixels
from convblocks.pictures.lazy import LazyImages
from convblocks.pictures.source import PictureFolder, kept_file
from tests.hostile.spoil import cut


@pytest.fixture
def in_memory(root: Path) -> ImageSets:
    return PictureFolder(root).load()


@pytest.fixture
def too_little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Free memory for 60 pictures of 8 x 8 pixels, but not of 16 x 16."""
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=100_000))


@pytest.fixture
def lazy(root: Path, in_memory: ImageSets, too_little_memory: None) -> ImageSets:
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


def test_lazy_pictures_have_the_spec_and_fingerprint_of_those_in_memory_and_a_line_for_the_user(
    root: Path, in_memory: ImageSets, lazy: ImageSets
) -> None:
    kept_file(root).unlink()
    for sets in (lazy, PictureFolder(root).load()):
        assert isinstance(sets.train.images, LazyImages)
        assert (sets.image_spec, sets.fingerprint) == (in_memory.image_spec, in_memory.fingerprint)
        assert sets.note == (
            "60 pictures of 16 x 16 pixels need 0.0 GB decoded, 0.0 GB are free: "
            "they are decoded as they are needed, which is slower."
        )
    assert not isinstance(PictureFolder(root, size=(8, 8)).load().train.images, LazyImages)


@pytest.mark.parametrize("processes", [1, 7])
def test_lazy_batches_are_those_of_pictures_in_memory(
    processes: int, in_memory: ImageSets, lazy: ImageSets
) -> None:
    """Of 40 pictures the last batch holds one, and most processes' share of it is empty."""
    for process in range(processes):
        expected, loader = (
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
        for batch, expected_batch in zip([*loader, *loader], [*expected, *expected], strict=True):
            torch.testing.assert_close(batch, expected_batch, rtol=0, atol=0)


def test_lazy_epoch_resumes_after_the_last_batch_that_was_used_and_decodes_one_ahead(
    lazy: ImageSets, decoded: list[Path]
) -> None:
    whole, stopped, resumed = (
        ImageLoader(lazy.train, 10, shuffle=True, image_spec=lazy.image_spec) for _ in range(3)
    )
    iterator, used = iter(stopped), []
    for number in (1, 2):
        used.append(next(iterator))
        assert 10 * number <= len(decoded) <= 10 * (number + 1)
    resumed.load_state_dict(stopped.state_dict())
    for batch, expected in zip([*used, *resumed], whole, strict=True):
        torch.testing.assert_close(batch, expected, rtol=0, atol=0)


@pytest.mark.parametrize(
    "chosen", [slice(3, 20, 2), torch.tensor([5, 0, 5]), torch.arange(40) > 30, slice(0)], ids=str
)
def test_lazy_pictures_are_chosen_without_decoding_any(
    chosen: slice | Tensor, in_memory: ImageSets, lazy: ImageSets, decoded: list[Path]
) -> None:
    images = lazy.train.images[chosen]
    assert (images.shape, images.dtype) == (in_memory.train.images[chosen].shape, torch.uint8)
    assert not decoded
    assert torch.equal(images, in_memory.train.images[chosen])
    assert torch.equal(lazy.train.images[3], in_memory.train.images[3])


@pytest.mark.parametrize("is_measured", [True, False])
def test_lazy_picture_that_is_damaged_is_named(
    root: Path, too_little_memory: None, is_measured: bool
) -> None:
    path = root / "train" / "disc" / "8.png"
    images = PictureFolder(root).load().train.images
    cut(300)(path)
    with pytest.raises(
        DataError, match=rf"^cannot use the picture {path}: it cannot be read \(.*\)$"
    ):
        list(images.split(10)) if is_measured else PictureFolder(root).load()


def test_lazy_pictures_are_measured_once_and_again_after_a_change_or_damage(
    root: Path, lazy: ImageSets, decoded: list[Path]
) -> None:
    for size in (None, (16, 16)):
        assert PictureFolder(root, size).load().fingerprint == lazy.fingerprint
    assert not decoded
    (root / "train" / "disc" / "8.png").unlink()
    assert PictureFolder(root).load().fingerprint != lazy.fingerprint
    assert len(decoded) == 59
    cut(100)(kept_file(root))
    PictureFolder(root).load()
    assert len(decoded) == 2 * 59
