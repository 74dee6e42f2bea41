"""Stops a run on a signal so that it can be resumed from the very batch."""

from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer

from convblocks.errors import Stopped
from convblocks.training import signals, slurm
from convblocks.training.resume import ExactResume


class Preemption(ExactResume):
    """At the end of the batch in which a signal came, all processes save and stop; SIGUSR1 also requeues the job.

    Lightning's own handlers save and broadcast wherever each process happens to be, which can deadlock. One callback
    with what makes the resume exact, since Lightning asks each one some ten times a step.

    Args:
        checkpoint: Where to save.
        threads: CPU threads of each process.
    """

    def __init__(self, checkpoint: Path, threads: int) -> None:
        super().__init__(threads)
        self.checkpoint = checkpoint
        self._saved_on = 0  # the signal on which it has saved

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        super().on_train_start(trainer, pl_module)
        signals.install()  # Lightning has put handlers of its own in their place by now

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)
        # After an epoch's last batch its evaluation follows, and its checkpoint: the run stops there instead. Gradients
        # that wait for more to be added are in no checkpoint.
        stepped = (batch_idx + 1) % trainer.accumulate_grad_batches == 0
        if stepped and not trainer.is_last_batch and (number := self._agreed_signal(trainer)):
            trainer.save_checkpoint(self.checkpoint)
            self._saved_on = number

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        super().on_validation_end(trainer, pl_module)
        # Within an epoch: anew, or the evaluation would be in no checkpoint, and on a resume Lightning skips it.
        if self._saved_on:
            trainer.save_checkpoint(self.checkpoint)

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        # Not right after saving: Lightning writes the metrics of a step once all callbacks have seen its end.
        if self._saved_on:
            self._stop(trainer, self._saved_on)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        # Not at the epoch's end, since the checkpoint is written only after all callbacks have seen that.
        if trainer.current_epoch > 0 and (number := self._agreed_signal(trainer)):
            self._stop(trainer, number)

    def _agreed_signal(self, trainer: Trainer) -> int:
        """The signal that any process received; every process gets the same answer."""
        number = signals.received()
        if trainer.world_size == 1:
            return number
        highest = torch.tensor(number, device=trainer.strategy.root_device)
        return int(trainer.strategy.reduce(highest, reduce_op="max"))

    def _stop(self, trainer: Trainer, number: int) -> None:
        if number == signals.REQUEUE and trainer.is_global_zero:
            slurm.requeue()
        message = f"stopped after step {trainer.global_step}: carry on with --resume"
        raise Stopped(number, message if trainer.is_global_zero else "")
