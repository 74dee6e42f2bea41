"""Which image goes into which batch, and what a batch is: the way from images in memory to a network's input."""

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
    """What Lightning takes for the sampler of a loader that does not shuffle; it is told the epoch too."""

    def __init__(self, loader: "ImageLoader") -> None:
        super().__init__(range(len(loader.data.labels)))
        self.set_epoch = loader.set_epoch


class ImageLoader:
    """Yields batches: images (B, C, H, W) float32, normalised, and targets (B,) int64, on the device of the data.

    All images lie in memory, so a batch is fetched by one index operation, augmented and normalised as a whole: there
    is nothing for worker processes to do. With ``shuffle`` the order is a function of (seed, epoch). Each iteration is
    an epoch of its own: Lightning sets it with ``set_epoch``, otherwise it is the one after the last.

    Args:
        data: The images and their labels.
        batch_size: Images per batch, over all processes together. The last batch of an epoch may be short.
        shuffle: Whether the order changes from epoch to epoch, or is that of the files.
        seed: With the epoch, determines the order of the images and how each is augmented.
        image_spec: By what the images are normalised.
        augmentation: How images are moved, if at all.
        processes: The number of processes that share each batch: in contiguous parts whose sizes differ by at most
            one, so that over all of them every image comes once an epoch. A part of a short batch may be empty.
        process: Which of them this one is.
    """

    batch_sampler = None  # Lightning asks every loader for one

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
        # Lightning calls loader.sampler.set_epoch(), and looks there for whether a loader shuffles.
        self.sampler = self if shuffle else InOrder(self)
        self._epoch = 0
        self._state: dict[str, int] = {}
        self._resume: dict[str, int] = {}

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch of the next iteration; Lightning calls it before each."""
        self._epoch = epoch

    def __len__(self) -> int:
        return -(-len(self.data.labels) // self.batch_size)

    def images_in(self, batch_idx: int) -> int:
        """The number of images of an epoch's batch (from 0), over all processes together."""
        return min(self.batch_size, len(self.data.labels) - batch_idx * self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        # A generator: nothing is drawn before the first batch is asked for. On a resume Lightning calls iter()
        # before set_epoch().
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
        """The epoch of the latest batch, and how many batches it has yielded."""
        return self._state

    def load_state_dict(self, state_dict: dict[str, int]) -> None:
        """If the next iteration is of that epoch, begin it after the batches that were yielded."""
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
