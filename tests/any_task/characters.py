"""The next character of a text, by a small GRU with two optimizers that the module steps itself."""

import math

import torch
from lightning import LightningDataModule, LightningModule
from torch import Tensor, nn
from torch.utils.data import TensorDataset
from torchdata.stateful_dataloader import StatefulDataLoader

TEXT = "the cat sat on the mat and the dog sat on the log; " * 12
ALPHABET = sorted(set(TEXT))
LENGTH = 16
Batch = list[Tensor]


class Characters(LightningModule):
    """Embeddings by SGD, the rest by Adam; judged by val/bits for each character."""

    def __init__(self, hidden: int = 24, lr: float = 0.01) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.automatic_optimization = False
        self.embedding = nn.Embedding(len(ALPHABET), 8)
        self.gru = nn.GRU(8, hidden, batch_first=True)
        self.head = nn.Linear(hidden, len(ALPHABET))

    def loss(self, batch: Batch) -> Tensor:
        (codes,) = batch  # (B, LENGTH + 1)
        states, _ = self.gru(self.embedding(codes[:, :-1]))
        return nn.functional.cross_entropy(self.head(states).flatten(0, 1), codes[:, 1:].flatten())

    def training_step(self, batch: Batch, batch_idx: int) -> None:
        loss = self.loss(batch)
        optimizers = self.optimizers()
        assert isinstance(optimizers, list)
        for optimizer in optimizers:
            optimizer.zero_grad()
        self.manual_backward(loss)
        for optimizer in optimizers:
            optimizer.step()
        self.log("train_bits", loss / math.log(2), on_step=False, on_epoch=True)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        self.log("val/bits", self.loss(batch) / math.log(2))

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        others = [*self.gru.parameters(), *self.head.parameters()]
        return [torch.optim.SGD(self.embedding.parameters(), 0.1), torch.optim.Adam(others, self.hparams["lr"])]


class Text(LightningDataModule):
    """Pieces of the text."""

    def __init__(self) -> None:
        super().__init__()
        codes = torch.tensor([ALPHABET.index(character) for character in TEXT])
        self.pieces = codes.unfold(0, LENGTH + 1, 1)

    def train_dataloader(self) -> StatefulDataLoader[Batch]:
        return StatefulDataLoader(TensorDataset(self.pieces[:400]), 20, shuffle=True)

    def val_dataloader(self) -> StatefulDataLoader[Batch]:
        return StatefulDataLoader(TensorDataset(self.pieces[400:]), 100)
