"""Modules, callbacks and data modules that change in training what is easily lost without
a word in a resume.
"""

import random
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import EarlyStopping
from torch import Tensor, nn
from torch.utils.data import DataLoader, WeightedRandomSampler
from torchmetrics import MeanMetric

from tests.any_task.kinds import POINTS, Kind, Plain


class ByData(Plain):
    """Changes a tensor in a way that torch does not count."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = torch.ones(1)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        self.scale.data *= 0.95
        return super().training_step(batch * self.scale, batch_idx)


class Annealing(Plain):
    """Changes its hyper-parameters."""

    hparams: Any

    def __init__(self, scale: float = 1.0, scales: tuple[float, ...] = (1.0,)) -> None:
        super().__init__()
        self.save_hyperparameters()

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        self.hparams.scale *= 0.95
        self.hparams["scales"] = (*self.hparams["scales"][-2:], self.hparams.scale)
        return super().training_step(batch * sum(self.hparams["scales"]), batch_idx)


class AnnealingData(Kind):
    """Changes its hyper-parameters."""

    hparams: Any

    def __init__(self, scale: float = 1.0) -> None:
        super().__init__()
        self.save_hyperparameters()

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        if not (self.trainer and self.trainer.training):
            return batch
        self.hparams.scale *= 0.95
        return batch * self.hparams.scale


class CountingData(Kind):
    """Counts the batches that it has given."""

    def __init__(self) -> None:
        super().__init__()
        self.given = 0

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        if not (self.trainer and self.trainer.training):
            return batch
        self.given += 1
        return batch / self.given


class Fading(EarlyStopping):
    """Fades a bias by a counter of its own."""

    def __init__(self) -> None:
        super().__init__("val/loss", patience=99)
        self.batches_seen = 0

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        self.batches_seen += 1
        with torch.no_grad():
            pl_module.get_parameter("network.0.bias").mul_(1 - 0.01 * self.batches_seen)


class TwoNames(Plain):
    """Has two names for one tensor, from the second epoch on for another, also in a part."""

    def __init__(self) -> None:
        super().__init__()
        self.sum = torch.zeros(4)
        self.network.shift = self.shift = self.sum

    def on_train_epoch_start(self) -> None:
        if self.current_epoch == 1:
            self.sum = torch.zeros(4)
            self.network.shift = self.shift = self.sum

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        self.sum += batch.mean(dim=0)
        shift: Any = self.network.shift
        return super().training_step(batch + self.shift + shift, batch_idx)


class Sharing(Callback):
    """Has another name for a tensor of the module."""

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.current_epoch == 0:
            self.shared = pl_module.sum = torch.zeros(4)

    def on_train_batch_end(self, *_: Any) -> None:
        self.shared *= 0.9


class Summing(Plain):
    """Sums in a tensor that a callback gives it."""

    sum: Tensor

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        self.sum += batch.mean(dim=0)
        return super().training_step(batch + self.sum, batch_idx)


class Moved(Plain):
    """Gives its first tensor another name; something else holds it too."""

    def __init__(self) -> None:
        super().__init__()
        self.initial = torch.ones(4)
        self.best = self.initial
        self.recent = [torch.zeros(4), torch.ones(4)]
        self.first = self.recent[0]
        initial, first = self.initial, self.first
        self.weigh: Callable[[Any], Any] = lambda batch: batch * initial + first

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        self.best = 0.9 * self.best
        self.recent = [*self.recent[1:], batch.mean(dim=0)]
        batch = self.weigh(batch) * self.best + self.recent[0]
        return super().training_step(batch, batch_idx)


class Step(NamedTuple):
    """Of a training."""

    scale: float
    batch: Tensor


class Containers(Plain):
    """Remembers in containers of many kinds, which others hold too."""

    def __init__(self) -> None:
        super().__init__()
        self.recent: dict[str, deque[float]] = {"scales": deque(maxlen=3)}
        self.counts = Counter[str]()
        self.ordered = OrderedDict[str, int]()
        self.made: Any = defaultdict(lambda: deque([1.0], maxlen=4))
        self.seen: set[Any] = set()
        self.frozen = frozenset[int]()
        self.array = np.zeros(4, dtype=np.float32)
        self.steps: deque[Step] = deque(maxlen=2)
        recent, array = self.recent["scales"], self.array
        self.held: Callable[[], float] = lambda: sum(recent) + float(array.sum())

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        self.counts.subtract(["down"])
        self.seen.add(("batch", batch_idx % 5))
        self.frozen |= {self.counts["down"] % 7}
        self.recent["scales"].append(1 / (1 + len(self.frozen)))
        self.made[f"of {batch_idx % 3}"].append(0.9)
        self.ordered.pop(str(batch_idx % 3), None)
        self.ordered[str(batch_idx % 3)] = batch_idx
        self.array += batch.mean(dim=0).numpy() / 10
        self.steps.append(Step(0.9, batch))
        scale = self.held() + sum(len(made) for made in self.made.values()) / 10 + len(self.seen)
        scale += next(iter(self.ordered.values())) + self.counts["down"] / 10
        return super().training_step(self.steps[0].batch * self.steps[0].scale * scale, batch_idx)


class Numbers(Plain):
    """Counts in numbers of NumPy's."""

    def __init__(self) -> None:
        super().__init__()
        self.float32, self.int8, self.complex = np.float32(1), np.int8(100), 1j
        self.float64, self.bool = np.float64(1), np.array([False]).all()

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        with np.errstate(over="ignore"):
            self.int8 += np.int8(9)
        self.float32 *= np.float32(0.95)
        self.float64 *= np.float64(0.95)
        self.complex *= 0.9 + 0.1j
        self.bool = ~self.bool  # -1 or -2 of one of Python's
        parts = self.float32 / 3, self.float64 / 3, self.int8 / np.int8(100), self.complex.real
        return super().training_step(batch * float(sum(parts) + self.bool), batch_idx)


