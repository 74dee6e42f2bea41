"""The benchmark of processes: what they send. tests/fast tests that it is recorded."""

import pytest

from lab.benchmarks.processes.communication import Collective, ring_bytes, ring_messages

# The MLP's 79,510 gradients and a gathering of 3 float32 numbers.
GRADIENTS = Collective("allreduce_", 318_040, per_step=1.0)
GATHERING = Collective("allgather_", 12, per_step=2.0)


def test_reduced_bytes_go_twice_around_the_ring_and_gathered_ones_once() -> None:
    assert (ring_messages(GRADIENTS, 8), ring_messages(GATHERING, 8)) == (14, 7)
    assert ring_bytes(GRADIENTS, 8) == pytest.approx(2 * 7 / 8 * 318_040)
    assert ring_bytes(GATHERING, 8) == 7 * 12
    assert (ring_messages(GRADIENTS, 1), ring_bytes(GRADIENTS, 1)) == (0, 0)
