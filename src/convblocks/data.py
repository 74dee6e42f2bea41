"""MNIST in memory and how it becomes batches."""

from pathlib import Path
from typing import Literal, cast

import torch
from lightning.pytorch import LightningDataModule
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from convblocks import mnist
from convblocks.augmentation import Augmentation, epoch_draws
from convblocks.errors import UsageError
from convblocks.mnist import DigitFiles, Digits
from convblocks.sampling import BatchSampler

# Mean and standard deviation of the training set's pixels, scaled to [0, 1]; the course's numbers.
MEAN = 0.1307
STD = 0.3081

# Which images are held out must not change with the run's seed, or runs would be selected on different images.
SPLIT_SEED = 1998

Batch = tuple[Tensor, Tensor]
IndexedBatch = tuple[Tensor, Tensor, Tensor]


class IndexedDigits(Dataset[IndexedBatch]):
    """Digits that are fetched a whole batch at a time: no work for each image, and nothing for worker processes to do.

    ``index_select`` takes a quarter of the time of ``images[indices]``.
    """

    def __init__(self, digits: Digits) -> None:
        self.digits = digits

    def __getitem__(self, indices: Tensor) -> IndexedBatch:
        """Images (B, 28, 28) uint8, targets (B,) int64 and their indices (B,) int64."""
        return self.digits.images.index_select(0, indices), self.digits.labels.index_select(0, indices), indices


