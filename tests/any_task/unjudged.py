"""Modules without a judge: nothing to validate, or what many modules log."""

from typing import Any

import torch
from lightning import LightningModule
from torch import Tensor, nn

from tests.any_task.regression import Curve, Pair


class Adversaries(LightningModule):
    """Two networks with an optimizer each, trained by hand, that nothing evaluates."""

    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.network = nn.Linear(1, 1)
        self.critic = nn.Linear(1, 1)

    def training_step(self, batch: Pair, batch_idx: int) -> None:
        optimizers: Any = self.optimizers()
        drawn, critical = optimizers
        for name, optimizer, loss in (
            ("g_loss", drawn, self.critic(self.network(batch[0])).mean()),
            ("d_loss", critical, self.critic(batch[1]).square().mean()),
        ):
            optimizer.zero_grad()
            self.manual_backward(loss)
            optimizer.step()
            self.log(name, loss, on_step=False, on_epoch=True)

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        parts = (self.network, self.critic)
        return [torch.optim.Adam(part.parameters(), 0.01) for part in parts]


class Documented(Curve):
    """Logs the names of Lightning's documentation, and says nothing of a judge."""

    def training_step(self, batch: Pair, batch_idx: int) -> Tensor:
        loss = self._loss(batch)
        self.log("train_loss", loss, on_step=False, on_epoch=True)
        return loss

    def validation_step(self, batch: Pair, batch_idx: int) -> None:
        self.log("val_loss", self._loss(batch))

    def _loss(self, batch: Pair) -> Tensor:
        return nn.functional.mse_loss(self.network(batch[0]), batch[1])


class Named(Documented):
    """Says what is monitored, as torchgeo's tasks do."""

    monitor = "val_loss"
    mode = "min"


class Misnamed(Documented):
    """Says that something is monitored that it does not log."""

    monitor = "val_iou"
    mode = "max"


class Scaler:
    """An object."""

    def __init__(self, factor: float = 1.0) -> None:
        self.factor = factor


class Scaled(Documented):
    """Has an object among its hyper-parameters."""

    def __init__(self, scaler: Scaler, factor: float = 1.0) -> None:
        super().__init__()
        self.save_hyperparameters("scaler", "factor")


class Keeping(Documented):
    """Adds an object to its checkpoints, which it reads again."""

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["scaling"] = {"scaler": Scaler(2.0)}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        assert checkpoint["scaling"]["scaler"].factor == 2.0
