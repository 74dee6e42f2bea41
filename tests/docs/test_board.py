"""The board: what recipes reach and cost, and whether their goals are met."""

from dataclasses import replace

import pytest

from benchmarks.rows import Results, Row
from convblocks.runs.result import Overrides, RunResult
from docs.board import Entry, entries_table, goals_table, precision_of, public_table
from docs.comparisons import DATA
from tests.comparison.made_up import MACHINE, course, provenance, result

ELSEWHERE = provenance("4 CPUs (Other), Linux, python 3.12.0", commit=None, threads=2)


def runs(arch: str, accuracy: float, *seconds: float) -> list[RunResult]:
    """Runs around an accuracy that are at 99 % after so many seconds; their first epoch takes a second."""
    return [
        result(
            arch,
            seed,
            accuracy + 0.0001 * (seed % 3 - 1),
            epochs=(first | {"seconds": 1.0}, second | {"seconds": time - 1}),
        )
        for seed, time in enumerate(seconds)
        for first, second in [course(0.98, 0.9901)]
    ]


def verdict(entry: Entry, *others: Entry) -> list[str]:
    """What the goals' table says of an entry's recipe."""
    goal = {"long": 0, "onecycle": 1, "sprint": 2}[entry.recipe]
    return list(goals_table([entry, *others]).rows[goal][1:])


@pytest.mark.parametrize(("accuracy", "expected"), [(0.9962, "met"), (0.9960, "not met"), (0.9950, "not met")])
def test_a_goal_is_met_where_the_whole_interval_is_above_it(accuracy: float, expected: str) -> None:
    assert verdict(Entry("long", "long", runs("maxpool", accuracy, 9, 9, 9, 9, 9)))[1] == expected


@pytest.mark.parametrize(("seconds", "expected"), [((11.0, 11.1, 11.2), "met"), ((11.0, 11.5, 12.4), "not met")])
def test_a_goal_of_time_is_met_where_the_whole_interval_is_below_it(seconds: tuple[float, ...], expected: str) -> None:
    assert verdict(Entry("sprint", "sprint", runs("maxpool", 0.9905, *seconds)))[1] == expected


def test_a_goal_of_time_must_be_met_on_every_machine() -> None:
    fast = Entry("sprint", "sprint", runs("maxpool", 0.9905, 8.0, 8.1, 8.2))
    slow = Entry(
        "sprint", "sprint", [replace(run, provenance=ELSEWHERE) for run in runs("maxpool", 0.9905, 20, 21, 22)]
    )
    measured, met = verdict(fast, slow)
    assert met == "not met"
    assert measured == (
        "8.1 [7.9, 8.3], n = 3, 2 CPUs (AMD EPYC 9R45), Linux; 21.0 [18.5, 23.5], n = 3, 4 CPUs (Other), Linux"
    )


def test_runs_that_were_never_so_accurate_have_no_time() -> None:
    slow = runs("maxpool", 0.985, 9, 9, 9)
    never = replace(slow[0], epochs=course(0.985, seconds=9.0))
    assert Entry("sprint", "sprint", [never, *slow[1:]]).seconds is None


@pytest.mark.parametrize(
    ("overrides", "precision"),
    [
        ((("epochs", "5"),), "32-true"),
        ((("config", "configs/sprint.yaml"),), "bf16-mixed"),
        ((("config", "configs/sprint.yaml"), ("trainer.precision", "32-true")), "32-true"),
        ((("config", "configs/onecycle.yaml"),), "32-true"),
    ],
)
def test_the_precision_is_that_of_the_command_line_or_the_config(overrides: Overrides, precision: str) -> None:
    assert precision_of(overrides) == precision


def test_what_has_not_been_run_is_not_met() -> None:
    assert [row[1:] for row in goals_table([]).rows] == [["-", "not met"]] * 3


def test_the_time_from_the_process_start_is_told_on_the_machine_where_it_was_measured() -> None:
    first = Row({"part": "command", "command": "first step", "arch": "maxpool"}, {"seconds": 4.0})
    starts = Results(MACHINE, None, [], rounds=1, rows=[first])
    here = Entry("sprint", "sprint", runs("maxpool", 0.9905, 8.0, 8.0, 8.0))
    there = Entry("sprint", "sprint", [replace(run, provenance=ELSEWHERE) for run in here.runs])
    rows = entries_table([here, there], starts).rows
    assert [row[7:9] for row in rows] == [["8.0 [8.0, 8.0]", "12.0"], ["8.0 [8.0, 8.0]", "-"]]


def test_figures_of_others_have_their_sources() -> None:
    rows = public_table(DATA).rows
    assert rows[1][:4] == [
        "[train_mnist_fast](https://github.com/tuomaso/train_mnist_fast/blob/8d221d9/8_Final_00s76.ipynb)",
        "215,194",
        "1",
        "99.041, mean of 30 runs",
    ]
