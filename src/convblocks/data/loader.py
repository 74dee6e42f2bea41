"""Makes batches of images for a network: their order, augmentation and normalisation."""

from collections.abc import Iterable, Iterator
from dataclasses import KW_ONLY, dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.data import Dataset, IterableDataset, SequentialSampler

from convblocks.data.images import MNIST, ImageSpec, LabelledImages

Batch = tuple[Tensor, Tensor]

# The numbers of the random streams of an epoch, which are independent of each other.
ORDER_STREAM, MOVE_STREAM, FLIP_STREAM = 0, 1, 2


def epoch_generator(seed: int, epoch: int, stream: int = ORDER_STREAM) -> torch.Generator:
    """A generator that depends on (seed, epoch, stream) alone; streams are independent of
    each other.

    The numbers are mixed, not added: otherwise epoch 1 of seed 0 would repeat epoch 0
    of seed 1, and runs with different seeds would share their shuffles.
    """
    state = np.random.SeedSequence((seed, epoch, stream)).generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(state[0]))


@dataclass(frozen=True)
class Augmentation:
    """The largest movement of an image in either direction: shift in pixels, rotation
    in degrees, scale as 1 ± s.

    Each of the four movements (right, down, rotation, scale) is drawn uniformly. An
    image is shifted, then rotated and scaled about its centre; the area moved in is
    black, as around MNIST's digits, or repeats the edge. With ``flip`` half of the
    images are first mirrored left to right.
    """

    shift: float = 0.0
    rotation: float = 0.0
    scale: float = 0.0
    flip: bool = False
    black_outside: bool = True

    def __bool__(self) -> bool:
        return self._moves or self.flip

    @property
    def _moves(self) -> bool:
        return bool(self.shift or self.rotation or self.scale)

    def __call__(self, images: Tensor, draws: Tensor) -> Tensor:
        """Augment images (B, C, H, W) uint8 by draws (B, 5) float32 in -1..1: (B, C, H,
        W) uint8.
        """
        if not len(images):
            return images
        if self.flip:
            is_flipped = (draws[:, 4] < 0).view(-1, 1, 1, 1)
            images = torch.where(is_flipped, images.flip(-1), images)
        return self._moved(images, draws[:, :4]) if self._moves else images

    def _moved(self, images: Tensor, draws: Tensor) -> Tensor:
        height, width = images.shape[2:]
        # The draws are in -1..1. They are scaled one by one, since a tensor of the limits would
        # have to be copied to the device.
        right, down, turn, growth = draws.unbind(dim=1)
        right = right * (2 * self.shift / width)
        down = down * (2 * self.shift / height)
        angle = (turn * self.rotation).deg2rad()
        size = 1 + growth * self.scale
        cos = angle.cos() / size
        sin = angle.sin() / size
        # Without the aspect, images that are not square would be sheared.
        aspect = height / width
        # Each matrix maps a pixel of the output to its position in the input, in units of half
        # the image.
        rows = torch.stack([cos, sin * aspect, -right, -sin / aspect, cos, -down], dim=1)
        shape = [len(images), 1, height, width]
        grid = functional.affine_grid(rows.view(-1, 2, 3), shape, align_corners=False)
        # Bicubic interpolation, since bilinear blurs: a network that is trained on blurred digits
        # is worse at sharp ones.
        edge = "zeros" if self.black_outside else "border"
        moved = functional.grid_sample(
            images.to(grid.dtype), grid, mode="bicubic", padding_mode=edge, align_corners=False
        )
        return moved.clamp_(0, 255).round_().to(torch.uint8)


def epoch_draws(size: int, seed: int, epoch: int) -> Tensor:
    """Random numbers (size, 5) float32 in -1..1 for the images of an epoch; they depend on
    the seed, the epoch and the index of an image only.

    They are drawn for all images at once, so that an image is augmented in the same way
    whatever the order of the images and their split into batches and processes.
    """
    movements = torch.rand(size, 4, generator=epoch_generator(seed, epoch, MOVE_STREAM))
    flips = torch.rand(size, 1, generator=epoch_generator(seed, epoch, FLIP_STREAM))
    return torch.cat([movements, flips], dim=1).mul_(2).sub_(1)


def fetch(images: Tensor, parts: Iterable[Tensor]) -> Iterator[Tensor]:
    """The images of each part, one part after the other.

    Images that are decoded only when they are needed have a method ``batches``, which may
    decode one part ahead.

    Args:
        images: All images (N, C, H, W).
        parts: The indices of each part, (B,) int64.
    """
    batches = getattr(images, "batches", None)
    if batches:
        # The method has no type: it is that of a wing.
        return batches(parts)  # type: ignore[no-any-return]
    # index_select is faster than images[part].
    return (images.index_select(0, part) for part in parts)


