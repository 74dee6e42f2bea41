"""The benchmarks' pages show all that is measured, and leave out what older records lack."""

from collections.abc import Sequence

import pytest

from convblocks.figures.estimates import NOTHING, Estimate
from lab.benchmarks.growth.page import grows, verdict
from lab.benchmarks.rows import Labels, Results, Row
from lab.benchmarks.training.figure import training
from lab.benchmarks.training.page import TARGETS, command, commands_blocks, pace, targets_table
from lab.pages.writing import Block, Picture

ROUNDS = 6


def measured(*cases: tuple[Labels, dict[str, float]]) -> Results:
    """Of an MLP, the same in all rounds."""
    rows = [
        Row({"arch": "mlp", **labels}, values, number)
        for number in range(ROUNDS)
        for labels, values in cases
    ]
    return Results("a machine", "abc", [], ROUNDS, rows=rows)


STEPS = (
    (training("fit", threads="one"), {"step": 0.001}),
    (training("fit --fast false", threads="one"), {"step": 0.002}),
)
PARTS = {"start": 2.0, "data": 0.5, "training": 1.0, "evaluation": 0.25, "results": 0.25}
COMMANDS = (
    (command("epoch", fast="true"), PARTS | {"seconds": 4.0}),
    (command("epoch", fast="false"), PARTS | {"seconds": 5.0}),
)


def rows_of(blocks: Sequence[Block]) -> Sequence[Sequence[str]]:
    """Of the only table."""
    (table,) = (block[0] for block in blocks if not isinstance(block, str | Picture))
    return table.rows


def first_two(row: Sequence[str]) -> tuple[str, str]:
    return row[0], row[1]


def test_page_shows_what_the_short_cuts_save() -> None:
    shown = dict(map(first_two, targets_table(measured(*STEPS, *COMMANDS)).rows))
    assert shown == {
        "training steps on one thread: fit --fast false / fit": "2.00 [2.00, 2.00]: more",
        "a command of one epoch: fit --fast false / fit": "1.25 [1.25, 1.25]: more",
    }


def test_page_shows_the_parts_of_commands() -> None:
    parts = ["2.00", "0.50", "1.00", "0.25", "0.25"]
    assert rows_of(commands_blocks(measured(*STEPS, *COMMANDS))) == [
        ["mlp", "false", *parts, "5.00"],
        ["mlp", "true", *parts, "4.00"],
    ]


def test_what_a_record_does_not_have_is_left_out() -> None:
    older = measured(*STEPS[:1])
    assert commands_blocks(older) == []
    assert targets_table(older).rows == []


def test_headline_says_which_is_faster_than_the_bare_loop() -> None:
    results = measured((training("fit"), {"step": 3.0}), (training("bare"), {"step": 2.0}))
    assert "1.50 [1.50, 1.50] times as long for mlp" in pace(results)
    assert pace(results).endswith("`bare` is faster for mlp.")


def test_ratio_without_a_target_is_shown_where_it_is_measured() -> None:
    memory = next(target for target in TARGETS if target.value == "memory")
    results = measured((training("fit"), {"memory": 1.0}), (training("bare"), {"memory": 2.0}))
    assert memory.cell(results, "mlp") == "0.50 [0.50, 0.50]: less"
    assert memory.cell(results, "maxpool") == ""


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [
        (0.98, 0.995, "proportional"),
        (1.01, 1.04, "proportional"),
        (0.85, 0.96, "slower"),
        (1.05, 1.2, "faster"),
        (0.7, 1.2, "undecided"),
    ],
)
def test_cost_near_proportional_growth_is_proportional(low: float, high: float, said: str) -> None:
    assert verdict(Estimate((low + high) / 2, low, high)) == said


def test_processes_that_share_cpus_have_no_verdict() -> None:
    assert grows("processes", Estimate(1.5, 1.3, 1.7)) == NOTHING
    assert grows("images", Estimate(1.5, 1.3, 1.7)) == "faster"