class Anchored(Plain):
    """Stays near the weights with which it started."""

    def on_fit_start(self) -> None:
        self.anchors = [weight.detach().clone() for weight in self.parameters()]
        self.far = 0.5 * float(sum(anchor.norm() for anchor in self.anchors))

    def on_train_start(self) -> None:
        self.first = {"weights": [weight.detach().clone() for weight in self.parameters()]}

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        loss = super().training_step(batch, batch_idx)
        for anchors in (self.anchors, self.first["weights"]):
            for weight, anchor in zip(self.parameters(), anchors, strict=True):
                loss = loss + (weight - anchor).square().sum() * self.far
        return loss


class Anchoring(Callback):
    """Pulls the weights to those of the start."""

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.anchors = [weight.detach().clone() for weight in pl_module.parameters()]

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        with torch.no_grad():
            for weight, anchor in zip(pl_module.parameters(), self.anchors, strict=True):
                weight.lerp_(anchor, 0.1)


class Tempered(Plain):
    """Trains a tensor that is no parameter."""

    def __init__(self) -> None:
        super().__init__()
        self.log_alpha = torch.zeros(1, requires_grad=True)
        self.others = {"beta": torch.zeros(1, requires_grad=True)}

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        loss = super().training_step(batch * self.log_alpha.exp(), batch_idx)
        self.log("alpha", self.log_alpha.detach().clone().squeeze())
        return loss * self.others["beta"].exp().squeeze()

    def configure_optimizers(self) -> Any:
        held = [self.log_alpha, *self.others.values()]
        return torch.optim.Adam([*self.parameters(), *held], self.lr)


class Clearing(Plain):
    """Clears gradients at every third batch only."""

    def optimizer_zero_grad(self, epoch: int, batch_idx: int, optimizer: Any) -> None:
        if batch_idx % 3 == 0:
            optimizer.zero_grad()


class Peeking(Plain):
    """Looks at the gradients of the step before."""

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        gradients = [weight.grad for weight in self.parameters() if weight.grad is not None]
        norm = sum(float(gradient.norm()) for gradient in gradients)
        return super().training_step(batch / (1 + norm), batch_idx)


class Sparse(Peeking):
    """Has sparse gradients."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(10, 4, sparse=True)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return super().training_step(batch + self.table(torch.tensor([batch_idx])), batch_idx)

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), 0.1 * self.lr)


class Settings(Callback):
    """Sets attributes of the Trainer at the start of an epoch."""

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        trainer.accumulate_grad_batches = 1 + trainer.current_epoch
        trainer.gradient_clip_val = 1.0 if trainer.current_epoch else None


class Last(MeanMetric):
    """A mean that remembers what it has seen, and how often it was reset."""

    def __init__(self) -> None:
        super().__init__()
        self._seen: list[Any] = []
        self._resets: dict[str, int] = {"done": 0}

    def update(self, value: Any, weight: Any = None) -> None:
        self._seen.append(float(value))
        super().update(value, weight)

    def reset(self) -> None:
        super().reset()
        self._seen = [sum(self._seen)]
        self._resets["done"] += 1

    @property
    def scale(self) -> float:
        return float(sum(self._seen)) / 100 + self._resets["done"]


class Drawing(Plain):
    """Draws from generators of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.noise = torch.Generator().manual_seed(1)
        self.others: dict[str, Any] = {
            "numpy": np.random.default_rng(2),
            "python": [random.Random(3)],
        }

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        numpy, (python,) = self.others.values()
        drawn = torch.rand(4, generator=self.noise) + numpy.random() + python.random()
        return super().training_step(batch + drawn, batch_idx)


class WeightedData(Kind):
    """Has a sampler, whose weights training changes."""

    def train_dataloader(self) -> Any:
        self.sampler = WeightedRandomSampler([1.0] * len(POINTS), len(POINTS))
        points: Any = POINTS
        return DataLoader(points, 5, sampler=self.sampler)


class Weighing(Callback):
    """Lets it take other items in each epoch."""

    def on_train_epoch_end(self, trainer: Any, pl_module: LightningModule) -> None:
        weights = trainer.datamodule.sampler.weights
        weights[: 10 * (1 + trainer.current_epoch)] += 3


class Remembering(Plain):
    """Learns by what a metric remembers, which it logs."""

    def __init__(self) -> None:
        super().__init__()
        self.last, self.apart = Last(), Last()

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        for metric in (self.last, self.apart):
            metric.update(batch.abs().mean())
        self.log("train/last", self.last, on_step=False, on_epoch=True)
        scale = self.last.scale + self.apart.scale
        return super().training_step(batch / (1 + scale), batch_idx)


class Once(Plain):
    """Sets an attribute in its first step only."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = 1.0

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        if self.global_step == 0:
            self.scale = 0.5
        return super().training_step(batch * self.scale, batch_idx)
