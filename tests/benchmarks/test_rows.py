"""Rows are measured in alternating rounds and kept whole; a ratio has the interval of its rounds."""

import math
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from statistics import median

import numpy as np
import pytest
from scipy import stats

from benchmarks.pages import Page, read_raw_numbers
from benchmarks.rows import Labels, Results, Row, ratio
from convblocks.errors import UsageError, UserError
from convblocks.tables import Table

FAST: Labels = {"arch": "mlp", "way": "fast"}
SLOW: Labels = {"arch": "mlp", "way": "slow"}

# The slow way is measured twice a round; the second round is slower.
ROWS = [
    *(Row(SLOW, {"seconds": 4.0}), Row(SLOW, {"seconds": 9.0}), Row(FAST, {"seconds": 1.0})),
    *(Row(FAST, {"seconds": 2.0}, 1), Row(SLOW, {"seconds": 18.0}, 1), Row(SLOW, {"seconds": 8.0}, 1)),
]
RESULTS = Results("a machine", None, ["--out", "docs"], rounds=2, settings={"steps": None}, rows=ROWS)


def test_cases_are_measured_in_every_round_in_alternating_order(capsys: pytest.CaptureFixture[str]) -> None:
    measured: list[str] = []

    def measure(name: str) -> list[Row]:
        measured.append(name)
        return [Row({}, {"seconds": len(measured) / 3}), Row({"detail": 1}, {"bytes": 4.0})]

    results = Results("a machine", None, [], rounds=3)
    results.measure([({"case": "a"}, lambda: measure("a")), ({"case": "b"}, lambda: measure("b"))], rounds=3)
    assert measured == ["a", "b", "b", "a", "a", "b"]
    assert [row.round for row in results.of(case="b", detail=1)] == [0, 1, 2]
    assert results.rows[1] == Row({"case": "a", "detail": 1}, {"bytes": 4.0})
    assert capsys.readouterr().out.splitlines()[0] == "round 1/3  a: seconds 0.3333"


def test_rows_are_found_by_their_labels() -> None:
    assert RESULTS.values("seconds", way="fast") == [1.0, 2.0]
    assert RESULTS.different("way", arch="mlp") == ["slow", "fast"]
    assert RESULTS.median("seconds", way="slow") == 8.5


def test_two_measurements_in_a_round_count_once() -> None:
    assert RESULTS.by_round("seconds", way="slow") == pytest.approx([6.0, 12.0])
    assert RESULTS.by_round("seconds", median, way="slow") == [6.5, 13.0]
    assert str(RESULTS.ratio("seconds", SLOW, FAST)) == "6.00 [6.00, 6.00]"


def test_the_ratio_is_students_of_the_logarithms() -> None:
    above, below = [2.0, 9.0, 4.0], [1.0, 2.0, 2.0]
    logarithms = np.log(above) - np.log(below)
    expected = stats.t.interval(0.95, 2, logarithms.mean(), stats.sem(logarithms))
    measured, swapped = ratio(above, below), ratio(below, above)
    assert measured.value == pytest.approx(18 ** (1 / 3))
    assert (measured.low, measured.high) == pytest.approx(tuple(np.exp(expected)))
    assert (1 / swapped.high, 1 / swapped.low) == pytest.approx((measured.low, measured.high))


def test_intervals_of_two_rounds_cover_as_often_as_they_say() -> None:
    """2,000 experiments with a true ratio of 1.2: between 93.5 and 96.5 % are four standard errors and less."""
    random = np.random.default_rng(0)
    above, below = np.exp(random.normal([math.log(1.2), 0.0], 0.1, (2000, 2, 2))).transpose(2, 0, 1)
    measured = [ratio(list(one), list(other)) for one, other in zip(above, below, strict=True)]
    assert 0.935 <= np.mean([one.low <= 1.2 <= one.high for one in measured]) <= 0.965


def test_one_round_has_no_interval_and_decides_nothing() -> None:
    measured = ratio([3.0], [2.0])
    assert (str(measured), measured.at_least(1.0), measured.at_most(9.0)) == ("1.50", "undecided", "undecided")


def test_a_page_is_published_with_its_numbers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    template = tmp_path / "study.md"
    template.write_text("`{arguments}` took {minutes} minutes; commit {commit}. {lead}\n{remark}\n{ways}\n")
    tables = {"ways": lambda results: Table("Ways", ["way"], [[way] for way in results.different("way")])}
    results = replace(RESULTS, minutes=12.3, remark="A remark.")
    Page(template, tables, lambda results: {"lead": results.rounds}).publish(tmp_path, results)
    assert (tmp_path / "lab" / "study.md").read_text() == (
        "`--out docs` took 12 minutes; commit unknown. 2\n\nA remark.\n\n"
        "## Ways\n\n| way |\n| --- |\n| slow |\n| fast |\n"
    )
    assert read_raw_numbers(tmp_path / "data", "study", Results) == results
    assert "Ways" in capsys.readouterr().out


def test_infinity_and_no_rows_are_kept(tmp_path: Path) -> None:
    for rows in ([], [Row({"size": None, "arch": ""}, {"rate": math.inf, "share": 1 / 3}, 4)]):
        results = Results("a machine", "abc1234", [], 1, {"threads": 2}, rows=rows)
        results.write(tmp_path / "study.json")
        assert read_raw_numbers(tmp_path, "study", Results) == results


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "No such file or directory"),
        ('{"machine": "a', "Input data was truncated"),
        ("[]", "Expected `object`, got `array`"),
        ('{"machine": "a machine"}', "missing required field `commit`"),
        ('{"machine": "", "commit": "", "arguments": [], "rounds": "many"}', "Expected `int`, got `str`"),
    ],
)
def test_damage_is_an_error_of_one_line(tmp_path: Path, content: str | None, reason: str) -> None:
    path = tmp_path / "study.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(UserError) as caught:
        read_raw_numbers(tmp_path, "study", Results)
    assert str(caught.value).startswith(f"cannot read {path} (")
    assert reason in str(caught.value)


@pytest.mark.parametrize(
    "benchmark", ["training.__main__", "processes.__main__", "pictures.__main__", "search.__main__", "growth.__main__"]
)
def test_wrong_options_are_an_error_before_anything_is_measured(benchmark: str) -> None:
    main = import_module(f"benchmarks.{benchmark}").main
    with pytest.raises(UsageError, match="--rounds: must be at least 1, but is 0"):
        main(["--rounds", "0"])
    with pytest.raises(UserError, match="cannot write to /dev/null/out"):
        main(["--out", "/dev/null/out"])


@pytest.mark.parametrize(
    ("benchmark", "flags", "message"),
    [
        ("training.__main__", ["--arch", "resnet"], "invalid choice: 'resnet'"),
        ("processes.__main__", ["--steps", "2"], "must be at least 3, but is 2"),
        ("growth.__main__", ["--sizes", "1"], "must be at least 2, but is 1"),
        ("pictures.__main__", ["--pictures", "63"], "must be at least 64, but is 63"),
        ("pictures.__main__", ["--pictures", "60001"], "must be at most 60000, but is 60001"),
    ],
)
def test_options_without_a_meaning_are_refused(benchmark: str, flags: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        import_module(f"benchmarks.{benchmark}").main(flags)
