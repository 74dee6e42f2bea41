"""The LightningDataModule: reads the images, holds some out, and makes the loaders."""

import os
from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import torch
from lightning.pytorch import LightningDataModule

from convblocks import wings
from convblocks.data import mnist
from convblocks.data.images import MNIST, ImageSource, ImageSpec, LabelledImages, Size
from convblocks.data.loader import Augmentation, ImageLoader
from convblocks.data.mnist import MNISTFiles
from convblocks.errors import DataError, UsageError
from convblocks.files import machine_lock

# The seed that chooses the held-out images. It does not depend on the run's seed: otherwise runs
# would be compared on different images.
SPLIT_SEED = 1998


class ImageDataModule(LightningDataModule):
    """A folder of pictures or a data set in MNIST's format, held in memory on the
    device that trains.

    Pictures that do not fit into this machine's memory are decoded batch by batch
    instead.

    The batches of all loaders are (images, targets): normalised float32 (B, C, H, W)
    and int64 (B,). By default a run trains on all training images and is evaluated on
    the test images after every epoch. With ``val_size`` it is evaluated on held-out
    training images instead, and on the test images, if there are any, only once, at the end.

    Args:
        root: Folder with pictures as ``train/<class>/*`` and ``test/<class>/*``, or
            with MNIST's four files (in it, in ``raw/`` or in ``MNIST/raw/``); by
            default MNIST's that come with the project.
        batch_size: Images per optimizer step, over all processes together.
        eval_batch_size: Images per batch in evaluation, over all processes together.
        val_size: Number of training images held out for validation; the same images
            whatever the seed.
        seed: With the epoch, determines the order of the training images and how each
            is augmented.
        shift: Training images are shifted at random by up to that many pixels.
        rotation: Training images are rotated at random by up to that many degrees.
        scale: Training images are made larger or smaller at random by up to that share of
            their size.
        flip: Half of the training images, at random, are mirrored left to right.
        size: Height and width to which pictures are scaled; without it they must be of
            one size.
        source: A class that reads a data set of another kind from the root.

    Raises:
        UsageError: a batch size, validation size or movement is out of range, or a size
            is given with a source.
        DataError: the files are missing or damaged.
    """

    # Read by run/trainer.py: the loaders of several processes each give their part of a batch, so
    # Lightning must not divide the images among the processes too.
    shares_batches = True

    def __init__(
        self,
        root: str | None = None,
        batch_size: int = 64,
        eval_batch_size: int = 1000,
        val_size: int = 0,
        seed: int = 0,
        shift: float = 0.0,
        rotation: float = 0.0,
        scale: float = 0.0,
        flip: bool = False,
        size: Size | None = None,
        source: Callable[[Path], ImageSource] | None = None,
    ) -> None:
        super().__init__()
        if batch_size < 1 or eval_batch_size < 1 or val_size < 0:
            raise UsageError(
                "a batch size must be at least 1, and --data.val_size must not be negative"
            )
        if size and source:
            raise UsageError(
                "--data.size is for folders of pictures, not for a --data.source, "
                "which may scale its images itself"
            )
        if not (shift >= 0 and 0 <= rotation <= 180 and 0 <= scale < 1):
            raise UsageError(
                "--data.shift must be 0 pixels or more, --data.rotation 0 to 180 degrees, "
                "--data.scale 0 to below 1"
            )
        self.root = mnist.DEFAULT_ROOT if root is None else Path(os.path.expanduser(root))
        self.batch_size = batch_size
        self.eval_batch_size = eval_batch_size
        self.val_size = val_size
        self.seed = seed
        self.augmentation = Augmentation(shift, rotation, scale, flip)
        self.size = size
        self._make_source = source
        self._is_read = False

    @property
    def evaluation_split(self) -> str:
        """The images that a run is evaluated on after every epoch: ``val`` or ``test``."""
        return "val" if self.val_size else "test"

    @property
    def fingerprint(self) -> dict[str, str]:
        """The MD5 of each part of the data, by which a resumed run recognises its data. The
        data are read for it.
        """
        self.setup()
        return self.files.fingerprint

    @property
    def notes(self) -> list[str]:
        """Lines about the images that ``fit`` prints; none for MNIST. Only after ``setup``."""
        files = self.files
        if files.fingerprint == mnist.ORIGINAL_MD5:
            return []
        origin = type(self.source).__qualname__ if self._make_source else self.root
        notes = [
            f"{origin}: {len(files.train):,} training and {len(files.test):,} test images, "
            f"{files.image_spec}"
        ]
        if files.note:
            notes.append(files.note)
        if not files.test:
            notes.append(
                f"Without test images, 'test' below means the {len(self.val):,} held-out images."
            )
        return notes

    @cached_property
    def source(self) -> ImageSource:
        """The source of the data."""
        if self._make_source:
            return self._make_source(self.root)
        return find_source(self.root, self.size)

    @property
    def image_spec(self) -> ImageSpec:
        """Shape, classes and normalisation of the images, which are read for it.

        Raises:
            DataError: there is no data.
        """
        self.setup()
        return self.files.image_spec

    def setup(self, stage: str | None = None) -> None:
        """Read the files into memory at the first call, which ``image_spec`` makes; Lightning
        calls it in every process, before fit and before test.
        """
        if self._is_read:
            return
        # The lock lets one process at a time download or unpack.
        with machine_lock(self.root.resolve()):
            self.source.prepare()
        self.files = files = self.source.load()
        if not (files.test or self.val_size):
            raise DataError(
                f"{self.root} has no test images: add some (pictures go into test/<class>/), "
                "or hold out training images with --data.val_size"
            )
        generator = torch.Generator().manual_seed(SPLIT_SEED)
        order = torch.randperm(len(files.train), generator=generator)
        held_out, used = order.tensor_split([self.val_size])
        if self.batch_size > len(used):
            raise UsageError(
                f"--batch_size {self.batch_size} is above the {len(used):,} training images "
                f"that --data.val_size {self.val_size} leaves"
            )
        # Only MNIST's digits stand on black; around other images an augmentation repeats the edge.
        if files.image_spec != MNIST:
            self.augmentation = replace(self.augmentation, black_outside=False)
        self.train, self.val = files.train, files.test
        if self.val_size:
            self.train, self.val = files.train[used], files.train[held_out]
        self.test = files.test or self.val
        self._is_read = True

    def train_dataloader(self) -> ImageLoader:
        return self._loader(self.train, self.batch_size, training=True)

    def val_dataloader(self) -> ImageLoader:
        return self._loader(self.val, self.eval_batch_size, training=False)

    def test_dataloader(self) -> ImageLoader:
        return self._loader(self.test, self.eval_batch_size, training=False)

    predict_dataloader = test_dataloader

    def _loader(self, data: LabelledImages, batch_size: int, training: bool) -> ImageLoader:
        trainer = self.trainer
        return ImageLoader(
            data.to(trainer.strategy.root_device) if trainer else data,
            batch_size,
            # With overfit_batches every epoch must have the same images in each batch.
            shuffle=training and not getattr(trainer, "overfit_batches", 0),
            seed=self.seed,
            image_spec=self.files.image_spec,
            augmentation=self.augmentation if training else None,
            processes=trainer.world_size if trainer else 1,
            process=trainer.global_rank if trainer else 0,
        )


class MNISTDataModule(ImageDataModule):
    """An ImageDataModule under the name of its default data, MNIST's digits."""


def find_source(root: Path, size: Size | None = None) -> ImageSource:
    """The source that reads the data in a folder.

    Args:
        root: The folder.
        size: Height and width to which pictures are scaled.

    Raises:
        UsageError: a size is given for data other than pictures.
    """
    # If no source fits, MNISTFiles raises the error that says what is missing.
    found = wings.call("SOURCES", "find", root, size, kind=ImageSource)
    return next(found, None) or MNISTFiles(root)
