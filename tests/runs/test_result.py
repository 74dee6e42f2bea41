"""The result of a run: kept to the last digit, refused if damaged, and what follows from its epochs."""

import json
import math
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from convblocks.data.images import MNIST, ImageSpec
from convblocks.errors import UserError
from convblocks.runs.result import Images, Provenance, Row, RunResult, decode, encode, read_results, write_results
from tests.comparison.made_up import course, result, same_setting

texts = st.text(st.characters(exclude_categories=["Cs"]))
shares = st.floats(0, 1)
counts = st.integers(0, 2**63 - 1)
image_specs = st.builds(
    ImageSpec,
    channels=st.just(1),
    height=st.integers(1, 500),
    width=st.integers(1, 500),
    classes=st.lists(texts, min_size=2, max_size=4, unique=True).map(tuple),
    mean=st.tuples(shares),
    std=st.tuples(st.floats(0, 1, exclude_min=True)),
)
metrics = st.builds(
    dict[str, float].__or__,
    st.dictionaries(st.sampled_from(["step", "train/loss", "seconds", "dead/block 1"]), st.floats() | counts),
    st.dictionaries(st.sampled_from(["val/acc", "test/acc"]), shares),
)
row = {"epoch": 1, "step": 1, "train/loss": 0.1, "seconds": 1.5, "test/acc": 0.5}
rows = st.builds(lambda more: row | more, metrics)
results = st.builds(
    RunResult,
    arch=texts,
    seed=counts,
    parameters=counts,
    lr_scheduler=texts,
    epochs=st.lists(rows, min_size=1, max_size=3).map(
        lambda rows: tuple(row | {"epoch": number} for number, row in enumerate(rows, start=1))
    ),
    final=rows,
    ended_by=texts,
    collapsed=st.booleans(),
    chance_threshold=st.floats(),
    images=st.builds(Images, image_specs, train=counts, test=st.just(2**63 - 1)),
    provenance=st.builds(
        Provenance,
        machine=texts,
        commit=st.none() | texts,
        data=st.none() | st.dictionaries(texts, texts, max_size=2),
        device=texts,
        processes=counts,
        threads=counts,
    ),
    evaluations=st.lists(rows, max_size=2).map(tuple),
    mistakes=st.none() | st.lists(st.integers(0, 2**63 - 2), max_size=5).map(tuple),
    lr=st.none() | st.floats(),
    batch_size=st.none() | counts,
    overrides=st.lists(st.tuples(texts, texts), max_size=3).map(tuple),
)


@given(st.lists(results, min_size=1, max_size=3))
@settings(max_examples=100, deadline=None)
def test_written_results_are_read_unchanged(written: list[RunResult]) -> None:
    """Also nan and infinity. Compared as text, in which nan equals nan, and 1 is not 1.0."""
    with tempfile.TemporaryDirectory() as folder:  # hypothesis shares a test's own folder between its examples
        path = Path(folder, "new", "study.jsonl")
        write_results(path, written)
        assert repr(read_results(path)) == repr(written)
    for one in written:
        assert repr(decode(encode(one, indent=2), path, "")) == repr(one)


def test_numbers_that_are_not_finite_are_valid_json(tmp_path: Path) -> None:
    lost = result("mlp", 0, 0.1, epochs=course(0.1, 0.1, loss=math.nan))
    text = encode(replace(lost, lr=math.inf))
    parsed = json.loads(text, parse_constant=pytest.fail)
    assert (parsed["epochs"][0]["train/loss"], parsed["lr"]) == ("nan", "inf")
    assert text.count("\n") == 1


def test_no_mistake_unknown_mistakes_and_many_are_distinguished(tmp_path: Path) -> None:
    mistakes = [(), None, tuple(range(10_000))]
    write_results(tmp_path / "study.jsonl", [result("mlp", 0, 0.9, mistakes=one) for one in mistakes])
    assert [one.mistakes for one in read_results(tmp_path / "study.jsonl")] == mistakes


