"""Several processes send no more than they must."""

import pytest

from lab.benchmarks.processes.measure import Case, recorded

NIGHTLY = pytest.mark.nightly

# The size of AgreedSignal's message: two float64 numbers.
SIGNALS_SIZE = 16


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arch", "most"),
    [pytest.param("mlp", 1.1, marks=NIGHTLY), pytest.param("maxpool", 1.1, marks=NIGHTLY), ("batchnorm", 7.1)],
)
def test_so_many_collectives_a_step(arch: str, most: float) -> None:
    """The gradients, two for each of three batch norms, and the metrics logged every 50 steps.

    Not counted is what asks for signals: one in ten steps, but more where a step takes more than 0.1 s here.
    """
    _, *collectives = recorded(Case("fit", arch, batch_size=64, processes=2, steps=115))
    assert sum(one.values["per_step"] for one in collectives if one.labels["size"] != SIGNALS_SIZE) <= most
