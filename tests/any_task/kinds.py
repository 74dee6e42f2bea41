"""Modules and loaders whose state is not in Lightning's checkpoints, for exact resume."""

import random
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from lightning import LightningDataModule, LightningModule
from torch import Tensor, nn
from torch.utils.data import (
    DataLoader,
    Dataset,
    IterableDataset,
    RandomSampler,
    Sampler,
    TensorDataset,
    WeightedRandomSampler,
)
from torchdata.stateful_dataloader import StatefulDataLoader
from torchmetrics import (
    MeanAbsoluteError,
    MeanMetric,
    MeanSquaredError,
    MetricCollection,
    MetricTracker,
    MinMaxMetric,
    RunningMean,
)

POINTS = torch.randn(40, 4, generator=torch.Generator().manual_seed(3))
STEPS = 8  # of an epoch


class Plain(LightningModule):
    """Learns the sum of four numbers, with dropout."""

    def __init__(self, lr: float = 0.01) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.lr = lr
        self.network: nn.Module = nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.2), nn.Linear(4, 1))

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        points = batch if isinstance(batch, Tensor) else batch[0]
        loss = nn.functional.mse_loss(self.network(points).squeeze(1), points.sum(dim=1))
        self.log("train/loss", loss, on_step=False, on_epoch=True)
        return loss

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        (points,) = batch
        self.log(
            "val/loss", nn.functional.mse_loss(self.network(points).squeeze(1), points.sum(dim=1))
        )

    def configure_optimizers(self) -> Any:
        return torch.optim.Adam(self.parameters(), self.lr)


class MovingMean(Plain):
    """A buffer that is not persistent takes part in the loss."""

    mean: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(4), persistent=False)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        self.mean = 0.9 * self.mean + 0.1 * batch.mean(dim=0)
        return super().training_step(batch - self.mean, batch_idx)


class Histories(Plain):
    """Metrics that remember more than the epoch."""

    def __init__(self) -> None:
        super().__init__()
        self.tracker = MetricTracker(MeanMetric(), maximize=False)
        self.extremes, self.recent, self.ever = (
            MinMaxMetric(MeanMetric()),
            RunningMean(7),
            MeanMetric(),
        )

    def on_train_epoch_start(self) -> None:
        self.tracker.increment()

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        loss = super().training_step(batch, batch_idx)
        for metric in (self.tracker, self.extremes, self.recent, self.ever):
            metric.update(loss.detach())
        self.log_dict({"recent": self.recent.compute(), "ever": self.ever.compute()})
        return loss

    def on_train_epoch_end(self) -> None:
        self.log_dict(
            {f"extremes/{name}": value for name, value in self.extremes.compute().items()}
        )
        best: Any = self.tracker.best_metric()
        self.log("best", best)


class Scored(Plain):
    """Logs a collection of metrics, and has a schedule over all steps."""

    def __init__(self) -> None:
        super().__init__()
        self.scores = MetricCollection([MeanSquaredError(), MeanAbsoluteError()], prefix="train/")

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        self.scores.update(self.network(batch).squeeze(1), batch.sum(dim=1))
        self.log_dict(self.scores, on_step=False, on_epoch=True)
        return super().training_step(batch, batch_idx)

    def configure_optimizers(self) -> Any:
        optimizer = super().configure_optimizers()
        steps = int(self.trainer.estimated_stepping_batches)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


class Reduced(Plain):
    """Logs the least, the largest and the sum over an epoch, by Python's own functions."""

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        loss = super().training_step(batch, batch_idx)
        for reduction in (min, max, sum):
            name = f"train/{reduction.__name__}"
            self.log(name, loss.detach(), on_step=False, on_epoch=True, reduce_fx=reduction)
        return loss


class Composed(Plain):
    """Logs the sum of two metrics, which counts its updates and is never reset."""

    def __init__(self) -> None:
        super().__init__()
        self.both = MeanSquaredError() + MeanAbsoluteError()

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        self.both.update(self.network(batch).squeeze(1), batch.sum(dim=1))
        self.log("train/both", self.both, on_step=False, on_epoch=True)
        return super().training_step(batch, batch_idx)


