"""Ends a run whose loss or weights are no longer finite."""

from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from convblocks.run.metrics_log import ends_logged_step
from convblocks.run.process_state import steps_done


class Divergence(Callback):
    """Ends a run whose loss, at a step that the Trainer logs, or weights, at the end of an epoch, are infinite or nan.

    Not at every step: the CPU would wait for the device.

    Args:
        every_n_steps: The Trainer's ``log_every_n_steps``.

    Attributes:
        step: The step after which the run diverged; None if it has not.
    """

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
