"""The benchmark of growth: exponents of powers, and what is grown."""

from pathlib import Path

import pytest

from convblocks.model.networks import MultiLayerPerceptron, build_network
from lab.benchmarks.growth import data
from lab.benchmarks.growth.page import exponent


@pytest.mark.parametrize("power", [-1.0, 0.0, 0.5, 1.0, 2.0])
def test_exponent_of_a_power_is_exact(power: float) -> None:
    sizes = (10, 30, 100, 1000)
    measured = exponent(sizes, [[factor * size**power for factor in (1, 5, 2, 4, 3, 7)] for size in sizes])
    assert (measured.value, measured.low, measured.high) == pytest.approx((power,) * 3)


def test_exponent_is_the_median_of_the_rounds() -> None:
    measured = exponent((1, 10), [[1.0] * 7, [10.0**power for power in (1, 2, 3, 4, 5, 6, 9)]])
    assert (measured.value, measured.low, measured.high) == pytest.approx((4, 1, 9))


def test_what_is_grown_has_its_size() -> None:
    files = data.Noise(Path("somewhere/60-12")).load()
    assert (len(files.train.labels), len(files.test.labels), len(files.image_spec.classes)) == (60, 10, 12)
    mlp = build_network("mlp")
    assert isinstance(mlp, MultiLayerPerceptron)
    assert data.parameters_of(100) == sum(parameter.numel() for parameter in mlp.parameters())
    runs = data.runs(48)
    assert len({(run.arch, run.seed) for run in runs}) == 48
    assert len({run.overrides for run in runs}) == 1
    scores = [(trial.value, trial.intermediate_values[3]) for trial in data.trials(7)]
    assert len(scores) == 7
    assert all(last == value for value, last in scores)
