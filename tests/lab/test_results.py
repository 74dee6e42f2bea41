"""Results in files are kept to the last digit, and refused if damaged."""

import json
import math
import re
from functools import partial
from pathlib import Path

import pytest

from convblocks.errors import UserError
from convblocks.run.directory import RunDirectory
from convblocks.run.result import Row, RunResult, decode, encode
from lab.results import read_results, write_results
from tests.made_up import course, result


def of(*accuracies: float, **changed: object) -> RunResult:
    """A run with these test accuracies, an epoch each, of ten seconds."""
    return result("maxpool", 0, accuracies[-1], epochs=course(*accuracies), **changed)  # type: ignore[arg-type]


def evaluated(step: int, accuracy: float, loss: float) -> Row:
    """The row of an evaluation on validation images within the first epoch."""
    return {"epoch": 1, "step": step, "val/acc": accuracy, "val/loss": loss, "seconds": 2.5}


@pytest.mark.parametrize("loss", [0.1 + 0.2, 5e-324, 1e308, -0.0, math.nan, math.inf, -math.inf])
def test_written_results_are_read_unchanged(loss: float, tmp_path: Path) -> None:
    """Compared as text, in which nan equals nan, and 1 is not 1.0; test_readers has arbitrary values."""
    path = tmp_path / "new" / "study.jsonl"
    within = (evaluated(2**53 + 1, 0, loss),)
    facts = {"mistakes": [*range(10_000)], "lost": None, "nested": {"1": [0.1 + 0.2, "nan", True]}}
    first = of(0.1, 0.95, facts=facts, hparams={"lr": 5e-324}, evaluations=within, ended_by='a\n"\u00e4\u2028')
    written = [first, of(1, parameters=2**63 - 1, overrides=(("lr", "1e-2"),))]
    write_results(path, written)
    assert repr(read_results(path)) == repr(written)
    assert [repr(decode(encode(one, indent=2), path, "")) for one in written] == [repr(one) for one in written]
    json.loads(encode(first), parse_constant=pytest.fail)  # valid, in a line
    assert encode(first).count("\n") == 1


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        (r".{5}\n$", "", "Input data was truncated"),
        ("^", "\n", "Input data was truncated"),
        (r"^.+\n$", "[]\n", "Expected `object`, got `array`"),
        ("mlp", "\udcff", "utf-8"),
        ('"facts": {', '"facts": [], "before": {', "Expected `object`, got `array`"),
        ('"parameters": 79510', '"parameters": "many"', "Expected `int`"),
        ('"parameters"', '"weights"', "missing required field `parameters`"),
        ('"machine"', '"engine"', "missing required field `machine`"),
    ],
)
def test_a_damaged_line_is_refused_in_one_line(tmp_path: Path, old: str, new: str, reason: str) -> None:
    path = tmp_path / "study.jsonl"
    write_results(path, [result("mlp", seed, 0.95) for seed in range(2)])
    first, second = path.read_text().splitlines(keepends=True)
    path.write_text(first + re.sub(old, new, second), errors="surrogateescape")
    with pytest.raises(UserError) as error:
        read_results(path)
    assert re.fullmatch(rf"cannot read {path} \(.*\).*: line 2: write it again with lab/train.py", str(error.value))
    assert reason in str(error.value).replace("UTF-8", "utf-8")  # as msgspec wrote it before


def test_a_file_of_an_older_version_is_said_to_be_one(tmp_path: Path) -> None:
    path, run = tmp_path / "study.jsonl", RunDirectory("run", tmp_path)
    run.create()
    older = json.dumps({"arch": "mlp", "seed": 0, "collapsed": False})
    path.write_text(older)
    run.summary.write_text(older)
    for read in (partial(read_results, path), run.read_result):
        with pytest.raises(UserError, match=r"(study.jsonl|summary.json) \(.+\), .* of an older version"):
            read()


@pytest.mark.parametrize("content", [None, b"", b"\0\n\xff"], ids=["missing", "empty", "odd"])
def test_a_file_without_results_is_refused_by_its_name(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "study.jsonl"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=rf"^cannot read {path} "):
        read_results(path)
