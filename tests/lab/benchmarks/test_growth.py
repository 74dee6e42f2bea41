"""The benchmark of growth: exponents of powers, what is grown, and a table for each quantity."""

from math import sqrt
from pathlib import Path

import pytest

from convblocks.figures.estimates import Estimate
from convblocks.model.networks import MultiLayerPerceptron, build_network
from lab.benchmarks.growth import data
from lab.benchmarks.growth.page import PAGE, QUANTITIES, exponent, number, table, texts, verdict
from lab.benchmarks.growth.sizes import PROCESSES, groups
from lab.benchmarks.pages import read_raw_numbers
from lab.benchmarks.rows import Results, Row
from tests.scripts import run_benchmark


def made_up(quantity: str, costs: dict[int, float], rounds: int = 6) -> Results:
    """Every round twice as slow as the one before."""
    rows = [
        Row({"quantity": quantity, "series": "fit", "size": size}, {"seconds": 2**number * cost}, number)
        for number in range(rounds)
        for size, cost in costs.items()
    ]
    return Results("a machine", None, [], rounds, {"threads": 2, "cpus": 2}, rows=rows)


@pytest.mark.parametrize("power", [-1.0, 0.0, 0.5, 1.0, 2.0])
def test_the_exponent_of_a_power_is_exact(power: float) -> None:
    sizes = (10, 30, 100, 1000)
    measured = exponent(sizes, [[factor * size**power for factor in (1, 5, 2, 4, 3, 7)] for size in sizes])
    assert (measured.value, measured.low, measured.high) == pytest.approx((power,) * 3)


def test_the_exponent_is_the_median_of_the_rounds() -> None:
    measured = exponent((1, 10), [[1.0] * 7, [10.0**power for power in (1, 2, 3, 4, 5, 6, 9)]])
    assert (measured.value, measured.low, measured.high) == pytest.approx((4, 1, 9))


def test_the_verdict_is_whether_the_interval_lies_above_or_below_1() -> None:
    assert verdict(Estimate(0.9, 0.8, 0.99)) == "slower than proportional"
    assert verdict(Estimate(0.9, 0.8, 1.0)) == "proportional"
    assert verdict(Estimate(1.2, 1.01, 1.4)) == "faster than proportional"
    assert verdict(exponent((1, 2), [[1.0], [4.0]])) == "undecided"


def test_a_table_has_cost_and_cost_per_unit_at_each_size_and_the_exponents() -> None:
    results = made_up("images", {1000: 0.5, 4000: 0.5, 16_000: 4.0})
    made = table("images", results)
    assert made.columns == ["", "1,000", "4,000", "16,000", "exponent", "at the end", "which is"]
    median = sqrt(8 * 16) / sqrt(8 * 16) * 6  # of 1, 2, 4, 8, 16 and 32
    cells = [f"{0.5 * median:.3g} (3,000)", "3 (750)", "24 (1,500)"]
    ends = ["0.75 [0.75, 0.75]", "1.50 [1.50, 1.50]", "faster than proportional"]
    assert made.rows == [["fit", *cells, *ends]]
    assert texts(results)["faster"] == "fit by images (1.50 [1.50, 1.50])"


def test_more_processes_than_cpus_are_called_simulated_and_not_judged() -> None:
    made = table("processes", made_up("processes", {1: 0.064, 2: 0.032, 4: 0.016}, rounds=1))
    assert made.columns == ["", "1", "2", "4 (SIMULATED)", "exponent", "at the end"]
    assert made.rows == [["fit", "64 (1,000)", "32 (2,000)", "16 (4,000)", "−1.00", "−1.00"]]
    assert [number(value) for value in (0.01234, 99.94, 99.96, 12345.6)] == ["0.0123", "99.9", "100", "12,346"]


def test_what_is_grown_has_its_size() -> None:
    files = data.Noise(Path("somewhere/60-12")).load()
    assert (len(files.train.labels), len(files.test.labels), len(files.image_spec.classes)) == (60, 10, 12)
    mlp = build_network("mlp")
    assert isinstance(mlp, MultiLayerPerceptron)
    assert data.parameters_of(100) == sum(parameter.numel() for parameter in mlp.parameters())
    runs = data.runs(48)
    assert len({(one.arch, one.seed) for one in runs}) == 48
    assert len({one.overrides for one in runs}) == 1
    scores = [(one.value, one.intermediate_values[3]) for one in data.trials(7)]
    assert len(scores) == 7
    assert all(last == value for value, last in scores)


def test_every_quantity_is_measured_at_as_many_sizes_as_are_wanted() -> None:
    found = [point for group in groups(["mlp"], 2) for point in group]
    assert list(dict.fromkeys(point.quantity for point in found)) == list(QUANTITIES)
    assert {point.size for point in found if point.quantity == "processes"} == set(PROCESSES[:2])
    largest = [point for group in groups(["mlp"], 100) for point in group if point.quantity == "batch"]
    assert [point.steps for point in largest if point.series == "mlp, fit"] == [256, 224, 56, 14]


@pytest.mark.nightly
def test_the_command_measures_everything_in_each_round(tmp_path: Path) -> None:
    finished = run_benchmark(
        "growth", *["--arch", "mlp", "--rounds", "1", "--sizes", "2", "--out", "out"], cwd=tmp_path
    )
    assert finished.returncode == 0, finished.stderr
    results = read_raw_numbers(tmp_path / "out" / "data", "growth", Results)
    assert results.different("quantity") == list(QUANTITIES)
    for quantity in QUANTITIES:
        assert len(results.numbers("size", quantity=quantity)) == 2
    assert min(results.values("seconds")) > 0
    assert (tmp_path / "out" / "lab" / "growth.md").read_text() == PAGE.markdown(results)