class Caching(Plain):
    """Registers a buffer in its first step, which is not persistent."""

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        if not hasattr(self, "scale"):
            self.register_buffer("scale", batch.abs().max(), persistent=False)
        return super().training_step(batch / self.scale, batch_idx)


class Sharing(Plain):
    """Learns by a metric that Lightning resets after each evaluation, which logs it."""

    def __init__(self) -> None:
        super().__init__()
        self.sum = MeanMetric()

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        self.sum.update(batch.sum())
        return super().training_step(batch, batch_idx) * self.sum.compute().cos()

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        super().validation_step(batch, batch_idx)
        self.sum.update(batch[0].sum())
        self.log("val/sum", self.sum)


class Stream(IterableDataset[Tensor]):
    """Without a length or a state."""

    def __iter__(self) -> Iterator[Tensor]:
        return iter(POINTS)


class Counted(IterableDataset[Tensor]):
    """Without a length; it knows where it is, and draws random numbers."""

    def __init__(self) -> None:
        self.next = 0

    def __iter__(self) -> Iterator[Tensor]:
        while self.next < len(POINTS):
            self.next += 1
            yield POINTS[self.next - 1] + torch.randn(4) / 10
        self.next = 0

    def state_dict(self) -> dict[str, int]:
        return {"next": self.next}

    def load_state_dict(self, state_dict: dict[str, int]) -> None:
        self.next = state_dict["next"]


class Noisy(Dataset[Tensor]):
    """Draws from a generator of its own, if it has one, and from all global ones."""

    def __init__(self, generator: Any = None) -> None:
        self.noise = {"generator": generator}

    def __len__(self) -> int:
        return len(POINTS)

    def __getitem__(self, index: int) -> Tensor:
        generator = self.noise["generator"]
        drawn = (
            generator.random() if generator else random.random() + np.random.rand() + torch.rand(())
        )
        return POINTS[index] + drawn


class Seen(Dataset[Tensor]):
    """Counts what it has given, and knows it of itself."""

    def __init__(self) -> None:
        self.seen = [0]

    def __len__(self) -> int:
        return len(POINTS)

    def __getitem__(self, index: int) -> Tensor:
        self.seen[0] += 1
        return POINTS[index] / self.seen[0]

    def state_dict(self) -> dict[str, list[int]]:
        return {"seen": [*self.seen]}

    def load_state_dict(self, state_dict: dict[str, list[int]]) -> None:
        self.seen = [*state_dict["seen"]]


