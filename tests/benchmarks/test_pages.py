"""Raw numbers are kept whole, and what is damaged is told."""

import math
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from benchmarks.pages import picture, read_raw_numbers, write_raw_numbers
from convblocks.errors import UserError


@dataclass(frozen=True)
class Case:
    arch: str
    steps: int | None


@dataclass(frozen=True)
class Measurement:
    case: Case
    seconds: list[float]


@dataclass
class Results:
    machine: str
    counts: dict[str, dict[str, int]]
    measured: list[Measurement] = field(default_factory=list)


RESULTS = Results(
    "a machine",
    {"mlp": {"MNIST": 79_510}},
    [Measurement(Case("mlp", None), [0.1, 1 / 3]), Measurement(Case("", 5), [math.inf])],
)


def test_what_is_read_is_what_was_written(tmp_path: Path) -> None:
    write_raw_numbers(tmp_path / "data", "study", RESULTS)
    assert read_raw_numbers(tmp_path / "data", "study", Results) == RESULTS


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "No such file or directory"),
        ('{"machine": "a', "Input data was truncated"),
        ("[]", "Expected `object`, got `array`"),
        ('{"machine": "a machine"}', "missing required field `counts`"),
        ('{"engine": "a machine"}', "missing required field `machine`"),
        ('{"machine": "a machine", "counts": {"mlp": {"MNIST": "many"}}}', "Expected `int`, got `str`"),
    ],
)
def test_damage_is_told_in_a_line(tmp_path: Path, content: str | None, reason: str) -> None:
    path = tmp_path / "study.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(UserError) as caught:
        read_raw_numbers(tmp_path, "study", Results)
    assert str(caught.value).startswith(f"cannot read {path} (")
    assert reason in str(caught.value)


def test_a_picture_has_a_dark_variant() -> None:
    shown = picture("docs/lab/results", "Test errors").splitlines()
    assert 'media="(prefers-color-scheme: dark)" srcset="docs/lab/results-dark.png"' in shown[1]
    assert '<img alt="Test errors" src="docs/lab/results.png">' in shown[2]
