"""Modules and data of many kinds: some end with the same bits when they are stopped and resumed, some do not."""

import itertools
import random
from collections import deque
from collections.abc import Iterator
from typing import Any

import torch
from lightning import LightningDataModule, LightningModule
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel
from torch.utils.data import DataLoader, Dataset, IterableDataset, RandomSampler, TensorDataset
from torchdata.stateful_dataloader import StatefulDataLoader
from torchmetrics import MeanSquaredError, Metric, MetricTracker, MinMaxMetric, RunningMean

Batch = list[Tensor]


class Plain(LightningModule):
    """A linear network; all that it has is in a checkpoint."""

    def __init__(self) -> None:
        super().__init__()
        self.network: nn.Module = nn.Linear(4, 1)

    def loss(self, batch: Batch) -> Tensor:
        x, y = batch[:2]
        return nn.functional.mse_loss(self.network(x), y)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        return self.loss(batch)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        self.log("val/loss", self.loss(batch))

    def configure_optimizers(self) -> Any:
        return torch.optim.Adam(self.network.parameters(), 0.01)


class AveragedInHook(Plain):
    """Keeps an average of the weights, and steps a schedule, in its own hook after a batch."""

    def __init__(self) -> None:
        super().__init__()
        self.average = AveragedModel(nn.Linear(4, 1))

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        self.average.update_parameters(self.network)
        self.schedule.step()

    def on_validation_end(self) -> None:
        with torch.no_grad():
            self.network.get_parameter("bias").mul_(0.99)

    def configure_optimizers(self) -> Any:
        optimizer = super().configure_optimizers()
        self.schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.9)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": self.schedule, "interval": "epoch", "frequency": 99},
        }


class Centred(Plain):
    """Subtracts a running mean, a buffer that may be left out of checkpoints."""

    def __init__(self, persistent: bool = False) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(4), persistent=persistent)
        self.mean: Tensor

    def loss(self, batch: Batch) -> Tensor:
        x, y = batch
        if self.training:
            self.mean.lerp_(x.mean(dim=0), 0.1)
        return nn.functional.mse_loss(self.network(x - self.mean), y)


class Weakening(Plain):
    """Weakens noise with each step that it counts."""

    def __init__(self) -> None:
        super().__init__()
        self.steps = 0

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        self.steps += 1
        return self.loss([batch[0] * (1 + 1 / self.steps), batch[1]])


class Counting(Plain):
    """Counts its steps, for nothing."""

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        self.steps = getattr(self, "steps", 0) + 1
        return self.loss(batch)


class Taught(Plain):
    """Has a teacher that follows it, hidden in a list."""

    def __init__(self) -> None:
        super().__init__()
        self.teachers = [nn.Linear(4, 1)]

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        (teacher,) = self.teachers
        loss = self.loss([batch[0], 0.5 * batch[1] + 0.5 * teacher(batch[0]).detach()])
        with torch.no_grad():
            for old, new in zip(teacher.parameters(), self.network.parameters(), strict=True):
                old.lerp_(new, 0.1)
        return loss


class Remembering(Plain):
    """Feeds what a recurrent layer said of one batch into the next."""

    def __init__(self) -> None:
        super().__init__()
        self.network = nn.GRUCell(4, 1)
        self.hidden = torch.zeros(4, 1)

    def loss(self, batch: Batch) -> Tensor:
        x, y = batch
        hidden = self.network(x[:4], self.hidden)
        if self.training:
            self.hidden = hidden.detach()
        return nn.functional.mse_loss(hidden, y[:4])


class Replaying(Plain):
    """Trains on earlier batches too, from a buffer that it draws from."""

    def __init__(self) -> None:
        super().__init__()
        self.replay: deque[Batch] = deque(maxlen=5)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        self.replay.append(batch)
        return self.loss(batch) + self.loss(random.choice(self.replay))


class Tracking(Plain):
    """Logs the best of its epochs, by torchmetrics' MetricTracker."""

    def __init__(self) -> None:
        super().__init__()
        self.tracker = MetricTracker(MeanSquaredError(), maximize=False)

    def on_validation_epoch_start(self) -> None:
        self.tracker.increment()

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        super().validation_step(batch, batch_idx)
        self.tracker.update(self.network(batch[0]), batch[1])

    def on_validation_epoch_end(self) -> None:
        self.log("val/best", float(self.tracker.best_metric()))  # type: ignore[arg-type]


class Extremes(Plain):
    """Logs the least and the largest error so far, and a mean over a window of steps."""

    def __init__(self) -> None:
        super().__init__()
        self.extremes = MinMaxMetric(MeanSquaredError())
        self.running = RunningMean(window=5)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        loss = self.loss(batch)
        self.running.update(loss.detach())
        self.log("train/running", self.running.compute())
        return loss

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        super().validation_step(batch, batch_idx)
        self.extremes.update(self.network(batch[0]), batch[1])

    def on_validation_epoch_end(self) -> None:
        found = self.extremes.compute()
        self.log("val/least", found["min"])
        self.log("val/most", found["max"])
        self.extremes._base_metric.reset()


