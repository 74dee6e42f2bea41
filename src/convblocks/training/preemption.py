"""On a signal, saves at the end of a batch and stops, so that a run resumes from the next batch."""

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

# Steps, and about how many seconds, between two exchanges of received signals; a result is read at the next exchange.
MOST_STEPS = 10
SECONDS = 1.0


class AgreedSignal:
    """A signal that any process received, known to all processes after the same step, without waiting in any step.

    Every few steps they start an asynchronous all_reduce of the received signals, and read its result before the next
    one. It runs on CPU (gloo) even if the network trains on GPUs.
    """

    def __init__(self) -> None:
        self._group: Any = None
        if world_size() > 1 and distributed.get_backend() != "gloo":
            self._group = distributed.new_group(backend="gloo")
        self._sent: tuple[distributed.Work, Tensor] | None = None
        self._number = 0
        self._steps, self._interval, self._since = 0, 1, time.perf_counter()

    def after_step(self) -> int:
        """The signal's number, or 0; every process must call this after every step."""
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
        """The signal's number, or 0, including one just received; every process must call this."""
        if world_size() == 1:
            return signals.received()
        self._read()
        if not self._number:
            self._send(SECONDS / self._interval)  # keeps the interval
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
        # Fewer steps if they take long: by default Slurm kills a job 30 s after its SIGTERM.
        self._interval = max(1, min(MOST_STEPS, int(SECONDS / seconds_a_step)))
        self._sent = None


class Preemption(ExactResume):
    """Soon after a signal all processes save at the end of a batch and stop; SIGUSR1 also requeues the job.

    With a single process this is the batch during which the signal came.

    Lightning's own handlers save and broadcast wherever each process happens to be, which can deadlock. A subclass of
    ExactResume, not a second callback, since Lightning calls each callback some ten times a step.

    Args:
        checkpoint: Where to save.
    """

    def __init__(self, checkpoint: Path) -> None:
        super().__init__()
        self.checkpoint = checkpoint
        self._saved_on = 0  # the number of the signal that it has saved for
        self._signal: AgreedSignal | None = None  # set while training

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        super().on_train_start(trainer, pl_module)
        signals.install()  # Lightning has replaced them by its own handlers
        self._signal = AgreedSignal()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)
        # Not after an epoch's last batch: its evaluation and its checkpoint follow, and the run stops after these. Not
        # while gradients accumulate: they are not part of a checkpoint.
        assert self._signal is not None
        number = self._signal.after_step()
        stepped = (batch_idx + 1) % trainer.accumulate_grad_batches == 0
        if number and stepped and not trainer.is_last_batch:
            trainer.save_checkpoint(self.checkpoint)
            self._saved_on = number

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        super().on_validation_end(trainer, pl_module)
        # In the middle of an epoch: save again, with the evaluation, which Lightning would skip on a resume.
        if self._saved_on:
            trainer.save_checkpoint(self.checkpoint)

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        # Not right after saving: Lightning logs the metrics of a step after on_train_batch_end.
        if self._saved_on:
            self._stop(trainer, self._saved_on)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        # Not at the epoch's end: its checkpoint is written after on_train_epoch_end.
        assert self._signal is not None
        if trainer.current_epoch > 0 and (number := self._signal.now()):
            self._stop(trainer, number)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        super().on_train_end(trainer, pl_module)
        assert self._signal is not None
        self._signal.now()  # completes the pending all_reduce before the processes end

    def _stop(self, trainer: Trainer, number: int) -> None:
        if number == signals.REQUEUE and trainer.is_global_zero:
            slurm.requeue()
        message = f"stopped after step {trainer.global_step}: carry on with --resume"
        raise Stopped(number, message if trainer.is_global_zero else "")
