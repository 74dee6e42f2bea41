"""The kinds of loaders that people have, and how each module and Trainer takes them."""

import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from typing import Any

import numpy as np
import torch
from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import CombinedLoader
from torch import Tensor, nn
from torch.utils.data import (
    DataLoader,
    IterableDataset,
    RandomSampler,
    WeightedRandomSampler,
    get_worker_info,
)
from torchdata.stateful_dataloader import StatefulDataLoader

from tests.any_task.kinds import (
    POINTS,
    STEPS,
    Batches,
    Drawn,
    Noisy,
    Plain,
    Reshuffled,
    Shuffled,
    Stream,
    Wrapping,
)

points: Any = POINTS
WORKERS: dict[str, Any] = {"num_workers": 2}
PERSISTENT: dict[str, Any] = {"num_workers": 2, "persistent_workers": True}


@dataclass
class Case:
    """A loader, and who trains with it."""

    make: Callable[[], Any]
    model: Callable[[], LightningModule] = Plain
    settings: dict[str, Any] = field(default_factory=dict)
    callbacks: Callable[[], list[Callback]] = list
    steps: int = STEPS  # of an epoch


def _of_torch() -> float:
    return float(torch.rand(()))


class DrawsOf(Noisy):
    """Draws from one global generator."""

    def __init__(self, draw: Callable[[], float]) -> None:
        super().__init__()
        self.draw = draw

    def __getitem__(self, index: int) -> Tensor:
        return POINTS[index] + self.draw()


def _seed_numpy(number: int) -> None:
    np.random.seed((torch.initial_seed() + number) % 2**32)


class Shards(IterableDataset[Tensor]):
    """Each worker has its part, and adds noise."""

    def __init__(self, noise: float = 0.0) -> None:
        self.noise = noise

    def __iter__(self) -> Iterator[Tensor]:
        info = get_worker_info()
        first, step = (info.id, info.num_workers) if info else (0, 1)
        for point in POINTS[first::step]:
            yield point + self.noise * torch.randn(4) if self.noise else point


class Sized(Shards):
    def __len__(self) -> int:
        return len(POINTS)


class Eager(Shards):
    """Draws as soon as it is iterated over."""

    def __iter__(self) -> Iterator[Tensor]:
        return iter([point + random.random() for point in super().__iter__()])


class Buffered(Shards):
    """Shuffles in a buffer, as streams do."""

    def __iter__(self) -> Iterator[Tensor]:
        buffer: list[Tensor] = []
        for point in super().__iter__():
            buffer.append(point)
            if len(buffer) > 6:
                yield buffer.pop(random.randrange(len(buffer)))
        random.shuffle(buffer)
        yield from buffer


class Streamed(Shards):
    """As Hugging Face's: shuffled by its seed and the epoch that a hook sets."""

    epoch = 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __iter__(self) -> Iterator[Tensor]:
        order = [*super().__iter__()]
        random.Random(self.epoch).shuffle(order)
        yield from order


class StreamedStateful(Streamed):
    """It says where it is; a loader of torch's does not ask."""

    at = 0

    def __iter__(self) -> Iterator[Tensor]:
        for self.at, point in enumerate(super().__iter__()):
            yield point
        self.at = 0

    def state_dict(self) -> dict[str, int]:
        return {"epoch": self.epoch, "at": self.at}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.epoch, self.at = state["epoch"], state["at"]


class SetsEpoch(Callback):
    """As everyone is told to do."""

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        loader: Any = trainer.train_dataloader
        loader.dataset.set_epoch(trainer.current_epoch)


class Own:
    """A loader of one's own, whose order is drawn from a global generator."""

    def __len__(self) -> int:
        return STEPS

    def order(self) -> list[int]:
        return random.sample(range(len(POINTS)), len(POINTS))

    def __iter__(self) -> Iterator[Tensor]:
        for part in torch.tensor(self.order()).split(5):
            yield POINTS[part]


class OwnGenerator(Own):
    def __init__(self) -> None:
        self.generator = np.random.default_rng(0)

    def order(self) -> list[int]:
        return list(map(int, self.generator.permutation(len(POINTS))))


class CountsEpochs(Own):
    epoch = 0

    def order(self) -> list[int]:
        self.epoch += 1
        return random.Random(self.epoch).sample(range(len(POINTS)), len(POINTS))


