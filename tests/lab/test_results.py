"""Results in files are kept to the last digit, and refused if damaged."""

import json
import math
from functools import partial
from pathlib import Path

import pytest

from convblocks.errors import UserError
from convblocks.record.directory import RunDirectory
from convblocks.record.result import decode, encode
from lab.results import read_results, write_results
from tests.made_up import course, result


@pytest.mark.parametrize("loss", [0.1 + 0.2, math.nan, -math.inf])
def test_results_are_read_as_they_were_written(loss: float, tmp_path: Path) -> None:
    """Compared as text, in which nan equals nan, and 1 is not 1.0."""
    path = tmp_path / "new" / "study.jsonl"
    evaluation = {"epoch": 1, "step": 2**53 + 1, "val/acc": 0, "val/loss": loss, "seconds": 2.5}
    facts = {"mistakes": [*range(10_000)], "lost": None, "nested": {"1": [0.1 + 0.2, "nan", True]}}
    run = partial(result, "maxpool", 0, epochs=course(0.1, 0.95))
    first = run(
        0.95,
        facts=facts,
        hparams={"lr": 5e-324},
        evaluations=(evaluation,),
        ended_by='a\n"\u00e4\u2028',
    )
    written = [first, run(1, parameters=2**63 - 1, overrides=(("lr", "1e-2"),))]
    write_results(path, written)
    assert repr(read_results(path)) == repr(written)
    assert [repr(decode(encode(run, indent=2), path, "")) for run in written] == [
        repr(run) for run in written
    ]
    json.loads(encode(first), parse_constant=pytest.fail)  # valid, in a line
    assert encode(first).count("\n") == 1


def test_results_with_a_damaged_line_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "study.jsonl"
    write_results(path, [result("mlp", seed, 0.95) for seed in range(2)])
    path.write_text(path.read_text()[:-6])
    with pytest.raises(
        UserError, match=rf"^cannot read {path} \(.*truncated\).*: line 2: write it again with lab/"
    ):
        read_results(path)


def test_results_of_an_older_version_are_said_to_be_older(tmp_path: Path) -> None:
    path, run = tmp_path / "study.jsonl", RunDirectory("run", tmp_path)
    run.create()
    older = json.dumps({"arch": "mlp", "seed": 0, "collapsed": False})
    path.write_text(older)
    run.summary.write_text(older)
    for read in (partial(read_results, path), run.read_result):
        with pytest.raises(
            UserError, match=r"(study.jsonl|summary.json) \(.+\), .* of an older version"
        ):
            read()
