"""The benchmark of growth: exponents of powers, and what is grown."""

import pytest

from lab.benchmarks.growth.page import exponent


@pytest.mark.parametrize("power", [-1.0, 0.0, 0.5, 1.0, 2.0])
def test_exponent_of_a_power_is_exact_and_the_median_of_the_rounds(power: float) -> None:
    sizes = (10, 30, 100, 1000)
    measured = exponent(sizes, [[factor * size**power for factor in (1, 5, 2, 4, 3, 7)] for size in sizes])
    assert (measured.value, measured.low, measured.high) == pytest.approx((power,) * 3)
    measured = exponent((1, 10), [[1.0] * 7, [10.0**power for power in (1, 2, 3, 4, 5, 6, 9)]])
    assert (measured.value, measured.low, measured.high) == pytest.approx((4, 1, 9))