class Endless(Own):
    """Goes on, from one epoch to the next, around one iterator."""

    def __init__(self) -> None:
        self.batches = self._batches()

    def _batches(self) -> Iterator[Tensor]:
        for number in count():
            order = random.Random(number).sample(range(len(POINTS)), len(POINTS))
            yield from (POINTS[part] for part in torch.tensor(order).split(7))

    def __iter__(self) -> Iterator[Tensor]:
        for _ in range(STEPS):
            yield next(self.batches)


class AtOnce(Batches):
    """Draws from a global generator, as soon as it is iterated over."""

    def __iter__(self) -> Iterator[list[int]]:
        order = random.sample(range(len(POINTS)), len(POINTS))
        return iter([order[first : first + 5] for first in range(0, len(POINTS), 5)])


class DrawnAlone(Shuffled):
    """Draws each index when it is asked for, from a generator of its own."""

    def __init__(self) -> None:
        self.rng = random.Random(2)

    def __iter__(self) -> Iterator[int]:
        left = [*range(len(POINTS))]
        while left:
            yield left.pop(self.rng.randrange(len(left)))


class CountedEpochs(Shuffled):
    """A sampler that counts its epochs."""

    def __init__(self) -> None:
        self.epoch = 0

    def __iter__(self) -> Iterator[int]:
        self.epoch += 1
        yield from random.Random(self.epoch).sample(range(len(POINTS)), len(POINTS))


class Rebatched(Batches):
    """Shuffles its batches again and again."""

    def __init__(self) -> None:
        super().__init__()
        self.batches = [*super().__iter__()]

    def __iter__(self) -> Iterator[list[int]]:
        self.own.shuffle(self.batches)
        yield from self.batches


class Advancing(Shuffled):
    """Counts its epochs, which Lightning sets."""

    epoch = 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __iter__(self) -> Iterator[int]:
        order = random.Random(self.epoch).sample(range(len(POINTS)), len(POINTS))
        self.epoch += 1
        yield from order


class Uneven(Noisy):
    """Some items take longer, so that workers are ready in any order."""

    def __getitem__(self, index: int) -> Tensor:
        time.sleep(random.SystemRandom().random() / 100)
        return POINTS[index]


class Numbered(Noisy):
    """Counts what it has given, in a number."""

    given = 0

    def __getitem__(self, index: int) -> Tensor:
        self.given += 1
        return POINTS[index] / (1 + self.given)


class Listed(Noisy):
    """The same, in a list."""

    def __init__(self) -> None:
        super().__init__()
        self.given = [0]

    def __getitem__(self, index: int) -> Tensor:
        self.given[0] += 1
        return POINTS[index] / (1 + self.given[0])


class Cached(Noisy):
    """Keeps what it has drawn for each item."""

    def __init__(self) -> None:
        super().__init__()
        self.cache: dict[int, float] = {}

    def __getitem__(self, index: int) -> Tensor:
        return POINTS[index] + self.cache.setdefault(index, random.random())


class Strong(Noisy):
    """A hook changes it."""

    strength = 1.0

    def __getitem__(self, index: int) -> Tensor:
        return POINTS[index] * self.strength


class Strengthens(Callback):
    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        loader: Any = trainer.train_dataloader
        loader.dataset.strength = 1 / (1 + trainer.current_epoch)


class DrawsInHooks(Callback):
    """Draws where loaders draw too."""

    def on_train_start(self, *_: Any) -> None:
        random.random()

    def on_train_epoch_start(self, *_: Any) -> None:
        torch.rand(3), np.random.rand(2), random.random()

    def on_train_batch_start(self, *_: Any) -> None:
        torch.rand(1), np.random.rand(1), random.random()


class Unrepeatable(Noisy):
    def __init__(self) -> None:
        super().__init__()
        self.system = random.SystemRandom()

    def __getitem__(self, index: int) -> Tensor:
        return POINTS[index] + self.system.random()


class OfSeveral(Plain):
    """Takes batches of several loaders, of which some may have ended."""

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        parts = [part for part in batch.values() if part is not None]
        return super().training_step(torch.cat(parts), batch_idx)


class Augmenting(Plain):
    """Augments the batch when it is on the device."""

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        return batch + torch.randn(4) / 10 if self.trainer.training else batch


