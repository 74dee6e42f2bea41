"""What is measured once, and how the four ways to train report their times."""

import time
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn

from convblocks.model.networks import ARCHITECTURES

Variant = Literal["notebook", "lightning-plain", "bare", "barebones", "fit"]

# The variants that load and transform image by image.
LOADING_IMAGES: tuple[Variant, ...] = ("notebook", "lightning-plain")
Precision = Literal["32-true", "bf16-mixed"]
PRECISIONS: tuple[Precision, ...] = ("32-true", "bf16-mixed")

LEARNING_RATE = 1e-2
EVAL_BATCH_SIZE = 1000
SEED = 0

# Training steps before the clock starts, in every variant.
WARM_UP_STEPS = 100


@dataclass(frozen=True)
class Case:
    """One epoch of training and its evaluation.

    Args:
        variant: The way to train.
        arch: The network's name.
        precision: As Lightning calls it.
        batch_size: Images per step.
        workers: Processes that load images, for the variants of ``LOADING_IMAGES``.
        steps: Training steps of the epoch, and batches of its evaluation at most; None for all.
    """

    variant: Variant
    arch: str
    precision: Precision = "32-true"
    batch_size: int = 64
    workers: int = 0
    steps: int | None = None

    @property
    def warm_up_steps(self) -> int:
        return WARM_UP_STEPS if self.steps is None else min(self.steps, WARM_UP_STEPS)

    def network(self) -> nn.Module:
        """A fresh network, with the weights that ``fit.py --seed 0`` begins with."""
        torch.manual_seed(SEED)
        return ARCHITECTURES[self.arch]()

    def autocast(self) -> torch.autocast:
        """What bf16-mixed means outside Lightning; does nothing for 32-true."""
        return torch.autocast("cpu", torch.bfloat16, enabled=self.precision == "bf16-mixed")


@dataclass(frozen=True)
class Timing:
    """Seconds of the epoch's training steps, and of all else in the epoch: evaluation, logs, checkpoint."""

    training: float
    evaluation: float

    @property
    def epoch(self) -> float:
        return self.training + self.evaluation


class Stopwatch:
    """Hooks of a LightningModule that note when its last epoch began, was trained, and was over.

    They are called once an epoch, so that they cost the measured loop nothing.
    """

    def on_train_epoch_start(self) -> None:
        self.began = time.perf_counter()

    def on_validation_start(self) -> None:
        self.trained = time.perf_counter()

    def on_train_end(self) -> None:
        self.ended = time.perf_counter()

    def timing(self) -> Timing:
        return Timing(self.trained - self.began, self.ended - self.trained)
