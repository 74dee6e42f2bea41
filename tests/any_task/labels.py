"""Several labels at once, from torchdata's StatefulDataLoader with a worker process; a schedule over all steps."""

from typing import Any

import torch
from lightning import LightningDataModule, LightningModule
from torch import Tensor, nn
from torch.utils.data import Dataset
from torchdata.stateful_dataloader import StatefulDataLoader
from torchmetrics import MetricCollection
from torchmetrics.classification import MultilabelAccuracy, MultilabelF1Score

LABELS = 4
Pair = tuple[Tensor, Tensor]


class Tagger(LightningModule):
    """A network with one output for each label, judged by val/MultilabelF1Score."""

    def __init__(self, width: int = 32, lr: float = 0.02) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.network = nn.Sequential(nn.Linear(8, width), nn.ReLU(), nn.Dropout(0.2), nn.Linear(width, LABELS))
        scores = MetricCollection([MultilabelF1Score(LABELS), MultilabelAccuracy(LABELS)])
        self.train_scores, self.val_scores = scores.clone("train/"), scores.clone("val/")

    def training_step(self, batch: Pair, batch_idx: int) -> Tensor:
        logits = self.network(batch[0])
        loss = nn.functional.binary_cross_entropy_with_logits(logits, batch[1].float())
        self.train_scores.update(logits, batch[1])
        self.log_dict(self.train_scores, on_step=False, on_epoch=True)
        self.log("train/loss", loss, on_step=True, on_epoch=True)
        return loss

    def validation_step(self, batch: Pair, batch_idx: int) -> None:
        self.val_scores.update(self.network(batch[0]), batch[1])
        self.log_dict(self.val_scores)

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.AdamW(self.parameters(), self.hparams["lr"])
        steps = int(self.trainer.estimated_stepping_batches)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


class Tagged(Dataset[Pair]):
    """Numbers with noise that is drawn anew each time, and the signs of sums of some of them."""

    def __init__(self, count: int) -> None:
        self.numbers = torch.randn(count, 8, generator=torch.Generator().manual_seed(count))

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, index: int) -> Pair:
        numbers = self.numbers[index]
        return numbers + 0.1 * torch.randn(8), (numbers.view(LABELS, 2).sum(dim=1) > 0).long()

    def state_dict(self) -> dict[str, Tensor]:
        """Of the worker process: torchdata asks it after each batch."""
        return {"generator": torch.get_rng_state()}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        torch.set_rng_state(state["generator"])


class Tags(LightningDataModule):
    """Training data from a worker process."""

    def train_dataloader(self) -> StatefulDataLoader[Pair]:
        return StatefulDataLoader(Tagged(320), 16, shuffle=True, num_workers=1)

    def val_dataloader(self) -> StatefulDataLoader[Pair]:
        return StatefulDataLoader(Tagged(128), 64)