class InPlace(Plain):
    """Changes its batch."""

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return super().training_step(batch.mul_(0.5), batch_idx)


class Iterating(Plain):
    """Takes its batches itself."""

    def training_step(self, dataloader_iter: Any) -> Tensor:  # type: ignore[override]
        points, _, _ = next(dataloader_iter)
        loss = nn.functional.mse_loss(self.network(points).squeeze(1), points.sum(dim=1))
        self.log("train/loss", loss, on_step=False, on_epoch=True, batch_size=len(points))
        return loss


def combined(mode: Any, **arguments: Any) -> Any:
    loaders = {
        "long": DataLoader(Noisy(), 5, shuffle=True, **arguments),
        "short": DataLoader(Noisy(), 5, sampler=RandomSampler(points, num_samples=30), **arguments),
    }
    return CombinedLoader(loaders, mode)


def of(data: Callable[[], Any] = lambda: points, **arguments: Any) -> Callable[[], Any]:
    """Torch's own loader, of batches of five."""
    return lambda: DataLoader(data(), **({"batch_size": 5} | arguments))


def sampled(sampler: Callable[[], Any], data: Any = Noisy, **arguments: Any) -> Callable[[], Any]:
    return lambda: DataLoader(data(), 5, sampler=sampler(), **arguments)


def batched(sampler: Callable[[], Any], **arguments: Any) -> Callable[[], Any]:
    return lambda: DataLoader(Noisy(), batch_sampler=sampler(), **arguments)


def generated(**arguments: Any) -> Callable[[], Any]:
    return lambda: DataLoader(
        Noisy(), 5, shuffle=True, generator=torch.Generator().manual_seed(1), **arguments
    )


def stateful(data: Callable[[], Any], **arguments: Any) -> Callable[[], Any]:
    return lambda: StatefulDataLoader(data(), **({"batch_size": 5} | arguments))


HOOKED: dict[str, Any] = {"callbacks": lambda: [SetsEpoch()]}
STRONG: dict[str, Any] = {"callbacks": lambda: [Strengthens()]}
DRAWING: dict[str, Any] = {"callbacks": lambda: [DrawsInHooks()]}

