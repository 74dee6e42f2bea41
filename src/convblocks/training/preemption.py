"""Stops a run on a signal so that it can be resumed from the very batch."""

from pathlib import Path
from signal import SIGUSR1
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from convblocks.errors import Stopped
from convblocks.training import signals, slurm


class Preemption(Callback):
    """At the end of the batch in which a signal came, all processes save and stop; SIGUSR1 also requeues the job.

    Lightning's own handlers save and broadcast wherever each process happens to be, which can deadlock. The state of
    torch's random generators goes into every checkpoint and is restored last, so that a network that draws random
    numbers, for dropout say, goes on as if nothing had happened.

    Args:
        checkpoint: Where to save.
    """

    def __init__(self, checkpoint: Path) -> None:
        self.checkpoint = checkpoint
        self._random_states: dict[str, Tensor] = {}
        self._saved_on = 0  # the signal on which it has saved

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        signals.install()  # Lightning has put handlers of its own in their place by now
        if self._random_states:
            torch.set_rng_state(self._random_states["cpu"])
            if "cuda" in self._random_states and torch.cuda.is_available():
                torch.cuda.set_rng_state(self._random_states["cuda"])

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        # After an epoch's last batch its evaluation follows, and its checkpoint: the run stops there instead. Gradients
        # that wait for more to be added are in no checkpoint.
        stepped = (batch_idx + 1) % trainer.accumulate_grad_batches == 0
        if stepped and not trainer.is_last_batch and (number := self._agreed_signal(trainer)):
            trainer.save_checkpoint(self.checkpoint)
            self._saved_on = number

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        # Not right after saving: Lightning writes the metrics of a step once all callbacks have seen its end.
        if self._saved_on:
            self._stop(trainer, self._saved_on)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        # Not at the epoch's end, since the checkpoint is written only after all callbacks have seen that.
        if trainer.current_epoch > 0 and (number := self._agreed_signal(trainer)):
            self._stop(trainer, number)

    def state_dict(self) -> dict[str, Any]:
        states = {"cpu": torch.get_rng_state()}
        if torch.cuda.is_available() and torch.cuda.is_initialized():
            states["cuda"] = torch.cuda.get_rng_state()
        return states

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._random_states = state_dict

    def _agreed_signal(self, trainer: Trainer) -> int:
        """The signal that any process received; every process gets the same answer."""
        number = signals.received()
        if trainer.world_size == 1:
            return number
        highest = torch.tensor(number, device=trainer.strategy.root_device)
        return int(trainer.strategy.reduce(highest, reduce_op="max"))

    def _stop(self, trainer: Trainer, number: int) -> None:
        if number == SIGUSR1 and trainer.is_global_zero:
            slurm.requeue()
        message = f"stopped after step {trainer.global_step}: carry on with --resume"
        raise Stopped(number, message if trainer.is_global_zero else "")
