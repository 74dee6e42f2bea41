"""The benchmark of processes: the same work in both variants, and all that is sent."""

import pytest

from lab.benchmarks.processes.communication import Collective, ring_bytes, ring_messages
from lab.benchmarks.processes.measure import Case, recorded

# The MLP's 79,510 gradients and a gathering of 3 float32 numbers.
GRADIENTS = Collective("allreduce_", 318_040, per_step=1.0)
GATHERING = Collective("allgather_", 12, per_step=2.0)


def test_reduced_bytes_go_twice_around_the_ring_and_gathered_ones_once() -> None:
    assert (ring_messages(GRADIENTS, 8), ring_messages(GATHERING, 8)) == (14, 7)
    assert ring_bytes(GRADIENTS, 8) == pytest.approx(2 * 7 / 8 * 318_040)
    assert ring_bytes(GATHERING, 8) == 7 * 12
    assert (ring_messages(GRADIENTS, 1), ring_bytes(GRADIENTS, 1)) == (0, 0)


@pytest.mark.slow
def test_every_step_sends_its_gradients_once() -> None:
    """Those that DistributedDataParallel sends from C++ are recorded too."""
    timed, *collectives = recorded(Case("fit", "batchnorm", batch_size=64, processes=2, steps=6))
    assert timed.values["training"] > 0
    size = 4 * 77_918
    sent = [row for row in collectives if row.labels["size"] == size]
    assert sent == [Collective("allreduce_", size, per_step=1.0).row()]
