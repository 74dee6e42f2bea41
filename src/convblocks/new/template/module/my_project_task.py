"""The task: a table that this program draws, and a network that learns it. Replace both
with your own.
"""

from typing import Any

import torch
from lightning import LightningDataModule, LightningModule
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset, random_split

COLUMNS = 8


class MyProjectData(LightningDataModule):
    """2,000 rows of numbers (N, COLUMNS) with answers of 0 or 1 (N, 1) to train on, 500
    to validate, 500 to test.
    """

    def __init__(self, batch_size: int = 32) -> None:
        super().__init__()
        self.batch_size = batch_size
        # The same rows in each process, and when a run is resumed.
        random = torch.Generator().manual_seed(0)
        # Your own table:
        #     table = numpy.loadtxt("table.csv", delimiter=",", dtype="float32")
        #     rows = torch.from_numpy(table)
        rows = torch.randn(3000, COLUMNS, generator=random)
        answers = (rows[:, :1] + rows[:, 1:2] * rows[:, 2:3] > 0).float()
        self.train, self.val, self.test = random_split(
            TensorDataset(rows, answers), [2000, 500, 500], random
        )

    def train_dataloader(self) -> DataLoader[Any]:
        return DataLoader(self.train, self.batch_size, shuffle=True)

    def val_dataloader(self) -> DataLoader[Any]:
        return DataLoader(self.val, self.batch_size)

    def test_dataloader(self) -> DataLoader[Any]:
        return DataLoader(self.test, self.batch_size)


class MyProjectModule(LightningModule):
    """A network with one hidden layer of ``width`` units, trained by Adam."""

    # The metric that chooses the best checkpoint, and compares runs: the highest accuracy,
    # in per cent.
    judge = "val/acc:max:%"

    def __init__(self, width: int = 32, lr: float = 0.01) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.layers = nn.Sequential(nn.Linear(COLUMNS, width), nn.ReLU(), nn.Linear(width, 1))

    def forward(self, rows: Tensor) -> Tensor:
        logits: Tensor = self.layers(rows)  # (B, COLUMNS) -> (B, 1)
        return logits

    def measure(self, batch: list[Tensor], split: str) -> Tensor:
        """The loss of a batch, logged with its accuracy."""
        rows, answers = batch
        logits = self(rows)
        loss = nn.functional.binary_cross_entropy_with_logits(logits, answers)
        accuracy = ((logits > 0) == (answers > 0)).float().mean()
        self.log_dict(
            {f"{split}/loss": loss, f"{split}/acc": accuracy}, on_step=False, on_epoch=True
        )
        return loss

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        return self.measure(batch, "train")

    def validation_step(self, batch: list[Tensor], batch_idx: int) -> None:
        self.measure(batch, "val")

    def test_step(self, batch: list[Tensor], batch_idx: int) -> None:
        self.measure(batch, "test")

    def predict_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        """The probability that the answer is 1, of each row: (B, 1)."""
        rows, _ = batch
        logits: Tensor = self(rows)
        return logits.sigmoid()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), self.hparams["lr"])