Damage = Callable[[str], str]
DAMAGES: dict[str, tuple[Damage, str]] = {
    "cut within a line": (lambda text: text[:-5], "Input data was truncated"),
    "an epoch lost": (lambda text: text.replace('"epoch": 3', '"epoch": 4'), "its epochs are not 1, 2, 3 and so on"),
    "no epochs": (lambda text: text.replace('"epochs": [{', '"epochs": [], "before": [{'), "its epochs are not 1, 2"),
    "a loss lost": (lambda text: text.replace('"train/loss"', '"loss"'), "it lacks train/loss or test/acc"),
    "a step lost": (lambda text: text.replace('"step"', '"steps"'), "its rows lack epoch, step or seconds"),
    "no accuracy": (
        lambda text: text.replace('"final": {"test/acc"', '"final": {"acc"'),
        "it lacks train/loss or test/acc",
    ),
    "an impossible accuracy": (lambda text: text.replace('"test/acc": 0.95', '"test/acc": 95'), "is not in 0..1"),
    "an impossible mistake": (lambda text: text.replace("[3, 17]", "[3, 10000]"), "not among the test images"),
    "no number": (lambda text: text.replace('"parameters": 79510', '"parameters": "many"'), "Expected `int`"),
    "another field": (lambda text: text.replace('"parameters"', '"weights"'), "missing required field `parameters`"),
    "no images": (lambda text: text.replace('"channels": 1', '"channels": 0'), "and pixels"),
    "no machine": (lambda text: text.replace('"machine"', '"engine"'), "missing required field `machine`"),
    "no object": (lambda _: "[]\n", "Expected `object`, got `array`"),
    "not text": (lambda text: text.replace("mlp", "\udcff"), "utf-8"),
    "an empty line": (lambda text: "\n" + text, "Input data was truncated"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_line_is_refused_in_one_line(tmp_path: Path, damage: str) -> None:
    spoil, reason = DAMAGES[damage]
    path = tmp_path / "study.jsonl"
    write_results(path, [result("mlp", seed, 0.95, mistakes=(3, 17)) for seed in range(2)])
    first, second = path.read_text().splitlines(keepends=True)
    path.write_text(first + spoil(second), errors="surrogateescape")
    with pytest.raises(UserError) as error:
        read_results(path)
    assert reason in str(error.value)
    assert str(error.value).startswith(f"cannot read {path} (")
    assert str(error.value).endswith("): line 2: write it again with docs/train.py")
    assert "\n" not in str(error.value)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"study\.jsonl \(No such file or directory\)"):
        read_results(tmp_path / "study.jsonl")


@given(st.binary(min_size=1) | st.just(b"[" * 100_000))
@settings(max_examples=100, deadline=None)
def test_any_other_content_is_refused(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "study.jsonl").write_bytes(content)
        with pytest.raises(UserError):
            read_results(Path(folder, "study.jsonl"))


def of(*accuracies: float, **changed: object) -> RunResult:
    """A run with these test accuracies, an epoch each, of ten seconds."""
    return result("maxpool", 0, accuracies[-1], epochs=course(*accuracies), **changed)  # type: ignore[arg-type]


def evaluated(step: int, accuracy: float, loss: float) -> Row:
    """The row of an evaluation on validation images within the first epoch."""
    return {"epoch": 1, "step": step, "val/acc": accuracy, "val/loss": loss, "seconds": 2.5}


def test_losses_and_seconds_are_those_of_the_epochs() -> None:
    one = of(0.9, 0.95, 0.97, evaluations=(evaluated(100, 0.8, 0.7),))
    assert (one.first_loss, one.last_loss) == pytest.approx((0.3, 0.1))
    assert (one.accuracy, one.seconds, one.has_diverged) == (0.97, 32.5, False)
    assert of(0.1, 0.1).has_diverged is False
    assert result("mlp", 0, 0.1, epochs=course(0.1, loss=math.nan)).has_diverged


@pytest.mark.parametrize(
    ("losses", "best"), [((0.3, 0.2, 0.25), 0.92), ((0.3, math.nan, 0.4), 0.91), ((math.nan,) * 3, 0.91)]
)
def test_the_validation_accuracy_is_that_of_the_lowest_loss(losses: tuple[float, ...], best: float) -> None:
    """Evaluations within an epoch count too; a loss that is not finite does only if there is no other."""
    measured = [{"val/loss": loss, "val/acc": 0.91 + index / 100} for index, loss in enumerate(losses)]
    epochs = tuple(row | more for row, more in zip(course(0.1, 0.2), measured[:2], strict=True))
    within = evaluated(1000, 0.93, losses[2])
    one = replace(of(0.9, 0.9), epochs=epochs, evaluations=(within,))
    assert one.validation == best
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


@pytest.mark.parametrize(
    ("accuracy", "reached"), [(0.9, (1, 10.0)), (0.98, (2, 20.0)), (0.985, (2, 20.0)), (0.99, None)]
)
def test_the_time_to_an_accuracy_is_that_of_the_first_epoch_with_it(
    accuracy: float, reached: tuple[int, float] | None
) -> None:
    assert of(0.95, 0.985, 0.97).time_to(accuracy) == reached


def test_an_epoch_without_evaluation_reaches_nothing() -> None:
    first, second = course(0.99, 0.99)
    del first["test/acc"]
    assert of(0.99, 0.99).time_to(0.98) == (1, 10.0)
    assert replace(of(0.99), epochs=(first, second)).time_to(0.98) == (2, 20.0)


def test_an_extended_run_is_known_as_it_was_before() -> None:
    one = of(0.95, 0.1, 0.97, mistakes=(3, 17))
    before = one.after(2)
    assert (before.epochs, before.final) == (one.epochs[:2], one.epochs[1])
    assert (before.accuracy, before.collapsed, before.mistakes) == (0.1, True, None)
    assert not one.after(1).collapsed
    assert one.after(3) == one.after(4) == one.after(-1) == one


def test_with_validation_images_the_final_metrics_of_an_extended_run_stay() -> None:
    one = result("mlp", 0, 0.97, epochs=course(0.9, 0.95, 0.97), validation=0.96)
    epochs = tuple(row | {"val/acc": 0.96, "val/loss": 0.1} for row in one.epochs)
    before = replace(one, epochs=epochs).after(2)
    assert (len(before.epochs), before.final) == (2, one.final)


@pytest.mark.parametrize(
    ("ended_by", "epochs", "is_done"),
    [("its epochs", 3, True), ("its epochs", 4, False), ("EarlyStopping", 4, True), ("its epochs", 2, True)],
)
def test_a_run_is_done_with_its_epochs_or_if_something_ended_it(ended_by: str, epochs: int, is_done: bool) -> None:
    assert of(0.9, 0.95, 0.97, ended_by=ended_by).is_done(epochs) == is_done


def test_a_spreadsheet_row_has_every_single_value() -> None:
    row = of(0.95, 0.97, overrides=(("epochs", "2"), ("lr", "1e-3")), mistakes=(3, 17), lr=0.001).as_row()
    assert row["overrides"] == "epochs=2,lr=1e-3"
    expected = {"arch": "maxpool", "seed": 0, "parameters": 85_526, "final.test/acc": 0.97, "lr": 0.001}
    expected |= {"images.train": 60_000, "images.test": 10_000, "images.spec.height": MNIST.height}
    expected |= {"provenance.machine": same_setting(1)[0].provenance.machine, "provenance.commit": "abc1234"}
    expected |= {"accuracy": 0.97, "validation": None, "first_loss": 0.2, "last_loss": 0.1, "seconds": 20.0}
    expected |= {"collapsed": False, "collapsed_in": None}
    assert expected.items() <= row.items()
    assert not any(isinstance(value, list | tuple | dict) for value in row.values())
