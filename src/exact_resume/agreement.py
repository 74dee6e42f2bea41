"""The exchanges between the processes of one training: how many they are, the values that
each has, and a signal that any of them has received.
"""

import time
from math import inf
from typing import Any

import torch
from torch import Tensor, distributed

from exact_resume import signals

# Steps, and about how many seconds, between two exchanges of received signals; a result
# is read at the next exchange.
MOST_STEPS = 10
SECONDS = 1.0


def world_size() -> int:
    """The number of processes that train together; 1 without a process group."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def end_process_group() -> None:
    """Leave the process group, if any, when Python exits: its threads sometimes abort a
    process that has not.

    Not earlier, since the next run in this process needs it, and the same launcher
    cannot create it again.
    """
    if distributed.is_initialized():
        distributed.destroy_process_group()


def of_all_processes(value: Any) -> list[Any]:
    """The value of each process, in the order of their ranks; every process must call
    this.
    """
    values = [value] * world_size()
    if len(values) > 1:
        distributed.all_gather_object(values, value)
    return values


class AgreedSignal:
    """A signal that any process received, known to all processes after the same step,
    without waiting in any step.

    Every few steps they start an asynchronous all_reduce of the received signals, and
    read its result before the next one. It runs on CPU (gloo) even if the network
    trains on GPUs.

    In the same exchange they agree on whether it is time for the next save.

    Args:
        seconds: The time between two saves, in seconds.
    """

    def __init__(self, seconds: float = inf) -> None:
        self._seconds = seconds
        self._saved = self._now()
        self._is_due = self._is_answered = False
        self._is_alone = world_size() == 1
        if self._is_alone:
            return
        self._group: Any = None
        if distributed.get_backend() != "gloo":
            self._group = distributed.new_group(backend="gloo")
        self._sent: tuple[distributed.Work, Tensor] | None = None
        self._number = 0
        self._steps, self._interval, self._since = 0, 1, time.perf_counter()

    @property
    def is_due(self) -> bool:
        """True once the time between two saves is up, in all processes after the same step."""
        if self._is_alone:
            return self._is_up()
        return self._is_due

    def _is_up(self) -> bool:
        return self._now() - self._saved >= self._seconds

    def _now(self) -> float:
        """Seconds on a clock, which is read only if saves depend on it: some trainings count
        how often it is read.
        """
        return time.perf_counter() if self._seconds < inf else 0.0

    def note_save(self) -> None:
        """Called when all processes have written a checkpoint: the time to the next begins."""
        self._saved = self._now()
        # The exchange that is under way was sent before this save, so its answer is ignored.
        self._is_due, self._is_answered = False, True

    def after_step(self) -> int:
        """The signal's number, or 0; every process must call this after every step."""
        if self._is_alone:
            return signals.received()
        self._steps += 1
        if self._steps >= self._interval:
            self._exchange((time.perf_counter() - self._since) / self._steps)
        return self._number

    def now(self) -> int:
        """The signal's number, or 0, including one just received; every process must call this."""
        if self._is_alone:
            return signals.received()
        self._exchange(SECONDS / self._interval)  # keeps the interval
        self._read()
        return self._number

    def _exchange(self, seconds_a_step: float) -> None:
        """Read the result of the last exchange, and begin another."""
        self._read()
        if not self._number:
            rank = signals.RANKED.index(signals.received())
            # One number holds both: the lowest bit says whether the time is up, the others are
            # the rank of the signal. (After a signal all save anyway.)
            sent = torch.tensor([2 * rank + self._is_up(), seconds_a_step], dtype=torch.float64)
            work = distributed.all_reduce(
                sent, op=distributed.ReduceOp.MAX, group=self._group, async_op=True
            )
            assert work is not None
            self._sent = work, sent
            self._steps, self._since = 0, time.perf_counter()

    def _read(self) -> None:
        if self._sent is not None:
            work, received = self._sent
            work.wait()
            most, seconds_a_step = received.tolist()
            rank, is_due = divmod(int(most), 2)
            self._is_due = bool(is_due) and not self._is_answered
            self._is_answered = False
            self._number = signals.RANKED[rank]
            # Exchange after fewer steps where these take long: by default Slurm kills a job 30 s
            # after its SIGTERM.
            self._interval = max(1, min(MOST_STEPS, int(SECONDS / seconds_a_step)))
            self._sent = None
