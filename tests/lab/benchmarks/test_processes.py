"""Several processes: the same work in both variants, all that is sent, and honest sums of it."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from lab.benchmarks.pages import read_raw_numbers
from lab.benchmarks.processes import __main__ as command
from lab.benchmarks.processes.__main__ import compared, labels
from lab.benchmarks.processes.communication import (
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
from lab.benchmarks.processes.measure import Case, Variant, recorded
from lab.benchmarks.processes.page import calculation_table, pace_table, rates_table, scaling_table, sent_table
from lab.benchmarks.rows import Results, Row
from tests.scripts import run_benchmark

# The MLP's 79,510 gradients and a gathering of 3 float32 numbers.
GRADIENTS = Collective("allreduce_", 318_040, per_step=1.0)
GATHERING = Collective("allgather_", 12, per_step=2.0)


def test_reduced_bytes_go_twice_around_the_ring_and_gathered_ones_once() -> None:
    assert (ring_messages(GRADIENTS, 8), ring_messages(GATHERING, 8)) == (14, 7)
    assert ring_bytes(GRADIENTS, 8) == pytest.approx(2 * 7 / 8 * 318_040)
    assert ring_bytes(GATHERING, 8) == 7 * 12
    assert (ring_messages(GRADIENTS, 1), ring_bytes(GRADIENTS, 1)) == (0, 0)


def test_the_ring_of_two_nodes_crosses_the_network() -> None:
    """Twice there and back in a reduction, of 30 messages; its bytes at the pace of the slowest link."""
    node, nodes = Cluster(1, 8), Cluster(2, 8)
    assert node.latency([GRADIENTS]) == pytest.approx(START + 14 * NVLINK_LATENCY)
    assert node.transfer([GRADIENTS]) == pytest.approx(ring_bytes(GRADIENTS, 8) / NVLINK_BANDWIDTH)
    assert nodes.latency([GRADIENTS]) == pytest.approx(START + 28 * NVLINK_LATENCY + 2 * NETWORK_LATENCY)
    assert nodes.transfer([GRADIENTS]) == pytest.approx(ring_bytes(GRADIENTS, 16) / NETWORK_BANDWIDTH)


def test_a_collective_counts_as_often_as_it_comes() -> None:
    node = Cluster(1, 8)
    assert node.latency([GATHERING]) == pytest.approx(2 * (START + 7 * NVLINK_LATENCY))
    assert node.latency([GRADIENTS, GATHERING]) == node.latency([GRADIENTS]) + node.latency([GATHERING])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("variant", "arch", "processes", "gradients"),
    [
        ("fit", "batchnorm", 2, 77_918),
        pytest.param("plain", "mlp", 2, 79_510, marks=pytest.mark.nightly),
        pytest.param("fit", "mlp", 1, None, marks=pytest.mark.nightly),
    ],
)
def test_every_step_sends_its_gradients_once(
    variant: Variant, arch: str, processes: int, gradients: int | None
) -> None:
    """Those that DistributedDataParallel sends from C++ are recorded too; one process sends nothing."""
    timed, *collectives = recorded(Case(variant, arch, batch_size=64, processes=processes, steps=6))
    assert timed.values["training"] > 0
    if gradients is None:
        assert collectives == []
    else:
        sent = [one for one in collectives if one.labels["size"] == 4 * gradients]
        assert sent == [Collective("allreduce_", 4 * gradients, per_step=1.0).row()]


def test_both_variants_are_compared_and_all_numbers_of_processes_are_recorded() -> None:
    assert len(set(compared("mlp", most_steps=400))) == 2 * 2 * 2
    cases = {(case.variant, case.processes, case.batch_size) for case in command.recorded("mlp", steps=31)}
    fit = {("fit", processes, size) for processes in (1, 2, 4, 8) for size in (64, 64 * processes)}
    assert cases == {("plain", 2, 64), *fit}


def results_of(paces: Sequence[float]) -> Results:
    """With 2 processes fit is as fast as plain at batch 64, and at 256 so many times as fast in each round."""
    made = Results("a machine", "abc1234", ["--out", "docs"], len(paces))
    for number, pace in enumerate(paces):
        seconds: dict[tuple[Variant, int], float] = {("fit", 64): 4, ("plain", 64): 4, ("fit", 256): 8}
        for (variant, batch_size), of_two in (seconds | {("plain", 256): 8 * pace}).items():
            for processes in (1, 2):
                case = Case(variant, "mlp", batch_size, processes, steps=10)
                values = {"training": (1 + number) * of_two / processes}
                made.rows.append(Row(labels("compared", case), values, number))
    for case, seconds_of_turn, sent in [
        (Case("plain", "mlp", 64, 2, steps=10), 1.0, [GRADIENTS]),
        (Case("fit", "mlp", 64, 1, steps=10), 1.0, []),
        (Case("fit", "mlp", 64, 8, steps=10), 2.0, [GRADIENTS, GATHERING]),
        (Case("fit", "mlp", 512, 8, steps=10), 4.0, [GRADIENTS, GATHERING]),
    ]:
        own = labels("recorded", case)
        made.rows += [
            Row(own, {"training": seconds_of_turn}),
            *(Row(own | one.row().labels, one.row().values) for one in sent),
        ]
    return made


RESULTS = results_of(6 * [2.0])


def test_targets_are_met_or_missed_or_undecided() -> None:
    assert pace_table(RESULTS).rows == [
        ["mlp", "64", "1.00 [1.00, 1.00]: undecided", "1.00 [1.00, 1.00]", "at least 1.2: missed"],
        ["mlp", "256", "2.00 [2.00, 2.00]: more", "2.00 [2.00, 2.00]", "more than at 64: met"],
    ]
    assert pace_table(results_of(3 * [2.0, 0.5])).rows[1][-1] == "more than at 64: undecided"


def test_steps_a_second_are_those_of_the_median_time() -> None:
    """Of 10 steps in 4 to 24 seconds, or half of that."""
    numbers = ["0.7", "1.4", "2.00 [2.00, 2.00]: more"]
    assert rates_table(RESULTS).rows[0] == ["mlp", "64", "10", *numbers, *numbers]


def test_scaling_is_strong_where_a_batch_is_shared_and_weak_where_it_grows() -> None:
    assert scaling_table(RESULTS).rows == [
        ["mlp", "1", "strong and weak", "10.0", "640"],
        ["mlp", "8", "strong", "5.0", "320"],
        ["mlp", "8", "weak", "2.5", "1,280"],
    ]


def test_messages_are_summed_over_a_step_and_calculated_for_what_most_processes_sent() -> None:
    plain, fit, _ = sent_table(RESULTS).rows
    assert plain == ["mlp", "2", "strong", "plain", "1.00", "0.00", "318,040", "2", "318,040"]
    assert fit == ["mlp", "8", "strong", "fit", "3.00", "2.00", "318,064", "28", "556,738"]
    # 6.6 + 14 * 0.6 for the gradients, 2 * (6.6 + 7 * 0.6) for the gatherings, and 556,738 bytes at 141 GB/s.
    assert calculation_table(RESULTS).rows[0][:4] == ["mlp", "fit", "8", "41"]


@pytest.mark.nightly
def test_the_command_measures_everything_once(tmp_path: Path) -> None:
    flags = ["--arch", "mlp", "--rounds", "1", "--steps", "3", "--out", "out"]
    finished = run_benchmark("processes", *flags, cwd=tmp_path)
    assert finished.returncode == 0, finished.stderr
    results = read_raw_numbers(tmp_path / "out" / "data", "processes", Results)
    assert len(results.of(part="compared")) == 2 * 2 * 2
    assert results.numbers("processes", part="recorded") == [1, 2, 4, 8]
    assert (tmp_path / "out" / "lab" / "processes.md").is_file()
