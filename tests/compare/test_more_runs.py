"""How many runs would decide a comparison, and the command that trains them."""

from collections.abc import Sequence

import pytest

from convblocks.compare.report import report_of
from convblocks.record.result import RunResult
from tests.made_up import as_claimed, result, short

RATES = ("1e-3", "1e-2")


def alike(seeds: Sequence[int], difference: float = 0.001) -> list[RunResult]:
    """Runs of two networks that differ by less than they vary."""
    return [
        short(arch, seed, 0.9 + difference * (arch == "mlp") + 0.002 * place)
        for arch in ("mlp", "maxpool")
        for place, seed in enumerate(seeds)
    ]


@pytest.mark.parametrize(
    ("repeat", "command"),
    [
        ("compare --seeds 3 --name x", "compare --name x --seeds 5"),
        ("compare --seeds=3 --epochs 2", "compare --epochs 2 --seeds 5"),
        ("compare", "compare --seeds 5"),
    ],
)
def test_too_few_runs_are_told_how_many_would_do(repeat: str, command: str) -> None:
    report = report_of(as_claimed(3), repeat=repeat, jobs=2)
    assert report.command == command
    assert report.sentences[-1] == (
        "To be sure whether BatchNorm is better than MaxPool takes about 5 runs each, if they "
        "differ as much as these (power 80 %). Decide then: looking again and again makes chance "
        "look like a difference. This trains the 6 that are missing, in about 60 s:"
    )
    assert report.to_markdown().count(command) == 1


@pytest.mark.parametrize(
    ("seconds", "jobs", "time"), [(100, 6, "100 s"), (100, 4, "4 minutes"), (4000, 2, "4 hours")]
)
def test_time_is_that_of_the_missing_runs_side_by_side(seconds: int, jobs: int, time: str) -> None:
    runs = [
        short(run.arch, run.seed, run.score, epochs=({**run.epochs[0], "seconds": seconds},))
        for run in as_claimed(3)
    ]
    assert report_of(runs, repeat="compare", jobs=jobs).sentences[-1].endswith(f"about {time}:")


@pytest.mark.parametrize(
    ("seeds", "value"), [([0, 1, 2], "4"), ([5, 6, 7], "5-8"), ([0, 4, 9], "0,4,9,10")]
)
def test_seeds_go_on_after_the_last_one(seeds: list[int], value: str) -> None:
    report = report_of(alike(seeds, 0.05), repeat="compare --seeds 0", jobs=1)
    assert report.command == f"compare --seeds {value}"


def test_confirming_runs_are_extended_by_their_own_option() -> None:
    chosen = [
        result(run.arch, run.seed, run.score, (("lr", rate),), validation=run.score)
        for run in as_claimed(2)
        for rate in RATES
    ]
    fresh = [
        result(run.arch, 2 + run.seed, run.score, (("lr", RATES[0]),)) for run in as_claimed(3)
    ]
    report = report_of(chosen, fresh, "compare --confirm 3 --seeds 2 --grid lr=1e-3,1e-2", jobs=6)
    assert report.command == "compare --seeds 2 --grid lr=1e-3,1e-2 --confirm 5"
    assert "the 6 that are missing" in report.sentences[-1]


def test_collapses_take_more_runs() -> None:
    runs = alike(range(4), 0.05)
    runs[1] = short("mlp", 1, 0.098)
    runs[2] = short("mlp", 2, 0.098)
    assert report_of(runs, repeat="compare", jobs=1).command == "compare --seeds 8"


def test_difference_that_takes_too_many_runs_has_no_command_and_no_exact_number() -> None:
    report = report_of(alike(range(5), 0.0002), repeat="compare", jobs=2)
    assert "takes about 3,900 runs each" in report.sentences[-1]  # 3,926
    assert report.command == ""


@pytest.mark.parametrize("others", [1, 3, 24])
def test_one_run_is_told_the_least_number_that_can_decide_and_no_power(others: int) -> None:
    runs = [short("mlp", 0, 0.97), *alike(range(others))[others:]]
    assert (
        report_of(runs, repeat="compare", jobs=2)
        .sentences[-1]
        .startswith("To be sure whether the MLP is better than MaxPool takes at least 4 runs each.")
    )


def test_seeds_that_are_trained_are_not_given_up_for_fewer() -> None:
    runs = [run for run in as_claimed(8) if run.arch == "mlp" or run.seed < 2]
    report = report_of(runs, repeat="compare --seeds 8 --no-fit", jobs=2)
    assert "about 5 runs each" in report.sentences[-1]
    assert report.command == ""


@pytest.mark.parametrize(
    "runs",
    [
        pytest.param(as_claimed(8), id="certain"),
        pytest.param(alike(range(5), 0), id="equal"),
        pytest.param(alike(range(3))[:3], id="one network"),
    ],
)
def test_no_more_runs_are_proposed_where_none_would_tell_more(runs: list[RunResult]) -> None:
    report = report_of(runs, repeat="compare", jobs=2)
    assert report.command == ""
    assert not any("To be sure" in line for line in report.sentences)
