"""Writes the curves that TensorBoard shows."""

from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from convblocks.callbacks.history import EpochHistory


class Curves(Callback):
    """Logs loss and learning rate every few steps, and the history's row after every epoch.

    Lightning's own ``self.log`` would write an epoch's metrics after the epoch's checkpoint: a run killed between the
    two would resume without them, and leave a hole in its curve. The x axis counts finished optimizer steps.

    Args:
        history: The rows to log.
        every_n_steps: How many optimizer steps lie between two points of the step-wise curves.
    """

    def __init__(self, history: EpochHistory, every_n_steps: int) -> None:
        self.history = history
        self.every_n_steps = every_n_steps

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if trainer.logger and trainer.global_step % self.every_n_steps == 0:
            loss = trainer.strategy.reduce(outputs["loss"].detach(), reduce_op="mean")  # collective: on every process
            learning_rate = trainer.optimizers[0].param_groups[0]["lr"]
            scalars = {"train/loss_step": float(loss), "train/lr": learning_rate}
            trainer.logger.log_metrics(scalars, step=trainer.global_step)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.logger:
            scalars = {name: value for name, value in self.history.rows[-1].items() if name != "step"}
            trainer.logger.log_metrics(scalars, step=trainer.global_step)
            trainer.logger.save()