def normalize(images: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """Scale uint8 images (B, 28, 28) to [0, 1], then to mean 0 and standard deviation 1: (B, 1, 28, 28) ``dtype``."""
    return images.unsqueeze(1).to(dtype).div_(255).sub_(MEAN).div_(STD)


class MNISTDataModule(LightningDataModule):
    """MNIST, or another data set in its format, held in memory and normalised on the device.

    By default a run trains on all training images and is evaluated on the test images after every epoch. With
    ``val_size`` it is evaluated on held-out training images instead, and the test set is looked at once, at the end.

    Args:
        root: Folder with the four files (in it, in ``raw/`` or in ``<Name>/raw/``). The repository's ``data/`` if
            not given.
        batch_size: Images per optimizer step, over all processes together.
        eval_batch_size: Images per batch in evaluation, over all processes together.
        val_size: Number of training images held out for validation; the same images whatever the seed.
        seed: With the epoch, determines the order of the training images and how each is moved.
        shift: Training images are shifted at random by up to that many pixels.
        rotation: They are rotated at random by up to that many degrees.
        scale: They are made larger or smaller at random by up to that share of their size.

    Raises:
        UsageError: a batch size, a validation size or a movement that is out of range.
        DataError: the files are missing or damaged.
    """

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
    ) -> None:
        super().__init__()
        if batch_size < 1 or eval_batch_size < 1:
            raise UsageError("a batch size must be at least 1")
        if val_size < 0:
            raise UsageError(f"--data.val_size must not be negative, but is {val_size}")
        if not (0 <= shift <= 28 and 0 <= rotation <= 180 and 0 <= scale < 1):
            raise UsageError(
                "--data.shift must be 0 to 28 pixels, --data.rotation 0 to 180 degrees, --data.scale 0 to below 1"
            )
        self.root = mnist.DEFAULT_ROOT if root is None else Path(root)
        self.batch_size = batch_size
        self.eval_batch_size = eval_batch_size
        self.val_size = val_size
        self.seed = seed
        self.augmentation = Augmentation(shift, rotation, scale)
        self.files: DigitFiles | None = None
        self._train_sampler: BatchSampler | None = None
        self._resume_position = 0
        self._draws: tuple[int, Tensor] | None = None  # of which epoch, and what

    @property
    def evaluation_split(self) -> Literal["val", "test"]:
        """Which images a run is evaluated on after every epoch."""
        return "val" if self.val_size else "test"

    def prepare_data(self) -> None:
        """Unpack or download the files; Lightning calls it in one process."""
        if self.files is None:
            mnist.prepare(self.root)

    def setup(self, stage: str) -> None:
        """Read the files into memory; Lightning calls it in every process, before each of fit and test."""
        if self.files is not None:
            return
        self.files = mnist.load(self.root)
        size = len(self.files.train.labels)
        if self.val_size >= size:
            raise UsageError(f"--data.val_size {self.val_size} leaves none of the {size:,} training images to train on")
        order = torch.randperm(size, generator=torch.Generator().manual_seed(SPLIT_SEED))
        held_out, kept = order[: self.val_size], order[self.val_size :]
        if self.batch_size > len(kept):
            raise UsageError(f"--batch_size {self.batch_size} is above the {len(kept):,} training images")
        self.train = _select(self.files.train, kept) if self.val_size else self.files.train
        self.val = _select(self.files.train, held_out) if self.val_size else self.files.test
        self.test = self.files.test

    def train_dataloader(self) -> DataLoader[IndexedBatch]:
        processes = self.trainer.world_size if self.trainer else 1
        if self.batch_size % processes:
            raise UsageError(f"--batch_size {self.batch_size} cannot be shared between {processes} processes equally")
        sampler = self._sampler(self.train, self.batch_size, shuffle=True)
        sampler.skip(self._resume_position)
        self._train_sampler, self._resume_position = sampler, 0
        return self._loader(self.train, sampler)

    def val_dataloader(self) -> DataLoader[IndexedBatch]:
        return self._loader(self.val, self._sampler(self.val, self.eval_batch_size, shuffle=False))

    def test_dataloader(self) -> DataLoader[IndexedBatch]:
        return self._loader(self.test, self._sampler(self.test, self.eval_batch_size, shuffle=False))

    def transfer_batch_to_device(self, batch: IndexedBatch, device: torch.device, dataloader_idx: int) -> IndexedBatch:
        """Move a batch; Lightning's own way searches it for tensors first."""
        images, targets, indices = (tensor.to(device, non_blocking=True) for tensor in batch)
        return images, targets, indices

    def on_after_batch_transfer(self, batch: IndexedBatch, dataloader_idx: int) -> Batch:
        """Augment and normalise a batch where it is: (B, 28, 28) uint8 become (B, 1, 28, 28) in the module's dtype."""
        images, targets, indices = batch
        assert self.trainer is not None
        if self.augmentation and self.trainer.training:
            images = self.augmentation(images, self._epoch_draws(images.device).index_select(0, indices))
        return normalize(images, cast(torch.dtype, self.trainer.lightning_module.dtype)), targets

    def state_dict(self) -> dict[str, int]:
        """The number of batches done in an epoch that is not finished; Lightning puts it into every checkpoint."""
        unfinished = self._train_sampler is not None and self.trainer is not None and not self.trainer.is_last_batch
        return {"position": self._train_sampler.position if self._train_sampler and unfinished else 0}

    def load_state_dict(self, state_dict: dict[str, int]) -> None:
        self._resume_position = state_dict["position"]

    def _sampler(self, digits: Digits, batch_size: int, shuffle: bool) -> BatchSampler:
        return BatchSampler(
            len(digits.labels),
            batch_size,
            shuffle=shuffle,
            seed=self.seed,
            num_replicas=self.trainer.world_size if self.trainer else 1,
            rank=self.trainer.global_rank if self.trainer else 0,
        )

    def _loader(self, digits: Digits, sampler: BatchSampler) -> DataLoader[IndexedBatch]:
        pin_memory = self.trainer is not None and self.trainer.strategy.root_device.type == "cuda"
        return DataLoader(IndexedDigits(digits), sampler=sampler, batch_size=None, pin_memory=pin_memory)

    def _epoch_draws(self, device: torch.device) -> Tensor:
        """The random numbers of the current epoch, on the device; kept until the epoch changes."""
        assert self.trainer is not None
        epoch = self.trainer.current_epoch
        if self._draws is None or self._draws[0] != epoch:
            self._draws = epoch, epoch_draws(len(self.train.labels), self.seed, epoch).to(device)
        return self._draws[1]


def _select(digits: Digits, indices: Tensor) -> Digits:
    return Digits(digits.images[indices], digits.labels[indices])
