"""The messages of processes in a training step, recorded, and how long GPUs would take
for them, calculated.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import count
from math import prod
from typing import Any

from torch.profiler import ProfilerActivity, profile

from lab.benchmarks.harness import Turns
from lab.benchmarks.rows import Row
from lab.benchmarks.training.ways import Case, Stopwatch

# Where torch's collective operations have the tensor or tensors that a process gives.
GIVEN = {"allreduce_": 0, "broadcast_": 0, "barrier": 0, "allgather_": 1, "_allgather_base_": 1}
GATHERING = ("allgather_", "_allgather_base_")


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
    def rounds(self) -> int:
        """How often data goes around the ring: (n - 1) messages each, for all but
        gathering there and back.
        """
        return 1 if self.operation in GATHERING else 2


class Recorder(Stopwatch):
    """Reports the collective operations of one process too, those of the inner steps of
    its first turn.

    Not the first steps, in which DistributedDataParallel finds out what to send
    together, nor the last one, which knows nothing of a next. There are at least 3.
    """

    def __init__(self, turns: Turns, case: Case) -> None:
        super().__init__(turns, case)
        steps = case.steps or 0
        self.first = min(10, max(1, steps // 3))
        self.last = steps - 1
        self.numbers = count()
        self.collectives: list[Row] = []
        self._profiler: Any = profile(activities=[ProfilerActivity.CPU], record_shapes=True)

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        step = next(self.numbers)
        if step == self.first:
            self._profiler.start()
        elif step == self.last:
            self._profiler.stop()
            tree = self._profiler.profiler.kineto_results.experimental_event_tree()
            self.collectives = _per_step(tree, self.last - self.first)

    def rows(self) -> list[Row]:
        """The seconds of the turn, and the collectives."""
        return [*super().rows(), *self.collectives]


def _events(tree: Iterable[Any]) -> Iterator[Any]:
    """All that was recorded, with the tensors that each operation was given."""
    for event in tree:
        yield event
        yield from _events(event.children)


def _per_step(tree: Iterable[Any], steps: int) -> list[Row]:
    counts: Counter[tuple[str, int]] = Counter()
    for event in _events(tree):
        _, prefix, operation = event.name.partition("c10d::")
        if prefix:
            counts[operation, _size(event.extra_fields.inputs[GIVEN[operation]])] += 1
    rows = []
    for (operation, size), seen in sorted(counts.items()):
        labels = {"part": "collective", "operation": operation, "size": size}
        rows.append(Row(labels, {"per_step": seen / steps}))
    return rows


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
    """GPUs in a ring that goes through each node once; the model is for one node or two.

    Args:
        nodes: Machines.
        processes: GPUs on all of them together, each with one process.
    """

    nodes: int
    processes: int

    def latency(self, collective: Collective) -> float:
        """The seconds before any bytes are counted: its start and chain of messages."""
        between = collective.rounds * (self.nodes - 1)
        within = ring_messages(collective, self.processes) - between
        return START + within * NVLINK_LATENCY + between * NETWORK_LATENCY

    def transfer(self, collective: Collective) -> float:
        """The seconds for the bytes."""
        bandwidth = NETWORK_BANDWIDTH if self.nodes > 1 else NVLINK_BANDWIDTH
        return ring_bytes(collective, self.processes) / bandwidth


def ring_messages(collective: Collective, processes: int) -> int:
    """The messages that each process sends."""
    return collective.rounds * (processes - 1)


def ring_bytes(collective: Collective, processes: int) -> float:
    """The bytes that each process sends."""
    share = collective.size if collective.rounds == 1 else collective.size / processes
    return ring_messages(collective, processes) * share
