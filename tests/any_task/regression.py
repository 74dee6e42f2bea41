"""A curve through noisy points, from torch's own DataLoader, which keeps no position."""

from typing import Any

import torch
from lightning import LightningDataModule, LightningModule
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset
from torchmetrics import MeanSquaredError

Pair = tuple[Tensor, Tensor]


class Curve(LightningModule):
    """A small network with dropout, judged by val/rmse."""

    def __init__(self, hidden: int = 16, lr: float = 0.01) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.network = nn.Sequential(
            nn.Linear(1, hidden), nn.Tanh(), nn.Dropout(0.1), nn.Linear(hidden, 1)
        )
        self.rmse = MeanSquaredError(squared=False)

    def training_step(self, batch: Pair, batch_idx: int) -> Tensor:
        x, y = batch
        loss = nn.functional.mse_loss(self.network(x), y)
        self.log("train/loss", loss, on_step=False, on_epoch=True)
        return loss

    def validation_step(self, batch: Pair, batch_idx: int) -> None:
        self.rmse(self.network(batch[0]), batch[1])
        self.log("val/rmse", self.rmse)

    def test_step(self, batch: Pair, batch_idx: int) -> None:
        self.rmse(self.network(batch[0]), batch[1])
        self.log("test/rmse", self.rmse)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), self.hparams["lr"])


class Line(Curve):
    """A straight line, which fits worse."""

    def __init__(self, lr: float = 0.01) -> None:
        super().__init__(lr=lr)
        self.network = nn.Sequential(nn.Linear(1, 1))


class Points(LightningDataModule):
    """Points of a sine."""

    def __init__(self, noise: float = 0.1) -> None:
        super().__init__()
        self.noise = noise

    def points(self, seed: int) -> TensorDataset:
        random = torch.Generator().manual_seed(seed)
        x = 6 * torch.rand(256, 1, generator=random) - 3
        return TensorDataset(x, x.sin() + self.noise * torch.randn(256, 1, generator=random))

    def train_dataloader(self) -> DataLoader[Any]:
        return DataLoader(self.points(0), 16, shuffle=True)

    def val_dataloader(self) -> DataLoader[Any]:
        return DataLoader(self.points(1), 64)

    def test_dataloader(self) -> DataLoader[Any]:
        return DataLoader(self.points(2), 64)
