"""The verdicts of earlier measurements of training stay on the page."""

from dataclasses import replace
from pathlib import Path

import pytest

from convblocks.figures.tables import Table
from lab.benchmarks.rows import Results
from lab.benchmarks.training.history import (
    Measurement,
    always_missed,
    history_table,
    measurement,
    read_history,
    write_history,
)
from lab.benchmarks.training.page import targets_table
from lab.pages.writing import DATA, read_raw_numbers

EPYC = Measurement(
    "2026-12-01", "abc", "2 CPUs (AMD EPYC), Linux", 6, {"a, mlp": "missed", "b, mlp": "met"}
)
LATER = replace(EPYC, date="2026-12-02", verdicts={"a, mlp": "missed", "b, mlp": "missed"})
XEON = replace(EPYC, machine="2 CPUs (Intel(R) Xeon(R) Processor)", verdicts={"a, mlp": "met"})


def test_last_measurement_that_is_kept_is_the_one_of_the_page() -> None:
    results = read_raw_numbers(DATA, "performance", Results)
    last = read_history(DATA)[-1]
    assert measurement(results, targets_table(results), last.date) == last


def test_verdicts_are_those_of_cells_with_a_target() -> None:
    targets = Table(
        "", ["ratio", "mlp", "maxpool"], [["a", "1.2, at most 1: missed", "1.2 [1, 2]: more"]]
    )
    found = measurement(Results("a machine", "abc", [], 6), targets, "2026-12-01")
    assert found.verdicts == {"a, mlp": "missed"}


def test_history_is_read_as_it_was_written(tmp_path: Path) -> None:
    assert read_history(tmp_path) == []
    write_history(tmp_path, [EPYC, XEON])
    assert read_history(tmp_path) == [EPYC, XEON]


def test_table_counts_and_names_what_was_missed() -> None:
    rows = history_table([EPYC, LATER]).rows
    assert [[str(cell) for cell in row[-4:]] for row in rows] == [
        ["1", "1", "0", "a, mlp"],
        ["0", "2", "0", "a, mlp; b, mlp"],
    ]


@pytest.mark.parametrize(
    ("history", "said"),
    [
        (
            [EPYC, LATER, XEON],
            "in all 2 measurements on EPYC: a, mlp; in one measurement on Xeon: none",
        ),
        ([XEON], "in one measurement on Xeon: none"),
    ],
)
def test_what_one_kind_of_processor_always_missed_is_told(
    history: list[Measurement], said: str
) -> None:
    assert always_missed(history).startswith(f"Missed {said}. ")
