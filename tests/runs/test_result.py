"""The result of a run: kept to the last digit, refused if damaged, and what follows from its epochs."""

import json
import math
import re
from dataclasses import replace
from pathlib import Path

import pytest

from convblocks.data.images import MNIST
from convblocks.errors import UserError
from convblocks.runs.records import decode, encode, read_results, write_results
from convblocks.runs.result import Row, RunResult
from tests.comparison.made_up import MACHINE, course, result


def of(*accuracies: float, **changed: object) -> RunResult:
    """A run with these test accuracies, an epoch each, of ten seconds."""
    return result("maxpool", 0, accuracies[-1], epochs=course(*accuracies), **changed)  # type: ignore[arg-type]


def evaluated(step: int, accuracy: float, loss: float) -> Row:
    """The row of an evaluation on validation images within the first epoch."""
    return {"epoch": 1, "step": step, "val/acc": accuracy, "val/loss": loss, "seconds": 2.5}


@pytest.mark.parametrize("loss", [0.1 + 0.2, 5e-324, 1e308, -0.0, math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("mistakes", [(), None, tuple(range(10_000))], ids=["none", "unknown", "all"])
def test_written_results_are_read_unchanged(loss: float, mistakes: tuple[int, ...] | None, tmp_path: Path) -> None:
    """Compared as text, in which nan equals nan, and 1 is not 1.0; test_readers has arbitrary values."""
    path = tmp_path / "new" / "study.jsonl"
    within = (evaluated(2**53 + 1, 0, loss),)
    first = of(0.1, 0.95, lr=loss, mistakes=mistakes, evaluations=within, ended_by='a\n"\u00e4\u2028')
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
        ('"epoch": 3', '"epoch": 4', "its epochs are not 1, 2, 3 and so on"),
        (r'"epochs": \[{', '"epochs": [], "before": [{', "its epochs are not 1, 2"),
        ('"step"', '"steps"', "its rows lack epoch, step or seconds"),
        ('"train/loss"', '"loss"', "it lacks train/loss or test/acc"),
        ('"final": {"test/acc"', '"final": {"acc"', "it lacks train/loss or test/acc"),
        ('"test/acc": 0.95', '"test/acc": 95', "is not in 0..1"),
        (r"\[3, 17\]", "[3, 10000]", "not among the test images"),
        ('"parameters": 79510', '"parameters": "many"', "Expected `int`"),
        ('"parameters"', '"weights"', "missing required field `parameters`"),
        ('"channels": 1', '"channels": 0', "and pixels"),
        ('"machine"', '"engine"', "missing required field `machine`"),
    ],
)
def test_a_damaged_line_is_refused_in_one_line(tmp_path: Path, old: str, new: str, reason: str) -> None:
    path = tmp_path / "study.jsonl"
    write_results(path, [result("mlp", seed, 0.95, mistakes=(3, 17)) for seed in range(2)])
    first, second = path.read_text().splitlines(keepends=True)
    path.write_text(first + re.sub(old, new, second), errors="surrogateescape")
    with pytest.raises(UserError) as error:
        read_results(path)
    assert re.fullmatch(rf"cannot read {path} \(.*\): line 2: write it again with docs/train.py", str(error.value))
    assert reason in str(error.value)


@pytest.mark.parametrize("content", [None, b"", b"[" * 100_000, b"\0\n\xff"], ids=["missing", "empty", "deep", "odd"])
def test_a_file_without_results_is_refused_by_its_name(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "study.jsonl"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=rf"^cannot read {path} "):
        read_results(path)


def test_losses_and_seconds_are_those_of_the_epochs() -> None:
    one = of(0.9, 0.95, 0.97, evaluations=(evaluated(100, 0.8, 0.7),))
    assert (one.first_loss, one.last_loss) == pytest.approx((0.3, 0.1))
    assert (one.score, one.seconds, one.has_diverged) == (0.97, 32.5, False)
    assert not of(0.1, 0.1).has_diverged
    assert result("mlp", 0, 0.1, epochs=course(0.1, loss=math.nan)).has_diverged