@dataclass(frozen=True)
class NormalizedImages(Dataset[Batch]):
    """The images one by one, in the order of the files: each (C, H, W) float32, normalised,
    with its target () int64.
    """

    data: LabelledImages
    image_spec: ImageSpec

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> Batch:
        return self.image_spec.normalize(self.data.images[index]), self.data.labels[index]


@dataclass(eq=False, repr=False)
class ImageLoader(IterableDataset[Batch]):
    """Yields batches: images (B, C, H, W) float32, normalised, and targets (B,) int64,
    on the device of the data.

    A batch is fetched by one index operation from images in memory, or decoded in
    threads while the batch before it is used; then it is augmented and normalised as a
    whole. Worker processes would have nothing to do. With ``shuffle`` the order is a
    function of (seed, epoch). Each iteration is an epoch: the one that Lightning sets
    with ``set_epoch``, or else the next.

    For other tools ``dataset`` has the same images one by one, without augmentation.
    Lightning Fabric accepts torch's loaders only:
    ``fabric.setup_dataloaders(DataLoader(loader, batch_size=None))``. There a loader
    for several processes needs ``processes`` and ``process``, which the data module
    takes from the Trainer.

    Args:
        data: The images and their labels.
        batch_size: Images per batch, over all processes together. The last batch of an
            epoch may be short.
        shuffle: Whether each epoch has its own order; otherwise it is that of the
            files.
        seed: With the epoch, determines the order of the images and their augmentation.
        image_spec: Its mean and standard deviation normalise the images.
        augmentation: The augmentation, if any.
        processes: The number of processes that share each batch: in contiguous parts
            whose sizes differ by at most one, so that together they see every image
            once per epoch. A part of a short batch may be empty.
        process: The index of this process.
    """

    # Lightning expects this attribute of every loader.
    batch_sampler = None

    data: LabelledImages
    batch_size: int
    _: KW_ONLY
    shuffle: bool
    seed: int = 0
    image_spec: ImageSpec = MNIST
    augmentation: Augmentation | None = None
    processes: int = 1
    process: int = 0

    def __post_init__(self) -> None:
        self.dataset = NormalizedImages(self.data, self.image_spec)
        # Lightning calls set_epoch of a loader's sampler. Nothing iterates over this one; it is a
        # SequentialSampler because with overfit_batches Lightning replaces any other kind, and can
        # do so in torch's own loaders only.
        self.sampler = SequentialSampler(self.dataset)
        self.sampler.set_epoch = self.set_epoch  # type: ignore[attr-defined]
        self._epoch = 0
        self._state = dict[str, int]()
        self._resume = dict[str, int]()

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch of the next iteration; Lightning calls it before each."""
        self._epoch = epoch

    def __len__(self) -> int:
        return -(-len(self.data) // self.batch_size)

    def images_in(self, batch_idx: int) -> int:
        """The size of a batch, by its index within the epoch, over all processes together."""
        return min(self.batch_size, len(self.data) - batch_idx * self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        # The epoch is read at the first next(), since this is a generator, and not by iter(): on a
        # resume Lightning calls iter() before set_epoch().
        epoch = self._epoch
        self._epoch += 1
        # The number of batches of this epoch that were done before a resume within it; else 0.
        done = self._resume["position"] if self._resume.get("epoch") == epoch else 0
        self._resume = {}
        order = self._order(epoch)
        device = order.device
        if self.augmentation:
            draws = epoch_draws(len(order), self.seed, epoch).to(device)
        parts = order.split(self.batch_size)[done:]
        if self.processes > 1:
            parts = [part.tensor_split(self.processes)[self.process] for part in parts]
        normalize = self.image_spec.normalizer(device)
        for indices, images in zip(parts, fetch(self.data.images, parts), strict=True):
            done += 1
            self._state = {"epoch": epoch, "position": done}
            if self.augmentation:
                images = self.augmentation(images, draws.index_select(0, indices))
            yield normalize(images), self.data.labels.index_select(0, indices)

    def state_dict(self) -> dict[str, int]:
        """The current epoch, and how many of its batches were given. Lightning has trained on
        all of them: it fetches none ahead from a loader with a length.
        """
        return self._state

    def load_state_dict(self, state_dict: dict[str, int]) -> None:
        """Let the next iteration skip the batches that were given, if it is of that epoch."""
        self._state = state_dict
        self._resume = state_dict

    def _order(self, epoch: int) -> Tensor:
        size = len(self.data)
        device = self.data.labels.device
        if not self.shuffle:
            return torch.arange(size, device=device)
        return torch.randperm(size, generator=epoch_generator(self.seed, epoch)).to(device)