class Fading(Seen):
    """Keeps a number of NumPy's beside its state."""

    def __init__(self) -> None:
        super().__init__()
        self.strength = np.float64(1)

    def __getitem__(self, index: int) -> Tensor:
        self.strength *= np.float64(0.99)
        return super().__getitem__(index) * float(self.strength)

    def state_dict(self) -> dict[str, Any]:
        return super().state_dict() | {"strength": float(self.strength)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(state_dict)
        self.strength = np.float64(state_dict["strength"])


class Shuffled(Sampler[int]):
    """Draws the order from a generator of its own."""

    def __init__(self) -> None:
        self.own = torch.Generator().manual_seed(1)

    def __len__(self) -> int:
        return len(POINTS)

    def __iter__(self) -> Iterator[int]:
        yield from torch.randperm(len(POINTS), generator=self.own).tolist()


class Reshuffled(Sampler[int]):
    """Shuffles one array again and again, as some packages do."""

    def __init__(self) -> None:
        self.own = np.random.default_rng(1)
        self.order = np.arange(len(POINTS))

    def __len__(self) -> int:
        return len(POINTS)

    def __iter__(self) -> Iterator[int]:
        self.own.shuffle(self.order)
        return iter(self.order.tolist())


class Drawn(Shuffled):
    """Draws each index when it is asked for, from the generator from which the data draw."""

    def __iter__(self) -> Iterator[int]:
        left = [*range(len(POINTS))]
        while left:
            yield left.pop(random.randrange(len(left)))


class Batches(Sampler[list[int]]):
    """Draws the order of all batches as soon as it is iterated over."""

    def __init__(self) -> None:
        self.own = random.Random(1)

    def __len__(self) -> int:
        return STEPS

    def __iter__(self) -> Iterator[list[int]]:
        order = self.own.sample(range(len(POINTS)), len(POINTS))
        return iter([order[first : first + 5] for first in range(0, len(POINTS), 5)])


def collate_with(generator: random.Random) -> Callable[[list[Tensor]], Tensor]:
    """A collate function that draws from a generator in its closure."""
    return lambda points: torch.stack(points) + generator.random()


class Named(NamedTuple):
    points: Tensor


def named(points: list[Tensor]) -> Named:
    """A batch of a class of one's own, which checkpoints may not hold."""
    return Named(torch.stack(points))


def loader(data: Any = POINTS, **arguments: Any) -> Any:
    return StatefulDataLoader(data, batch_size=5, **arguments)


def torchs(data: Any, sampler: Sampler[int]) -> DataLoader[Tensor]:
    return DataLoader(data, batch_size=5, sampler=sampler)


class Wrapping(DataLoader[Tensor]):
    """Wraps its iterator, as the loaders of graphs do."""

    def _get_iterator(self) -> Any:
        return (batch / 2 for batch in super()._get_iterator())


# How each kind makes its training loader.
LOADERS: dict[str, Callable[[], Any]] = {
    "stream": lambda: loader(Stream()),
    "counted": lambda: loader(Counted()),
    "own generator": lambda: loader(Noisy(np.random.default_rng(0)), shuffle=True),
    "seen": lambda: loader(Seen(), shuffle=True),
    "fading": lambda: loader(Fading(), shuffle=True),
    "seen in a worker": lambda: loader(Seen(), shuffle=True, num_workers=1),
    "weighted": lambda: loader(sampler=WeightedRandomSampler([1.0] * 40, 40)),
    "sampler": lambda: loader(sampler=Shuffled()),
    "batch sampler": lambda: StatefulDataLoader(POINTS, batch_sampler=Batches()),
    "collate function": lambda: loader(collate_fn=collate_with(random.Random(0))),
    "workers": lambda: loader(Noisy(), shuffle=True, num_workers=1),
    "own generator in workers": lambda: loader(Noisy(np.random.default_rng(0)), num_workers=1),
    "torch": lambda: DataLoader(Noisy(np.random.default_rng(0)), 5, shuffle=True),
    "torch global": lambda: DataLoader(Noisy(), 5, shuffle=True),
    "torch generator": lambda: torchs(
        Noisy(), RandomSampler(POINTS, generator=torch.Generator().manual_seed(1))
    ),
    "torch weighted": lambda: torchs(Noisy(), WeightedRandomSampler([1.0] * 40, 40)),
    "torch sampler": lambda: torchs(Noisy(), Shuffled()),
    "torch seen": lambda: DataLoader(Seen(), 5, shuffle=True),
    "torch drawn": lambda: torchs(Noisy(), Drawn()),
    "torch workers": lambda: DataLoader(Noisy(), 5, shuffle=True, num_workers=1),
    "torch wrapped": lambda: Wrapping(Noisy(), 5, shuffle=True),
    "torch stream": lambda: DataLoader(Stream(), 5),
    "torch batches": lambda: DataLoader(Noisy(), batch_sampler=Batches()),
    "named": lambda: loader(Stream(), collate_fn=named),
    "persistent workers": lambda: loader(shuffle=True, num_workers=1, persistent_workers=True),
}


class Kind(LightningDataModule):
    """The loader of a kind, or plain shuffled points."""

    def __init__(self, kind: str = "", batch_size: int = 5) -> None:
        super().__init__()
        self.kind, self.batch_size = kind, batch_size

    def train_dataloader(self) -> Any:
        if self.kind:
            return LOADERS[self.kind]()
        return StatefulDataLoader(POINTS, self.batch_size, shuffle=True)

    def val_dataloader(self) -> Any:
        return DataLoader(TensorDataset(POINTS), 20)
