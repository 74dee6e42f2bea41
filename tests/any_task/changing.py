"""Modules that change in training what Lightning's checkpoints lack, or in hooks of
their own what they hold.
"""

import random
from collections import deque
from enum import IntEnum
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from tests.any_task.kinds import Plain


class ChangedInHooks(Plain):
    """Keeps an average of the weights, steps a schedule and changes weights in its own
    hooks, which come last.
    """

    def __init__(self) -> None:
        super().__init__()
        self.average = AveragedModel(self.network)

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        self.average.update_parameters(self.network)
        self.schedule.step()

    def on_validation_end(self) -> None:
        with torch.no_grad():
            self.network.get_parameter("0.bias").mul_(0.9)

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.Adam(self.network.parameters(), self.lr)
        self.schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.9)
        schedule = {"scheduler": self.schedule, "interval": "epoch", "frequency": 99}
        return {"optimizer": optimizer, "lr_scheduler": schedule}


class Steps:
    """A number of steps."""

    done = 0


class Counting(Plain):
    """Counts its steps in an object, for nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.steps = Steps()

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        self.steps.done += 1
        return super().training_step(batch, batch_idx)


class Scheduled(Plain):
    """Sets attributes, and freezes a layer, at the start of each epoch."""

    def on_train_epoch_start(self) -> None:
        self.strength = 0.5**self.current_epoch
        self.network.get_parameter("0.weight").requires_grad_(self.current_epoch % 2 == 0)
        self.losses: list[Tensor] = []

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        loss = super().training_step(batch * self.strength, batch_idx)
        self.losses.append(loss.detach())
        return loss

    def on_train_epoch_end(self) -> None:
        self.log("train/mean", torch.stack(self.losses).mean())


class Taught(Plain):
    """Has a teacher that follows it, hidden in a list."""

    def __init__(self) -> None:
        super().__init__()
        self.teachers = [nn.Linear(4, 1)]

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        (teacher,) = self.teachers
        loss = nn.functional.mse_loss(self.network(batch), teacher(batch).detach())
        with torch.no_grad():
            teacher.weight.lerp_(self.network.get_parameter("2.weight"), 0.1)
        return loss + super().training_step(batch, batch_idx)


class Replaying(Plain):
    """Trains on earlier batches too, from a buffer that it draws from."""

    def __init__(self) -> None:
        super().__init__()
        self.replay: deque[Tensor] = deque(maxlen=5)

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        self.replay.append(batch)
        return super().training_step(random.choice(self.replay), batch_idx)


class Phase(IntEnum):
    """Of a training."""

    EARLY = 1
    LATE = 2


class Numbered(Plain):
    """Has a number of NumPy's, and one of an Enum, which it sets at each epoch."""

    def __init__(self) -> None:
        super().__init__()
        self.scale, self.scales = np.float64(1), {np.float64(1): [np.float64(1)]}

    def on_train_epoch_start(self) -> None:
        self.phase = Phase.LATE if self.current_epoch else Phase.EARLY

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        self.scale *= np.float64(0.95)
        self.scales = {self.scale: [self.scale]}
        ((scale, _),) = self.scales.items()
        return super().training_step(batch * self.scale * scale, batch_idx)


class Unseeded(Plain):
    """Draws numbers that nobody can repeat."""

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        return super().training_step(batch * random.SystemRandom().random(), batch_idx)


class Drawing(Plain):
    """Draws a random number in the hooks before the first batch of an epoch."""

    def on_train_start(self) -> None:
        self.trace = torch.rand(())

    def on_train_epoch_start(self) -> None:
        self.trace = torch.rand(())