KINDS: dict[str, Case] = {
    "map": Case(of(shuffle=True)),
    "map, draws": Case(of(Noisy, shuffle=True)),
    "workers": Case(of(shuffle=True, **WORKERS)),
    **{
        f"workers, draws of {kind}": Case(of(partial(DrawsOf, draw), shuffle=True, **WORKERS))
        for kind, draw in (
            ("torch", _of_torch),
            ("numpy", np.random.rand),
            ("random", random.random),
        )
    },
    "persistent": Case(of(shuffle=True, **PERSISTENT)),
    "persistent, draws": Case(of(Noisy, shuffle=True, **PERSISTENT)),
    "persistent, draws, limited": Case(
        of(Noisy, shuffle=True, **PERSISTENT), settings={"limit_train_batches": 6}, steps=6
    ),
    "persistent, cache": Case(of(Cached, shuffle=True, **PERSISTENT)),
    "persistent, changed by a hook": Case(of(Strong, shuffle=True, **PERSISTENT), **STRONG),
    "persistent, iterable, draws": Case(of(partial(Shards, 0.1), **PERSISTENT)),
    "persistent, iterable, eager": Case(of(Eager, **PERSISTENT)),
    "worker_init_fn": Case(of(Noisy, shuffle=True, worker_init_fn=_seed_numpy, **WORKERS)),
    "iterable": Case(of(Stream)),
    "iterable, draws": Case(of(partial(Shards, 0.1))),
    "iterable, shards": Case(of(Shards, **WORKERS)),
    "iterable, workers, draws": Case(of(partial(Shards, 0.1), **WORKERS)),
    "iterable, with a length": Case(of(Sized, **WORKERS)),
    "buffer": Case(of(Buffered)),
    "buffer, workers": Case(of(Buffered, **WORKERS)),
    "set_epoch": Case(of(Streamed), **HOOKED),
    "set_epoch, workers": Case(of(Streamed, **WORKERS), **HOOKED),
    "set_epoch, stateful": Case(of(StreamedStateful), **HOOKED),
    **{
        f"combined by {mode}{name}": Case(
            partial(combined, mode, **workers), OfSeveral, steps=steps
        )
        for mode, steps in (("max_size", STEPS), ("min_size", 6), ("max_size_cycle", STEPS))
        for name, workers in (("", {}), (", workers", WORKERS))
    },
    "own loader": Case(Own),
    "own loader, generator": Case(OwnGenerator),
    "own loader, counts epochs": Case(CountsEpochs),
    "own loader, endless": Case(Endless),
    "wrapped iterator": Case(lambda: Wrapping(Noisy(), 5, shuffle=True)),
    "at once, own generator": Case(batched(Batches)),
    "at once, own generator, workers": Case(batched(Batches, **WORKERS)),
    "at once, global": Case(batched(AtOnce)),
    "at once, global, workers": Case(batched(AtOnce, **WORKERS)),
    "weighted": Case(sampled(lambda: WeightedRandomSampler([1.0] * 40, 40))),
    "reshuffled": Case(sampled(Reshuffled)),
    "reshuffled, workers": Case(sampled(Reshuffled, **WORKERS)),
    "reshuffled batches": Case(batched(Rebatched)),
    "reshuffled, stateful": Case(lambda: StatefulDataLoader(points, 5, sampler=Reshuffled())),
    "set_epoch of a sampler": Case(sampled(Advancing)),
    "bit by bit": Case(sampled(Drawn)),
    "bit by bit, workers": Case(sampled(Drawn, **WORKERS)),
    "bit by bit, own generator": Case(sampled(DrawnAlone)),
    "bit by bit, own generator, workers": Case(sampled(DrawnAlone, **WORKERS)),
    "counts epochs": Case(sampled(CountedEpochs)),
    "counts epochs, workers": Case(sampled(CountedEpochs, **WORKERS)),
    "generator": Case(generated()),
    "generator, workers": Case(generated(**WORKERS)),
    "in any order": Case(of(Uneven, shuffle=True, in_order=False, **WORKERS)),
    "prefetch and timeout": Case(of(Noisy, shuffle=True, prefetch_factor=3, timeout=30, **WORKERS)),
    "spawn": Case(of(Noisy, shuffle=True, multiprocessing_context="spawn", **WORKERS)),
    "reloaded": Case(
        of(Noisy, shuffle=True, **WORKERS), settings={"reload_dataloaders_every_n_epochs": 1}
    ),
    "reloaded, every second": Case(
        of(Noisy, shuffle=True, **WORKERS), settings={"reload_dataloaders_every_n_epochs": 2}
    ),
    "number": Case(of(Numbered, shuffle=True)),
    "number, worker": Case(of(Numbered, shuffle=True, num_workers=1)),
    "list": Case(of(Listed, shuffle=True)),
    "list, worker": Case(of(Listed, shuffle=True, num_workers=1)),
    "cache": Case(of(Cached, shuffle=True)),
    "cache, workers": Case(of(Cached, shuffle=True, **WORKERS)),
    "changed by a hook": Case(of(Strong, shuffle=True), **STRONG),
    "changed by a hook, workers": Case(of(Strong, shuffle=True, **WORKERS), **STRONG),
    "drawing hooks": Case(of(Noisy, shuffle=True), **DRAWING),
    "drawing hooks, workers": Case(of(Noisy, shuffle=True, **WORKERS), **DRAWING),
    "evaluated within": Case(
        of(Noisy, shuffle=True, **WORKERS), settings={"val_check_interval": 3}
    ),
    "accumulating": Case(
        of(Noisy, shuffle=True, **WORKERS), settings={"accumulate_grad_batches": 2}
    ),
    "limited": Case(
        of(Noisy, shuffle=True, **WORKERS), settings={"limit_train_batches": 6}, steps=6
    ),
    "augmented on the batch": Case(of(shuffle=True, **WORKERS), Augmenting),
    "changed in place": Case(of(shuffle=True, **WORKERS), InPlace),
    "dataloader_iter": Case(of(Noisy, shuffle=True, **WORKERS), Iterating),
    "unrepeatable": Case(of(Unrepeatable, shuffle=True, **WORKERS)),
    "stateful, draws": Case(stateful(Noisy, shuffle=True)),
    "stateful, draws, workers": Case(stateful(Noisy, shuffle=True, **WORKERS)),
    "stateful, iterable": Case(stateful(Shards, **WORKERS)),
    "stateful, at once": Case(lambda: StatefulDataLoader(Noisy(), batch_sampler=Batches())),
}
