"""Which image goes into which batch, on which process, in which epoch."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Sampler


def epoch_generator(seed: int, epoch: int, stream: int = 0) -> torch.Generator:
    """A random generator that is a function of (seed, epoch) alone; streams draw independently of each other.

    The numbers are mixed rather than added, or epoch 1 of seed 0 would repeat epoch 0 of seed 1 and runs that are
    compared over seeds would share their shuffles.
    """
    state = np.random.SeedSequence((seed, epoch, stream)).generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(state[0]))


class BatchSampler(Sampler[Tensor]):
    """Yields one batch after another as a tensor of indices (int64), this process's share of it.

    ``batch_size`` is the global batch. Each is split into ``num_replicas`` contiguous shares whose sizes differ by at
    most one; the last batch of an epoch may be short, and a share of it may be empty. Over all processes every index
    below ``size`` is yielded exactly once an epoch.
    """

    def __init__(
        self,
        size: int,
        batch_size: int,
        *,
        shuffle: bool,
        seed: int = 0,
        num_replicas: int = 1,
        rank: int = 0,
    ) -> None:
        self.size = size
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.seed = seed
        self.num_replicas = num_replicas
        self.rank = rank
        self.epoch = 0
        self.position = 0  # batches yielded in this epoch
        self._skip = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of the batches that are yielded from now on; Lightning calls it before every epoch."""
        self.epoch = epoch

    def skip(self, batches: int) -> None:
        """Begin the next epoch after that many batches: where an interrupted one stopped."""
        self._skip = batches

    def __len__(self) -> int:
        return -(-self.size // self.batch_size)

    def __iter__(self) -> Iterator[Tensor]:
        # A generator: nothing is drawn before the first batch is asked for. On a resume Lightning calls iter()
        # before set_epoch().
        skip, self._skip = self._skip, 0
        for index, batch in enumerate(self._order().split(self.batch_size)):
            self.position = index + 1
            if index >= skip:
                yield batch.tensor_split(self.num_replicas)[self.rank]

    def _order(self) -> Tensor:
        if not self.shuffle:
            return torch.arange(self.size)
        return torch.randperm(self.size, generator=epoch_generator(self.seed, self.epoch))
