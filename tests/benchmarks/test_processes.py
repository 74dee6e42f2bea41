"""What is measured of several processes: the same work in both variants, all that is sent, and honest sums of it."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.processes.communication import (
    NETWORK_BANDWIDTH,
    NETWORK_LATENCY,
    NVLINK_BANDWIDTH,
    NVLINK_LATENCY,
    START,
    Cluster,
    Collective,
    ring_bytes,
    ring_messages,
)
from benchmarks.processes.measure import Measurement, measure
from benchmarks.processes.page import calculation_table, markdown, pace_table, rates_table, scaling_table, sent_table
from benchmarks.processes.results import Results
from benchmarks.processes.variants import Case, Variant
from tests.scripts import run_benchmark

# The MLP's 79,510 gradients and a gathering of 3 float32 numbers.
GRADIENTS = Collective("allreduce_", 318_040, per_step=1.0)
GATHERING = Collective("allgather_", 12, per_step=2.0)


def test_all_that_processes_reduce_goes_twice_around_the_ring() -> None:
    assert ring_messages(GRADIENTS, 8) == 14
    assert ring_bytes(GRADIENTS, 8) == pytest.approx(2 * 7 / 8 * 318_040)


def test_what_they_gather_goes_around_once() -> None:
    assert ring_messages(GATHERING, 8) == 7
    assert ring_bytes(GATHERING, 8) == 7 * 12


def test_one_process_sends_nothing() -> None:
    assert (ring_messages(GRADIENTS, 1), ring_bytes(GRADIENTS, 1)) == (0, 0)


def test_a_node_has_nvlinks_latency_and_bandwidth() -> None:
    node = Cluster(1, 8)
    assert node.latency([GRADIENTS]) == pytest.approx(START + 14 * NVLINK_LATENCY)
    assert node.transfer([GRADIENTS]) == pytest.approx(ring_bytes(GRADIENTS, 8) / NVLINK_BANDWIDTH)


def test_the_ring_of_two_nodes_crosses_the_network() -> None:
    """Twice there and back in a reduction, of 30 messages; its bytes at the pace of the slowest link."""
    nodes = Cluster(2, 8)
    assert nodes.latency([GRADIENTS]) == pytest.approx(START + 28 * NVLINK_LATENCY + 2 * NETWORK_LATENCY)
    assert nodes.transfer([GRADIENTS]) == pytest.approx(ring_bytes(GRADIENTS, 16) / NETWORK_BANDWIDTH)


def test_a_collective_counts_as_often_as_it_comes() -> None:
    node = Cluster(1, 8)
    assert node.latency([GATHERING]) == pytest.approx(2 * (START + 7 * NVLINK_LATENCY))
    assert node.latency([GRADIENTS, GATHERING]) == node.latency([GRADIENTS]) + node.latency([GATHERING])


@pytest.mark.slow
@pytest.mark.parametrize(("arch", "parameters"), [("mlp", 79_510), ("batchnorm", 77_918)])
@pytest.mark.parametrize("variant", ["fit", "plain"])
def test_every_step_sends_its_gradients_once(variant: Variant, arch: str, parameters: int) -> None:
    """What DistributedDataParallel does in C++ is recorded too."""
    measured = measure(Case(variant, arch, batch_size=64, processes=2, steps=6), record=True)
    gradients = [one for one in measured.collectives if one.size == 4 * parameters]
    assert gradients == [Collective("allreduce_", 4 * parameters, per_step=1.0)]


@pytest.mark.slow
@pytest.mark.parametrize("variant", ["fit", "plain"])
def test_one_process_has_no_collectives(variant: Variant) -> None:
    measured = measure(Case(variant, "mlp", batch_size=64, processes=1, steps=6), record=True)
    assert measured.collectives == []


@pytest.fixture
def results() -> Results:
    """Two rounds: with 2 processes fit takes as long as plain at batch 64 and half as long at 256; 10 steps each."""
    made = Results("a machine", "abc1234", ["--out", "docs"], rounds=2)
    seconds: dict[tuple[Variant, int], float] = {("fit", 64): 4, ("plain", 64): 4, ("fit", 256): 8, ("plain", 256): 16}
    for pace in (1.0, 3.0):
        for (variant, batch_size), of_two in seconds.items():
            for processes in (1, 2):
                case = Case(variant, "mlp", batch_size, processes, steps=10)
                made.compared.append(Measurement(case, pace * of_two / processes, []))
    made.recorded = [
        Measurement(Case("plain", "mlp", 64, 2, steps=10), 1.0, [GRADIENTS]),
        Measurement(Case("fit", "mlp", 64, 1, steps=10), 1.0, []),
        Measurement(Case("fit", "mlp", 64, 8, steps=10), 2.0, [GRADIENTS, GATHERING]),
        Measurement(Case("fit", "mlp", 512, 8, steps=10), 4.0, [GRADIENTS, GATHERING]),
    ]
    return made


def test_targets_are_met_or_missed(results: Results) -> None:
    assert pace_table(results).rows == [
        ["mlp", "64", "1.00 [1.00, 1.00]", "1.00 [1.00, 1.00]", "at least 1.2: missed"],
        ["mlp", "256", "2.00 [2.00, 2.00]", "2.00 [2.00, 2.00]", "more than at 64: met"],
    ]


def test_a_target_is_undecided_where_the_rounds_differ_too_much(results: Results) -> None:
    """At 256 fit is twice as fast as plain in one round, and half as fast in the other."""
    results.compared = [
        replace(one, seconds=64.0) if one.case.batch_size == 256 and one.seconds == 12.0 else one
        for one in results.compared
    ]
    assert [row[-1] for row in pace_table(results).rows] == ["at least 1.2: missed", "more than at 64: undecided"]


def test_steps_a_second_are_medians(results: Results) -> None:
    assert rates_table(results).rows[0] == [
        "mlp",
        "64",
        "1.2",
        "2.5",
        "2.00 [2.00, 2.00]",
        "1.2",
        "2.5",
        "2.00 [2.00, 2.00]",
    ]


def test_scaling_is_strong_where_a_batch_is_shared_and_weak_where_it_grows(results: Results) -> None:
    assert scaling_table(results).rows == [
        ["mlp", "1", "strong and weak", "10.0", "640"],
        ["mlp", "8", "strong", "5.0", "320"],
        ["mlp", "8", "weak", "2.5", "1,280"],
    ]


def test_what_is_sent_is_summed_over_a_step(results: Results) -> None:
    plain, fit, _ = sent_table(results).rows
    assert plain == ["mlp", "2", "strong", "plain", "1.00", "0.00", "318,040", "2", "318,040"]
    assert fit == ["mlp", "8", "strong", "fit", "3.00", "2.00", "318,064", "28", "556,738"]


def test_the_calculation_takes_what_most_processes_sent(results: Results) -> None:
    fit, _ = calculation_table(results).rows
    assert fit[:3] == ["mlp", "fit", "8"]
    # 6.6 + 14 * 0.6 for the gradients, 2 * (6.6 + 7 * 0.6) for the gatherings, and 556,738 bytes at 141 GB/s.
    assert fit[3] == "41"


def test_the_page_says_on_what_and_how_often_it_was_measured(results: Results) -> None:
    page = " ".join(markdown(replace(results, minutes=8.2)).split())
    assert "`python -m benchmarks.processes --out docs` measured in 8 minutes" in page
    assert "a machine; commit abc1234; gloo" in page
    assert "2 rounds" in page
    assert "A CALCULATION, no measurement" in page


@pytest.mark.slow
def test_the_command_measures_everything_once(tmp_path: Path) -> None:
    flags = ["--arch", "mlp", "--rounds", "1", "--steps", "3", "--out", "out"]
    finished = run_benchmark("processes", *flags, cwd=tmp_path)
    assert finished.returncode == 0, finished.stderr
    assert "Steps a second: fit / plain" in finished.stdout
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["data", "lab"]
    measured = json.loads((tmp_path / "out" / "data" / "processes.json").read_text())
    cases = [one["case"] for one in measured["compared"]]
    assert {(one["variant"], one["processes"], one["batch_size"]) for one in cases} == {
        (variant, processes, batch_size)
        for variant in ("fit", "plain")
        for processes in (1, 2)
        for batch_size in (64, 256)
    }
    cases = [one["case"] for one in measured["recorded"]]
    assert {(one["processes"], one["batch_size"]) for one in cases if one["variant"] == "fit"} == {
        *((processes, 64) for processes in (1, 2, 4, 8)),
        *((processes, 64 * processes) for processes in (1, 2, 4, 8)),
    }


@pytest.mark.slow
@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--rounds", "0"], "--rounds must be at least 1, but is 0"),
        (["--steps", "2"], "--steps must be at least 3, but is 2"),
        (["--out", "/dev/null/out"], "cannot write to /dev/null/out"),
    ],
)
def test_wrong_options_are_told_in_one_line(tmp_path: Path, flags: list[str], message: str) -> None:
    finished = run_benchmark("processes", *flags, cwd=tmp_path)
    assert finished.returncode != 0
    assert message in finished.stderr
    assert "Traceback" not in finished.stderr
