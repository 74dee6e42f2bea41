"""Points whose loader has worker processes, in the ways that people write it."""

import random
from collections.abc import Iterator
from itertools import chain, islice, repeat
from multiprocessing import get_start_method
from pathlib import Path
from typing import Any, Literal

import torch
from torch.utils.data import DataLoader, default_collate

from tests.any_task.regression import Points


def noisy(items: list[Any]) -> Any:
    """A batch, with noise that is drawn in the process that reads it."""
    x, y = default_collate(items)
    return x, y + torch.randn_like(y) / 10


class Loaded(Points):
    """Adds the name of Python's way to start processes to the file ``methods``.

    Args:
        workers: How many the training loader has.
        kind: Whether they live on, draw noise and live on, or collate by a lambda, which
            cannot be pickled.
        size: Of a batch.
    """

    def __init__(
        self,
        workers: int = 2,
        kind: Literal["plain", "persistent", "drawing", "collated"] = "plain",
        size: int = 16,
    ) -> None:
        super().__init__()
        self.size = size
        self.workers, self.kind = workers, kind

    def train_dataloader(self) -> DataLoader[Any]:
        with Path("methods").open("a") as file:
            file.write(f"{get_start_method()}\n")
        collate: Any = {"collated": lambda items: default_collate(items), "drawing": noisy}
        return DataLoader(
            self.points(0),
            self.size,
            shuffle=True,
            num_workers=self.workers,
            persistent_workers=self.kind in ("persistent", "drawing"),
            collate_fn=collate.get(self.kind),
        )


class Endless(Points):
    """Goes on around one iterator, from one epoch to the next."""

    def train_dataloader(self) -> Any:
        return Around(DataLoader(self.points(0), 16, shuffle=True, drop_last=True))


class Around:
    """A loader of fewer batches than an epoch of another one has."""

    def __init__(self, loader: DataLoader[Any]) -> None:
        self.batches = chain.from_iterable(repeat(loader))

    def __len__(self) -> int:
        return 10

    def __iter__(self) -> Iterator[Any]:
        return islice(self.batches, len(self))


class Unrepeatable(Points):
    """Gives other noise each time it is read."""

    def train_dataloader(self) -> DataLoader[Any]:
        return DataLoader(self.points(0), 16, shuffle=True, num_workers=1, collate_fn=unrepeatable)


def unrepeatable(items: list[Any]) -> Any:
    x, y = default_collate(items)
    return x, y + random.SystemRandom().random()
