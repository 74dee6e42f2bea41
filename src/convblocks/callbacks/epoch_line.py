"""Prints how training goes."""

from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from convblocks.callbacks.history import EpochHistory


class EpochLine(Callback):
    """Prints a line an epoch and, as the course's notebook does, the loss every few batches if asked to.

    Args:
        history: The rows to print from.
        running_loss_every: Also print the loss of the current batch every that many batches, if not None.
    """

    def __init__(self, history: EpochHistory, running_loss_every: int | None) -> None:
        self.history = history
        self.running_loss_every = running_loss_every

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        every = self.running_loss_every
        if every and trainer.is_global_zero and (batch_idx + 1) % every == 0:
            batch_of = f"batch {batch_idx + 1}/{trainer.num_training_batches}"
            show(trainer, f"epoch {trainer.current_epoch + 1}  {batch_of}  loss {outputs['loss']:.4f}")

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.is_global_zero:
            row = self.history.rows[-1]
            parts = [f"epoch {row['epoch']}/{trainer.max_epochs}"]
            for split in ("train", "val", "test"):
                if f"{split}/loss" in row:
                    parts.append(f"{split} loss {row[f'{split}/loss']:.4f} acc {100 * row[f'{split}/acc']:5.2f} %")
            parts.append(f"{row['seconds']:.1f} s")
            show(trainer, "  ".join(parts))


def show(trainer: Trainer, line: str) -> None:
    """Print a line, above the progress bar where there is one."""
    if trainer.progress_bar_callback is None:
        print(line, flush=True)
    else:
        trainer.progress_bar_callback.print(line)
