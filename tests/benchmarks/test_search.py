"""What the benchmark of searches makes of their trials."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.pages import read_raw_numbers, write_raw_numbers
from benchmarks.search.page import answer, figure, markdown, reached_table, started_table
from benchmarks.search.results import Course, Reached, Results, Started, Tried
from tests.scripts import run_benchmark

TPE = Course("tpe", 0, [Tried(10, 0.9), Tried(2, None), Tried(10, 0.95), Tried(10, 0.93)])
RANDOM = Course("random", 0, [Tried(10, 0.8), Tried(10, 0.97), Tried(10, 0.96), Tried(10, 0.99)])
STARTED = [Started(1.5, 1.4), Started(1.7, 1.5), Started(1.6, 1.4)]
RESULTS = Results("a machine", "abc1234", ["--repeats", "1"], "maxpool", 3, [TPE, RANDOM], STARTED)


def test_a_best_accuracy_is_known_once_its_trial_has_ended() -> None:
    assert TPE.steps() == [(10, 0.9), (22, 0.95)]
    assert [TPE.best_after(seconds) for seconds in (9, 10, 21, 22, 100)] == [None, 0.9, 0.9, 0.95, 0.95]


def test_searches_are_compared_at_what_the_cheaper_one_took() -> None:
    assert RESULTS.equal_cost(0) == 32
    assert RESULTS.reached("random", 1.0) == Reached(0.97, 0.97, 0.97)
    assert RESULTS.reached("tpe", 0.25) is None


def test_over_the_repeats_the_median_counts() -> None:
    repeats = [Course("tpe", number, [Tried(10, accuracy)]) for number, accuracy in enumerate((0.9, 0.96, 0.92))]
    assert replace(RESULTS, courses=repeats).reached("tpe", 1.0) == Reached(0.92, 0.9, 0.96)


def test_the_table_has_a_row_for_each_variant() -> None:
    rows = reached_table(RESULTS).rows
    assert [row[1:3] for row in rows] == [["4", "32"], ["4", "40"]]
    assert rows[0][-1] == "95.00 [95.00, 95.00]"
    assert "python -m benchmarks.search --repeats 1" in markdown(RESULTS)


def test_a_curve_ends_at_what_the_table_says_of_it() -> None:
    """TPE's cost is the cheaper one, and so all of the cost that is compared."""
    (axes,) = figure(RESULTS).axes
    best = float(reached_table(RESULTS).rows[0][-1].split()[0])
    end = np.asarray(axes.lines[0].get_xydata())[-1]
    assert end == pytest.approx([RESULTS.equal_cost(0), 100 - best])


def test_both_searches_are_told_apart_by_an_interval_over_the_repeats() -> None:
    better = [Course("tpe", number, [Tried(10, 0.98 + number / 1000)]) for number in range(3)]
    random = [Course("random", number, [Tried(10, 0.97), Tried(10, 0.99)]) for number in range(3)]
    found = answer(replace(RESULTS, courses=[*random, *better]))
    assert found.startswith("At equal cost TPE with the median pruner found better settings than random search. ")
    assert "+1.10 points [+0.85, +1.35]" in found
    swapped = [replace(one, variant="random" if one.variant == "tpe" else "tpe") for one in (*random, *better)]
    assert "random search found better settings than TPE" in answer(replace(RESULTS, courses=swapped))


def test_one_repeat_decides_nothing() -> None:
    assert answer(RESULTS).startswith("Whether TPE with the median pruner beats random search of the same cost is not")


def test_what_a_search_adds_to_a_run_is_held_against_its_target() -> None:
    assert started_table(RESULTS).rows == [["1.60", "1.43", "+0.17 [+0.02, +0.31]", "at most 0.3: undecided"]]


def test_the_page_is_made_of_the_raw_numbers_alone(tmp_path: Path) -> None:
    write_raw_numbers(tmp_path, "search", RESULTS)
    assert read_raw_numbers(tmp_path, "search", Results) == RESULTS


@pytest.mark.slow
def test_the_benchmark_leaves_page_picture_and_raw_numbers(workspace: Path) -> None:
    flags = ["--arch", "mlp", "--trials", "2", "--epochs", "1", "--repeats", "1", "--out", "docs", "--jobs", "2"]
    flags += ["--rounds", "1", "--runs", "2"]
    tiny = ["--data.val_size", "500", "--trainer.limit_train_batches", "5", "--trainer.logger", "false"]
    finished = run_benchmark("search", *flags, *tiny, cwd=workspace)
    assert finished.returncode == 0, finished.stderr
    assert {path.name for path in Path("docs").iterdir()} == {"lab", "data"}
    courses = json.loads(Path("docs/data/search.json").read_text())["courses"]
    assert [(course["variant"], len(course["trials"])) for course in courses] == [
        ("tpe", 2),
        ("random", 2),
        ("grid", 12),
    ]
