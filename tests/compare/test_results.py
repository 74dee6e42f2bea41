"""Results in files are kept to the last digit, and refused if damaged; and what a comparison reads from them."""

import json
import math
import re
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from convblocks.compare.results import after, as_row, has_diverged
from convblocks.data.images import MNIST
from convblocks.errors import UserError
from convblocks.run.directory import RunDirectory
from convblocks.run.result import Row, RunResult, decode, encode
from lab.results import died_in, read_results, time_to, write_results
from tests.made_up import MACHINE, course, result


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


@pytest.mark.parametrize(
    ("accuracies", "died"),
    [
        ((0.95, 0.96, 0.0980), 3),
        ((0.95, 0.0980, 0.0980), 2),
        ((0.95, 0.1, 0.96, 0.1, 0.1), 4),
        ((0.1135, 0.1135), None),
        ((0.1135, 0.97), None),
    ],
)
def test_a_collapsed_run_died_if_it_had_learned_something(accuracies: tuple[float, ...], died: int | None) -> None:
    assert died_in(of(*accuracies)) == died


def test_a_run_has_diverged_if_its_loss_has_or_if_it_cannot_have_failed_otherwise() -> None:
    assert [has_diverged(one) for one in (of(0.9), of(0.1, 0.1), of(0.1, 0.1, facts={"chance": 0.05}))] == [False] * 3
    assert has_diverged(result("mlp", 0, 0.1, epochs=course(0.1, loss=math.nan)))
    assert has_diverged(replace(of(0.1), facts={}))  # nobody has looked whether it has collapsed


def test_the_time_to_an_accuracy_is_that_of_the_first_epoch_with_it() -> None:
    one = of(0.95, 0.985, 0.97)
    assert [time_to(one, accuracy) for accuracy in (0.9, 0.98, 0.985, 0.99)] == [(1, 10), (2, 20), (2, 20), None]
    first, second = course(0.99, 0.99)
    del first["test/acc"]  # not evaluated
    assert time_to(replace(one, epochs=(first, second)), 0.98) == (2, 20)


def test_an_extended_run_is_known_as_it_was_before() -> None:
    one = of(0.95, 0.1, 0.97, facts={"mistakes": [3, 17]})
    before = after(one, 2)
    assert (before.epochs, before.final) == (one.epochs[:2], one.epochs[1])
    assert (before.score, before.failed, "mistakes" in before.facts) == (0.1, False, False)  # it has recovered since
    never_recovered = of(0.95, 0.1, 0.1, facts={"collapsed_in": 2})
    assert [after(never_recovered, epochs).failed for epochs in (1, 2, 3)] == [False, True, True]
    assert ["collapsed_in" in after(never_recovered, epochs).facts for epochs in (1, 2)] == [False, True]
    evaluated = replace(one, evaluations=one.epochs)
    assert after(evaluated, 2).evaluations == one.epochs[:2]
    assert after(one, 3) == after(one, 4) == after(one, -1) == one
    validated = replace(one, epochs=tuple(row | {"val/acc": 0.96, "val/loss": 0.1} for row in one.epochs))
    assert (len(after(validated, 2).epochs), after(validated, 2).final) == (2, one.final)  # of the best evaluation


def test_a_spreadsheet_row_has_every_single_value() -> None:
    row = as_row(
        of(0.95, 0.97, overrides=(("epochs", "2"), ("lr", "1e-3")), facts={"mistakes": [3, 17]}, hparams={"lr": 0.1})
    )
    expected = {"arch": "maxpool", "seed": 0, "parameters": 85_526, "final.test/acc": 0.97, "hparams.lr": 0.1}
    expected |= {"facts.images.train": 60_000, "facts.images.spec.height": MNIST.height, "facts.chance": 0.15}
    expected |= {"provenance.machine": MACHINE, "provenance.commit": "abc1234", "overrides": "epochs=2,lr=1e-3"}
    expected |= {"score": 0.97, "validation": None, "first_loss": 0.2, "last_loss": 0.1, "seconds": 20.0}
    expected |= {"failed": False, "judge.metric": "val/acc", "monitor.metric": "val/loss"}
    assert expected.items() <= row.items()
    assert not any(isinstance(value, list | tuple | dict) for value in row.values())
