"""The messages of processes in a training step, recorded, and how long GPUs would take
for them, calculated.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

from torch.profiler import ProfilerActivity, profile

from lab.benchmarks.harness import Turns
from lab.benchmarks.rows import Row
from lab.benchmarks.training.ways import Stopwatch

# Where torch's collective operations have the tensor or tensors that a process gives.
GIVEN = {"allreduce_": 0, "broadcast_": 0, "barrier": 0, "allgather_": 1, "_allgather_base_": 1}
GATHERING = ("allgather_", "_allgather_base_")

PREFIX = "c10d::"


@dataclass(frozen=True)
class Collective:
    """A collective operation of a training step.

    Args:
        operation: torch's name of it, ``allreduce_`` say.
        size: The bytes that each process gives.
        per_step: How often it comes in a step, on average.
    """

    operation: str
    size: int
    per_step: float

    @property
    def gathers(self) -> bool:
        return self.operation in GATHERING

    def row(self) -> Row:
        return Row(
            {"part": "collective", "operation": self.operation, "size": self.size},
            {"per_step": self.per_step},
        )


class Recorder(Stopwatch):
    """Reports the collective operations of one process too, those of the inner steps of
    its first turn.

    Not the first steps, in which DistributedDataParallel finds out what to send
    together, nor the last one, which knows nothing of a next.

    Args:
        turns: The turns.
        steps: Training steps of each, at least 3.
    """

    FIRST_STEPS = 10

    def __init__(self, turns: Turns, steps: int) -> None:
        super().__init__(turns)
        self.first = min(self.FIRST_STEPS, max(1, steps // 3))
        self.last = steps - 1
        self.is_over = False
        self.collectives: list[Row] = []
        self._profiler = profile(activities=[ProfilerActivity.CPU], record_shapes=True)

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        if not self.is_over and batch_idx == self.first:
            self._profiler.start()
        elif not self.is_over and batch_idx == self.last:
            self._profiler.stop()
            sent = _per_step(_events(self._profiler), self.last - self.first)
            self.collectives = [collective.row() for collective in sent]
            self.is_over = True

    def rows(self) -> list[Row]:
        """The seconds, and in the first turn the collectives."""
        collectives = self.collectives
        self.collectives = []
        return [*super().rows(), *collectives]


def _events(profiler: profile) -> Iterator[Any]:
    """All that was recorded, with the tensors that each operation was given."""
    assert profiler.profiler is not None
    assert profiler.profiler.kineto_results is not None
    waiting: list[Any] = list(profiler.profiler.kineto_results.experimental_event_tree())
    while waiting:
        event = waiting.pop()
        waiting += event.children
        yield event


def _per_step(events: Iterator[Any], steps: int) -> list[Collective]:
    counts: Counter[tuple[str, int]] = Counter()
    for event in events:
        if event.name.startswith(PREFIX):
            operation = event.name.removeprefix(PREFIX)
            counts[operation, _size(event.extra_fields.inputs[GIVEN[operation]])] += 1
    return [
        Collective(operation, size, count / steps)
        for (operation, size), count in sorted(counts.items())
    ]


def _size(given: Any) -> int:
    """The bytes of a tensor, or of a list of tensors, that the profiler describes."""
    tensors = given if isinstance(given, list) else [given]
    return sum(prod(tensor.sizes) * tensor.dtype.itemsize for tensor in tensors)


# NCCL 2.28's own model of its ring and its protocol for small messages (LL) on Hopper
# GPUs with NVLink: seconds and bytes a second, of src/graph/tuning.cc's baseLatencies,
# hwLatencies and llMaxBws.
START = 6.6e-6
NVLINK_LATENCY = 0.6e-6
NETWORK_LATENCY = 2.7e-6
NVLINK_BANDWIDTH = 141e9
NETWORK_BANDWIDTH = 45e9


@dataclass(frozen=True)
class Cluster:
    """GPUs in a ring that goes through each node once; the model is for one node or two."""

    nodes: int
    gpus_per_node: int

    @property
    def processes(self) -> int:
        return self.nodes * self.gpus_per_node

    def latency(self, collectives: Sequence[Collective]) -> float:
        """The seconds a step before any bytes are counted: each collective's start and
        chain of messages.
        """
        return sum(collective.per_step * self._latency(collective) for collective in collectives)

    def transfer(self, collectives: Sequence[Collective]) -> float:
        """The seconds a step for the bytes."""
        bandwidth = NETWORK_BANDWIDTH if self.nodes > 1 else NVLINK_BANDWIDTH
        sent = [
            collective.per_step * ring_bytes(collective, self.processes)
            for collective in collectives
        ]
        return sum(sent) / bandwidth

    def _latency(self, collective: Collective) -> float:
        between = ring_rounds(collective) * (self.nodes - 1)
        within = ring_messages(collective, self.processes) - between
        return START + within * NVLINK_LATENCY + between * NETWORK_LATENCY


def ring_rounds(collective: Collective) -> int:
    """How often data goes around the ring: (n - 1) messages each, for all but gathering
    there and back.
    """
    return 1 if collective.gathers else 2


def ring_messages(collective: Collective, processes: int) -> int:
    """The messages that each process sends."""
    return ring_rounds(collective) * (processes - 1)


def ring_bytes(collective: Collective, processes: int) -> float:
    """The bytes that each process sends."""
    share = collective.size if collective.gathers else collective.size / processes
    return ring_messages(collective, processes) * share
