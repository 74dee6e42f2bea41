"""Ends a run whose loss or weights are no longer finite."""

import math
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from convblocks.model.classifier import ImageClassifier
from convblocks.run.metrics_log import ends_logged_step
from convblocks.run.process_state import steps_done
from convblocks.run.resume import callbacks_of


class Divergence(Callback):
    """Ends a run whose loss, at a step that the Trainer logs, or weights, at the end of an epoch, are infinite or nan.

    Args:
        every_n_steps: The Trainer's ``log_every_n_steps``.
    """

    what = "the loss or a weight"

    def __init__(self, every_n_steps: int) -> None:
        self.every_n_steps = every_n_steps
        self.step: int | None = None

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if ends_logged_step(trainer, batch_idx, self.every_n_steps):
            loss = outputs.get("loss") if isinstance(outputs, dict) else outputs  # None with manual optimization
            self._stop_if(isinstance(loss, Tensor) and not bool(loss.isfinite().all()), trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._stop_if(not all(bool(weights.isfinite().all()) for weights in pl_module.parameters()), trainer)

    def state_dict(self) -> dict[str, Any]:
        return {"step": self.step}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.step = state_dict["step"]

    def _stop_if(self, diverged: bool, trainer: Trainer) -> None:
        if trainer.strategy.reduce_boolean_decision(diverged, all=False) and self.step is None:
            self.step = steps_done(trainer)
            trainer.should_stop = True


class LossDivergence(Divergence):
    """Finds the step after which a classifier's loss was infinite or nan, and ends the run soon after.

    Checks only when the loss is read anyway, at the steps that the Trainer logs, and at the end of an epoch: checking
    every step would make the CPU wait for the device.
    """

    what = "the loss"

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if ends_logged_step(trainer, batch_idx, self.every_n_steps):
            self._note_if(not _are_finite(trainer, "train/loss_step"), trainer, pl_module)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        assert isinstance(pl_module, ImageClassifier)
        diverged = bool(~torch.isfinite(pl_module.train_metrics.loss_sum))
        self._note_if(trainer.strategy.reduce_boolean_decision(diverged, all=False), trainer, pl_module)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.sanity_checking or _are_finite(trainer, "val/loss", "test/loss"):
            return
        self.on_train_epoch_end(trainer, pl_module)
        if self.step is None:  # the very last step diverged: no training loss shows it
            self.step = trainer.global_step
            trainer.should_stop = True

    def _note_if(self, diverged: bool, trainer: Trainer, pl_module: LightningModule) -> None:
        if not diverged or self.step is not None:
            return
        assert isinstance(pl_module, ImageClassifier)
        finite = pl_module.train_metrics.finite.to(pl_module.device)  # batches of this epoch, in each process
        first_diverged = 1 + int(-trainer.strategy.reduce(-finite, reduce_op="max"))
        seen = trainer.fit_loop.epoch_loop.batch_progress.current.ready
        per_step = trainer.accumulate_grad_batches
        steps_since = math.ceil(seen / per_step) - math.ceil(first_diverged / per_step)
        self.step = trainer.global_step - steps_since - 1
        trainer.should_stop = True


def _are_finite(trainer: Trainer, *metrics: str) -> bool:
    """Whether these metrics are finite, if logged; they are equal in all processes."""
    return all(math.isfinite(trainer.callback_metrics.get(name, 0)) for name in metrics)


def diverged_at(trainer: Trainer) -> int | None:
    """The step after which the loss was no longer finite, if any."""
    steps: list[int | None] = [callback.step for callback in callbacks_of(trainer, Divergence)]
    return steps[0] if steps else None
