"""Trainings of plain Trainers, with and without ExactResume, by torch's and torchdata's
loaders.
"""

import os
import random
import signal
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer, seed_everything
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, TensorDataset
from torchdata.stateful_dataloader import StatefulDataLoader

from exact_resume import ExactResume, Stopped
from lab.benchmarks.harness import Turns
from lab.benchmarks.rows import single_row

Item = tuple[Tensor, Tensor]

# Of a turn, and how many of its first ones are not measured.
STEPS, FIRST = 400, 50

# How each way loads.
LOADERS: dict[str, Callable[..., Any]] = {
    "no workers": partial(DataLoader, num_workers=0),
    "2 workers": partial(DataLoader, num_workers=2),
    "StatefulDataLoader": StatefulDataLoader,
}


class Classifier(LightningModule):
    """Any network for images of ten classes."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def training_step(self, batch: Item, batch_idx: int) -> Tensor:
        images, targets = batch
        return nn.functional.cross_entropy(self.network(images), targets)

    def configure_optimizers(self) -> Any:
        return torch.optim.Adam(self.parameters())


class Clock(Callback):
    """The seconds of a step, between two batches of the epoch."""

    def on_train_batch_start(self, *arguments: Any) -> None:
        if arguments[-1] == FIRST:
            self.began = time.perf_counter()

    def on_train_epoch_end(self, *_: Any) -> None:
        self.step = (time.perf_counter() - self.began) / (STEPS - FIRST)


def trainer(*callbacks: Callback, **settings: Any) -> Trainer:
    return Trainer(
        callbacks=[*callbacks],
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        **{"max_epochs": 1, "enable_checkpointing": bool(callbacks)} | settings,
    )


def steps(loader: str, with_it: bool, turns: Turns) -> None:
    """A turn: the seconds of a step of a small network on images in memory; those of a save
    at its end; and the size of the checkpoint.
    """
    images = torch.randn(64 * STEPS, 784)
    data = TensorDataset(images, torch.randint(10, (len(images),)))
    while True:
        turns.recv()
        seed_everything(0, verbose=False)
        clock = Clock()
        resume = [ExactResume("last.ckpt")] if with_it else []
        training = trainer(clock, *resume, enable_checkpointing=with_it)
        network = nn.Sequential(nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 10))
        training.fit(Classifier(network), LOADERS[loader](data, 64, shuffle=True))
        began = time.perf_counter()
        training.save_checkpoint("saved.ckpt")
        save = time.perf_counter() - began
        size = Path("saved.ckpt").stat().st_size
        turns.send(single_row(step=clock.step, save=save, bytes=size))


class Photographs(Dataset[Item]):
    """Decoded and cropped at random, by the worker that is asked."""

    def __init__(self, folder: Path, length: int) -> None:
        self.paths = sorted(folder.iterdir())
        self.length = length

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> Item:
        with Image.open(self.paths[index % len(self.paths)]) as picture:
            left, top = (random.randrange(side - 112) for side in picture.size)
            pixels = np.asarray(picture.crop((left, top, left + 112, top + 112)))
        return torch.from_numpy(pixels.transpose(2, 0, 1) / np.float32(255)), torch.tensor(
            index % 10
        )


class Stops(Callback):
    """Stops after so many batches of an epoch, and measures the time before the last."""

    keeps_own_state = True  # a resume would put back when the training began

    def __init__(self, batch: int) -> None:
        self.batch = batch

    def on_train_start(self, *_: Any) -> None:
        self.began = time.perf_counter()

    def on_train_batch_start(self, *arguments: Any) -> None:
        if arguments[-1] == self.batch - 1:
            self.seconds = time.perf_counter() - self.began
            os.kill(os.getpid(), signal.SIGTERM)


def convolutions() -> nn.Module:
    layers: list[nn.Module] = []
    for channels, more in ((3, 32), (32, 64), (64, 128)):
        layers += [nn.Conv2d(channels, more, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(128, 10))


def replay(folder: Path, batches: int, turns: Turns) -> None:
    """A turn: the seconds of training on half an epoch of photographs with two workers, and
    of a resume until the next batch is there.
    """
    while True:
        turns.recv()
        path = Path("last.ckpt")
        path.unlink(missing_ok=True)
        seconds = []
        for batch in (batches, batches + 1):
            seed_everything(0, verbose=False)
            stops, resume = Stops(batch), ExactResume(path)
            data = Photographs(folder, 2 * batches * 8)
            loader = DataLoader(data, 8, shuffle=True, num_workers=2)
            try:
                trainer(stops, resume).fit(
                    Classifier(convolutions()), loader, ckpt_path=resume.ckpt_path
                )
            except Stopped:
                seconds.append(stops.seconds)
        turns.send(single_row(training=seconds[0], replay=seconds[1]))
