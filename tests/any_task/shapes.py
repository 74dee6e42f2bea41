"""Segmentation of drawn shapes, which NumPy's and Python's global generators move."""

import random

import numpy as np
import torch
from lightning import LightningDataModule, LightningModule
from torch import Tensor, nn
from torch.utils.data import Dataset, DistributedSampler
from torchdata.stateful_dataloader import StatefulDataLoader
from torchmetrics.classification import BinaryJaccardIndex

SIZE = 24
Pair = tuple[Tensor, Tensor]


class Segmenter(LightningModule):
    """Two convolutions with batch normalisation, judged by val/iou."""

    def __init__(self, channels: int = 8, lr: float = 0.02) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.network = nn.Sequential(
            nn.Conv2d(1, channels, 3, padding=1),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            nn.Conv2d(channels, 1, 3, padding=1),
        )
        self.iou = BinaryJaccardIndex()

    def training_step(self, batch: Pair, batch_idx: int) -> Tensor:
        images, masks = batch
        loss = nn.functional.binary_cross_entropy_with_logits(self.network(images), masks)
        self.log("train/loss", loss, on_step=False, on_epoch=True)
        return loss

    def validation_step(self, batch: Pair, batch_idx: int) -> None:
        self.iou.update(self.network(batch[0]), batch[1].long())
        self.log("val/iou", self.iou)

    def test_step(self, batch: Pair, batch_idx: int) -> None:
        self.iou.update(self.network(batch[0]), batch[1].long())
        self.log("test/iou", self.iou)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), self.hparams["lr"], momentum=0.9)


class Drawn(Dataset[Pair]):
    """Noisy images (1, 24, 24) with a rectangle, and the masks of the rectangles; moved
    where they are for training.
    """

    def __init__(self, count: int, seed: int, moves: bool) -> None:
        self.boxes = np.random.default_rng(seed).integers(4, 12, size=(count, 4))
        self.moves = moves

    def __len__(self) -> int:
        return len(self.boxes)

    def __getitem__(self, index: int) -> Pair:
        top, left, height, width = self.boxes[index]
        mask = torch.zeros(1, SIZE, SIZE)
        mask[:, top : top + height, left : left + width] = 1
        image = mask + 0.5 * torch.randn(SIZE, SIZE, generator=torch.Generator().manual_seed(index))
        if self.moves:
            image = image * random.uniform(0.8, 1.2) + np.random.normal(scale=0.1)
            if random.random() < 0.5:
                image, mask = image.flip(-1), mask.flip(-1)
        return image.float(), mask


class Shapes(LightningDataModule):
    """Rectangles."""

    def train_dataloader(self) -> StatefulDataLoader[Pair]:
        return StatefulDataLoader(Drawn(160, 0, moves=True), 8, shuffle=True)

    def val_dataloader(self) -> StatefulDataLoader[Pair]:
        return StatefulDataLoader(Drawn(64, 1, moves=False), 32)

    def test_dataloader(self) -> StatefulDataLoader[Pair]:
        return StatefulDataLoader(Drawn(64, 2, moves=False), 32)


class Shared(Shapes):
    """More of them, which the processes share: Lightning cannot give torchdata's loader
    a sampler.
    """

    def train_dataloader(self) -> StatefulDataLoader[Pair]:
        drawn = Drawn(800, 0, moves=True)
        return StatefulDataLoader(drawn, 8, sampler=DistributedSampler(drawn))
