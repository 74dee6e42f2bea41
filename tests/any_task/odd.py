"""A module and loaders in which much is unusual, for exact resume."""

from typing import Any

import torch
from lightning import LightningDataModule, LightningModule
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset
from torchdata.stateful_dataloader import StatefulDataLoader

Batch = list[Tensor]


class Seldom(LightningModule):
    """Logs some values now and then, and steps its two optimizers after every third batch."""

    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.network = nn.Linear(4, 1)

    def on_train_epoch_start(self) -> None:
        self.log("train/start", torch.rand(()))

    def training_step(self, batch: Batch, batch_idx: int) -> None:
        loss = self.network(batch[0]).square().mean()
        if batch_idx == 0:
            self.log("train/first", loss, on_step=True, on_epoch=True)
        self.log("train/most", loss, on_step=False, on_epoch=True, reduce_fx="max")
        self.manual_backward(loss)
        if batch_idx % 3 == 2:
            optimizers: Any = self.optimizers()
            for optimizer in optimizers:
                optimizer.step()
                optimizer.zero_grad()

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        self.log("val/size", self.network(batch[0]).square().mean())

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        return [
            torch.optim.Adam([self.network.weight], 0.01),
            torch.optim.SGD([self.network.bias], 0.1),
        ]


class Cut(LightningDataModule):
    """Loaders with generators of their own, which ``limit_train_batches`` leaves before
    they end.
    """

    def __init__(self, stateful: bool = True) -> None:
        super().__init__()
        self.stateful = stateful
        self.points = TensorDataset(torch.randn(200, 4, generator=torch.Generator().manual_seed(0)))

    def train_dataloader(self) -> Any:
        kind = StatefulDataLoader if self.stateful else DataLoader
        return kind(self.points, 5, shuffle=True, generator=torch.Generator().manual_seed(1))

    def val_dataloader(self) -> DataLoader[Any]:
        return DataLoader(self.points, 100)
