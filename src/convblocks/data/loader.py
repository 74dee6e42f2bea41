"""From images in memory to the batches that a network takes: order, augmentation, normalisation."""

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.utils.data import SequentialSampler

from convblocks.data.augmentation import Augmentation, epoch_draws
from convblocks.data.image_spec import MNIST, ImageSpec
from convblocks.data.images import LabelledImages
from convblocks.data.randomness import epoch_generator

Batch = tuple[Tensor, Tensor]


class InOrder(SequentialSampler):
    """Shows Lightning that a loader does not shuffle, and passes the epoch on to it."""

    def __init__(self, loader: "ImageLoader") -> None:
        super().__init__(range(len(loader.data.labels)))
        self.set_epoch = loader.set_epoch


class ImageLoader:
    """Yields batches: images (B, C, H, W) float32, normalised, and targets (B,) int64, on the device of the data.

    All images are in memory, so a batch is fetched by one index operation, then augmented and normalised as a whole:
    worker processes would have nothing to do. With ``shuffle`` the order is a function of (seed, epoch). Each iteration
    is an epoch: the one that Lightning sets with ``set_epoch``, or else the next.

    Args:
        data: The images and their labels.
        batch_size: Images per batch, over all processes together. The last batch of an epoch may be short.
        shuffle: Whether each epoch has its own order; otherwise it is that of the files.
        seed: With the epoch, determines the order of the images and their augmentation.
        image_spec: Its mean and standard deviation normalise the images.
        augmentation: The augmentation, if any.
        processes: The number of processes that share each batch: in contiguous parts whose sizes differ by at most
            one, so that together they see every image once per epoch. A part of a short batch may be empty.
        process: The index of this process.
    """

    batch_sampler = None  # an attribute that Lightning expects of every loader

    def __init__(
        self,
        data: LabelledImages,
        batch_size: int,
        *,
        shuffle: bool,
        seed: int = 0,
        image_spec: ImageSpec = MNIST,
        augmentation: Augmentation | None = None,
        processes: int = 1,
        process: int = 0,
    ) -> None:
        self.data = data
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.seed = seed
        self.image_spec = image_spec
        self.augmentation = augmentation
        self.processes = processes
        self.process = process
        # Lightning calls loader.sampler.set_epoch(), and tells from the sampler's class whether a loader shuffles.
        self.sampler = self if shuffle else InOrder(self)
        self._epoch = 0
        self._state: dict[str, int] = {}
        self._resume: dict[str, int] = {}

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch of the next iteration; Lightning calls it before each."""
        self._epoch = epoch

    def __len__(self) -> int:
        return -(-len(self.data.labels) // self.batch_size)

    def images_in(self, batch_idx: int) -> int:
        """The size of a batch, by its index within the epoch, over all processes together."""
        return min(self.batch_size, len(self.data.labels) - batch_idx * self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        # A generator, so that this runs with the first next(): on a resume Lightning calls iter() before set_epoch().
        epoch, resume = self._epoch, self._resume
        self._epoch, self._resume = epoch + 1, {}
        # Batches done before a resume in the middle of this epoch; 0 without one.
        done = resume["position"] if resume.get("epoch") == epoch else 0
        order, draws = self._order(epoch), self._draws(epoch)
        for position, indices in enumerate(order.split(self.batch_size)[done:], start=done + 1):
            self._state = {"epoch": epoch, "position": position}
            if self.processes > 1:
                indices = indices.tensor_split(self.processes)[self.process]
            yield self._batch(indices, draws)

    def state_dict(self) -> dict[str, int]:
        """The current epoch, and how many of its batches were yielded."""
        return self._state

    def load_state_dict(self, state_dict: dict[str, int]) -> None:
        """If the next iteration is of that epoch, skip the batches already yielded."""
        self._state = self._resume = state_dict

    def _order(self, epoch: int) -> Tensor:
        size, device = len(self.data.labels), self.data.labels.device
        if not self.shuffle:
            return torch.arange(size, device=device)
        return torch.randperm(size, generator=epoch_generator(self.seed, epoch)).to(device)

    def _draws(self, epoch: int) -> Tensor | None:
        if self.augmentation is None:
            return None
        return epoch_draws(len(self.data.labels), self.seed, epoch).to(self.data.labels.device)

    def _batch(self, indices: Tensor, draws: Tensor | None) -> Batch:
        # index_select is faster than images[indices].
        images, targets = self.data.images.index_select(0, indices), self.data.labels.index_select(0, indices)
        if self.augmentation and draws is not None:
            images = self.augmentation(images, draws.index_select(0, indices))
        return self.image_spec.normalize(images), targets
