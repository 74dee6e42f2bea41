"""Stops a run on a signal so that it can be resumed from the very batch."""

import time
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor, distributed
from torch.distributed import ReduceOp

from convblocks.errors import Stopped
from convblocks.model.distributed import world_size
from convblocks.training import signals, slurm
from convblocks.training.resume import ExactResume

# Steps, and seconds, between two questions whether a signal came; the answer to one is read with the next.
MOST_STEPS = 10
SECONDS = 1.0


class AgreedSignal:
    """The signal that any of the processes received, in all of them after the same step, for which no step waits.

    Every few steps they send each other what they have received, and read it when they send again. It travels between
    processors also where the network trains on GPUs.
    """

    def __init__(self) -> None:
        self._group: Any = None
        if world_size() > 1 and distributed.get_backend() != "gloo":
            self._group = distributed.new_group(backend="gloo")
        self._sent: tuple[distributed.Work, Tensor] | None = None
        self._number = 0
        self._steps, self._interval, self._since = 0, 1, time.perf_counter()

    def after_step(self) -> int:
        """Its number, or 0; of several processes each must call this after every step."""
        if world_size() == 1:
            return signals.received()
        self._steps += 1
        if not self._number and self._steps >= self._interval:
            seconds = (time.perf_counter() - self._since) / self._steps
            self._read()
            if not self._number:
                self._send(seconds)
        return self._number

    def now(self) -> int:
        """Its number, or 0, including one that has just come; each process must call this."""
        if world_size() == 1:
            return signals.received()
        self._read()
        if not self._number:
            self._send(SECONDS / self._interval)  # the pace is not known anew
            self._read()
        return self._number

    def _send(self, seconds_a_step: float) -> None:
        sent = torch.tensor([signals.received(), seconds_a_step], dtype=torch.float64)
        work = distributed.all_reduce(sent, op=ReduceOp.MAX, group=self._group, async_op=True)
        assert work is not None
        self._sent = work, sent
        self._steps, self._since = 0, time.perf_counter()

    def _read(self) -> None:
        if self._sent is None:
            return
        work, received = self._sent
        work.wait()
        number, seconds_a_step = received.tolist()
        self._number = int(number)
        # A network whose steps take long is asked more often: Slurm kills 30 s after its SIGTERM, by default.
        self._interval = max(1, min(MOST_STEPS, int(SECONDS / seconds_a_step)))
        self._sent = None


class Preemption(ExactResume):
    """Soon after a signal all processes save at a batch's end and stop; SIGUSR1 also requeues the job.

    One process alone does so at the end of the very batch in which it came.

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
        self._signal: AgreedSignal | None = None  # while it trains

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        super().on_train_start(trainer, pl_module)
        signals.install()  # Lightning has put handlers of its own in their place by now
        self._signal = AgreedSignal()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)
        # After an epoch's last batch its evaluation follows, and its checkpoint: the run stops there instead. Gradients
        # that wait for more to be added are in no checkpoint.
        assert self._signal is not None
        number = self._signal.after_step()
        stepped = (batch_idx + 1) % trainer.accumulate_grad_batches == 0
        if number and stepped and not trainer.is_last_batch:
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
        assert self._signal is not None
        if trainer.current_epoch > 0 and (number := self._signal.now()):
            self._stop(trainer, number)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        super().on_train_end(trainer, pl_module)
        assert self._signal is not None
        self._signal.now()  # nothing may be under way when the processes part

    def _stop(self, trainer: Trainer, number: int) -> None:
        if number == signals.REQUEUE and trainer.is_global_zero:
            slurm.requeue()
        message = f"stopped after step {trainer.global_step}: carry on with --resume"
        raise Stopped(number, message if trainer.is_global_zero else "")