@pytest.mark.parametrize(
    ("losses", "best"), [((0.3, 0.2, 0.25), 0.92), ((0.3, math.nan, 0.4), 0.91), ((math.nan,) * 3, 0.91)]
)
def test_the_validation_accuracy_is_that_of_the_lowest_loss(losses: tuple[float, ...], best: float) -> None:
    """Evaluations within an epoch count too; a loss that is not finite does only if there is no other."""
    measured = [{"val/loss": loss, "val/acc": 0.91 + index / 100} for index, loss in enumerate(losses)]
    epochs = tuple(row | more for row, more in zip(course(0.1, 0.2), measured[:2], strict=True))
    assert replace(of(0.9, 0.9), epochs=epochs, evaluations=(evaluated(1000, 0.93, losses[2]),)).validation == best
    assert of(0.9).validation is None


@pytest.mark.parametrize(
    ("accuracies", "died_in", "collapsed_in"),
    [
        ((0.95, 0.96, 0.0980), 3, 3),
        ((0.95, 0.0980, 0.0980), 2, 2),
        ((0.95, 0.1, 0.96, 0.1, 0.1), 4, 4),
        ((0.1135, 0.1135), None, 1),
        ((0.1135, 0.97), None, None),
    ],
)
def test_a_collapsed_run_died_if_it_had_learned_something(
    accuracies: tuple[float, ...], died_in: int | None, collapsed_in: int | None
) -> None:
    one = of(*accuracies)
    assert (one.died_in, one.collapsed_in) == (died_in, collapsed_in)


def test_a_collapse_within_an_epoch_is_that_epochs() -> None:
    one = replace(of(0.1, 0.1), evaluations=(evaluated(100, 0.8, 0.7), evaluated(900, 0.1, 2.3)))
    assert one.collapsed_in == 1
    assert replace(of(0.9, 0.9), collapsed=True).collapsed_in == 2  # no evaluation shows it


def test_the_time_to_an_accuracy_is_that_of_the_first_epoch_with_it() -> None:
    one = of(0.95, 0.985, 0.97)
    assert [one.time_to(accuracy) for accuracy in (0.9, 0.98, 0.985, 0.99)] == [(1, 10), (2, 20), (2, 20), None]
    first, second = course(0.99, 0.99)
    del first["test/acc"]  # not evaluated
    assert replace(one, epochs=(first, second)).time_to(0.98) == (2, 20)


def test_an_extended_run_is_known_as_it_was_before() -> None:
    one = of(0.95, 0.1, 0.97, mistakes=(3, 17))
    one = replace(one, epochs=tuple(row | {"train/acc": row["test/acc"]} for row in one.epochs))
    before = one.after(2)
    assert (before.epochs, before.final) == (one.epochs[:2], one.epochs[1])
    assert (before.score, before.collapsed, before.mistakes) == (0.1, True, None)
    assert not one.after(1).collapsed
    evaluated = replace(one, evaluations=one.epochs)
    assert evaluated.after(2).evaluations == one.epochs[:2]
    assert one.after(3) == one.after(4) == one.after(-1) == one
    validated = replace(one, epochs=tuple(row | {"val/acc": 0.96, "val/loss": 0.1} for row in one.epochs))
    assert (len(validated.after(2).epochs), validated.after(2).final) == (2, one.final)  # of the best evaluation


def test_a_run_is_done_with_its_epochs_or_if_something_ended_it() -> None:
    assert [of(0.9, 0.95, 0.97).is_done(epochs) for epochs in (2, 3, 4)] == [True, True, False]
    assert of(0.9, 0.95, 0.97, ended_by="EarlyStopping").is_done(4)


def test_a_spreadsheet_row_has_every_single_value() -> None:
    row = of(0.95, 0.97, overrides=(("epochs", "2"), ("lr", "1e-3")), mistakes=(3, 17), lr=0.001).as_row()
    expected = {"arch": "maxpool", "seed": 0, "parameters": 85_526, "final.test/acc": 0.97, "lr": 0.001}
    expected |= {"images.train": 60_000, "images.test": 10_000, "images.spec.height": MNIST.height}
    expected |= {"provenance.machine": MACHINE, "provenance.commit": "abc1234", "overrides": "epochs=2,lr=1e-3"}
    expected |= {"score": 0.97, "validation": None, "first_loss": 0.2, "last_loss": 0.1, "seconds": 20.0}
    expected |= {"collapsed": False, "collapsed_in": None}
    assert expected.items() <= row.items()
    assert not any(isinstance(value, list | tuple | dict) for value in row.values())
