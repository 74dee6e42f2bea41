"""Callbacks that show why a run fails: it diverges, or its units die."""

import math
import warnings
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from convblocks.data.module import ImageDataModule
from convblocks.model.classifier import ImageClassifier
from convblocks.model.dead_units import dead_shares
from convblocks.runs.collapse import DEAD
from convblocks.training.metrics_log import ends_logged_step
from convblocks.training.process_state import steps_done

# A unit is dead if it outputs 0 for each of this many images: the first of those that the run is evaluated on.
IMAGES = 1000

# In batches whose activations stay in the processor's cache, which saves a third of the time.
BATCH_SIZE = 100


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


class DeadUnits(Callback):
    """Logs the share of dead units behind each ReLU, as ``dead/relu1`` and so on; nothing without ReLUs.

    Every process computes the same shares, from the same weights and images. Training is not affected.
    """

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        # Raised for every value logged without a reduction; these are the same in all processes.
        warnings.filterwarnings("ignore", message=rf"It is recommended to use `self.log\('{DEAD}")

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        assert isinstance(pl_module, ImageClassifier)
        data = trainer.datamodule  # type: ignore[attr-defined]  # Lightning sets it at run time
        if not trainer.sanity_checking:
            pl_module.log_dict(measure_dead_units(trainer, pl_module, data))


def measure_dead_units(trainer: Trainer, classifier: ImageClassifier, data: ImageDataModule) -> dict[str, float]:
    """The share of dead units behind each ReLU, as metrics.

    The images are always the same, however many the Trainer evaluates.
    """
    images = data.val.images[:IMAGES].split(min(BATCH_SIZE, data.eval_batch_size))
    precision = trainer.precision_plugin
    batches = (
        precision.convert_input(data.files.image_spec.normalize(batch.to(classifier.device))) for batch in images
    )
    with precision.forward_context():
        shares = dead_shares(classifier.network, batches)
    return {f"{DEAD}{relu}": share for relu, share in shares.items()}


def dead_units_in(metrics: dict[str, float]) -> dict[str, float]:
    """The shares of dead units among these metrics, by the name of the ReLU."""
    return {name.removeprefix(DEAD): share for name, share in metrics.items() if name.startswith(DEAD)}


def whole_percent(share: float) -> str:
    """A share in whole per cent; 0 % and 100 % only where these are exact."""
    rounded = round(100 * share)
    return f"{min(max(rounded, 1), 99) if 0 < share < 1 else rounded} %"