class OwnCount(Metric):
    """Counts batches in a plain attribute, which no state of a metric is."""

    full_state_update = False

    def __init__(self) -> None:
        super().__init__()
        self.batches = 0

    def update(self, value: Tensor) -> None:
        self.batches += 1

    def compute(self) -> Tensor:
        return torch.tensor(float(self.batches))


class CountingByMetric(Plain):
    """Logs a metric that forgets."""

    def __init__(self) -> None:
        super().__init__()
        self.count = OwnCount()

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        self.count.update(batch[0])
        self.log("train/count", self.count.compute())
        return self.loss(batch)


class Quantized(Plain):
    """Trains for int8 weights, by torch's quantization-aware training."""

    def __init__(self) -> None:
        super().__init__()
        network = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1)).train()
        network.qconfig = torch.ao.quantization.get_default_qat_qconfig("x86")
        self.network = torch.ao.quantization.prepare_qat(network)


class Unseeded(Plain):
    """Draws from a generator that nobody seeds."""

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        return self.loss([batch[0] * random.SystemRandom().random(), batch[1]])


def points(seed: int = 0) -> tuple[Tensor, Tensor]:
    """Points (64, 4) and their sums (64, 1)."""
    x = torch.randn(64, 4, generator=torch.Generator().manual_seed(seed))
    return x, x.sum(dim=1, keepdim=True)


class Data(LightningDataModule):
    """Sixteen batches of four, from a loader that keeps its position."""

    def train_dataloader(self) -> Any:
        return StatefulDataLoader(TensorDataset(*points()), 4, shuffle=True)

    def val_dataloader(self) -> Any:
        return DataLoader(TensorDataset(*points(1)), 16)


class TorchsOwn(Data):
    """From a loader that keeps no position."""

    def train_dataloader(self) -> Any:
        return DataLoader(TensorDataset(*points()), 4, shuffle=True)


class Stream(IterableDataset[Batch]):
    """Points one after another, without a length."""

    def __iter__(self) -> Iterator[Batch]:
        return (list(pair) for pair in zip(*points(), strict=True))


class StatefulStream(Stream):
    """A stream that knows where it is, as Hugging Face's iterable data sets do."""

    def __init__(self) -> None:
        self.position = self.begin = 0

    def __iter__(self) -> Iterator[Batch]:
        begin, self.begin = self.begin, 0
        for self.position, pair in enumerate(
            itertools.islice(zip(*points(), strict=True), begin, None), start=begin + 1
        ):
            yield list(pair)

    def state_dict(self) -> dict[str, int]:
        return {"position": self.position}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.begin = state["position"]


class Streamed(Data):
    """A stream, from a loader that keeps its position."""

    def __init__(self, stateful: bool = False) -> None:
        super().__init__()
        self.stateful = stateful

    def train_dataloader(self) -> Any:
        return StatefulDataLoader(StatefulStream() if self.stateful else Stream(), 4)


class Moved(Dataset[Batch]):
    """Points moved by a generator of the data set's own."""

    def __init__(self) -> None:
        self.pairs = points()
        self.generator = torch.Generator().manual_seed(7)

    def __len__(self) -> int:
        return 64

    def __getitem__(self, index: int) -> Batch:
        x, y = (part[index] for part in self.pairs)
        return [x + torch.randn(4, generator=self.generator), y]


class MovedData(Data):
    """From a data set with a generator of its own."""

    def train_dataloader(self) -> Any:
        return StatefulDataLoader(Moved(), 4, shuffle=True)


class Mixer:
    """Puts a batch together, and moves it by a generator of its own."""

    def __init__(self) -> None:
        self.generator = torch.Generator().manual_seed(7)

    def __call__(self, pairs: list[Batch]) -> Batch:
        x, y = (torch.stack(part) for part in zip(*pairs, strict=True))
        return [x + torch.randn(x.shape, generator=self.generator), y]


class MixedData(Data):
    """From a loader whose collate function has a generator of its own."""

    def train_dataloader(self) -> Any:
        return StatefulDataLoader(TensorDataset(*points()), 4, shuffle=True, collate_fn=Mixer())


class OwnSampler(RandomSampler):
    """Draws the order from a generator that it does not show."""

    def __init__(self, data: Any) -> None:
        super().__init__(data)
        self.own = random.Random(7)

    def __iter__(self) -> Iterator[int]:
        order = list(range(64))
        self.own.shuffle(order)
        return iter(order)


class SampledData(Data):
    """From a loader whose sampler has a generator of its own."""

    def train_dataloader(self) -> Any:
        data = TensorDataset(*points())
        return StatefulDataLoader(data, 4, sampler=OwnSampler(data))


class WorkedData(Data):
    """From workers that live on, each with random numbers of its own."""

    def train_dataloader(self) -> Any:
        return DataLoader(Moved(), 4, num_workers=1, persistent_workers=True)
