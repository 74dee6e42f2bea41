"""Records are the outcomes, to the last digit, and what is damaged is told."""

import csv
import math
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from convblocks.comparison.outcomes import Images, Provenance, RunResult
from convblocks.comparison.records import provenance, read_records, write_records
from hypothesis import given, settings
from hypothesis import strategies as st

from convblocks.data.image_spec import ImageSpec
from convblocks.errors import UserError
from tests.comparison.made_up import MACHINE, outcome, same_setting

texts = st.text(st.characters(exclude_categories=("Cc", "Cs")))  # a setting or a machine's name is a line
options = texts.filter(lambda text: "=" not in text)
shares = st.floats(0, 1)
counts = st.integers(min_value=0)
descriptions = st.builds(
    ImageSpec,
    channels=st.just(1),
    height=st.integers(1, 500),
    width=st.integers(1, 500),
    classes=st.lists(texts, min_size=2, max_size=4, unique=True).map(tuple),
    mean=st.tuples(shares),
    std=st.tuples(st.floats(0, 1, exclude_min=True)),
)
metrics = st.sampled_from(["epoch", "step", "train/loss", "val/acc", "test/acc", "seconds", "dead/block 1", "dead/0"])
outcomes = st.builds(
    RunResult,
    arch=texts,
    settings=st.lists(st.tuples(options, texts), max_size=3).map(tuple),
    seed=counts,
    parameters=counts,
    first_loss=st.floats(),
    last_loss=st.floats(),
    accuracy=shares,
    validation=st.none() | shares,
    collapsed=st.booleans(),
    seconds=st.floats(min_value=0),
    epochs=st.lists(st.dictionaries(metrics, st.floats() | counts), max_size=3).map(tuple),
    images=st.builds(Images, descriptions, test_images=st.integers(min_value=1000), chance_threshold=shares),
    provenance=st.builds(Provenance, texts, threads=counts, processes=counts, commit=st.none() | texts.filter(bool)),
    mistakes=st.none() | st.lists(st.integers(0, 999), max_size=5).map(tuple),
    data=st.none() | st.dictionaries(texts, texts, max_size=2),
)


@given(st.lists(outcomes, max_size=3))
@settings(max_examples=50)
def test_what_is_read_is_what_was_written(written: list[RunResult]) -> None:
    with tempfile.TemporaryDirectory() as folder:  # hypothesis shares a test's own folder between its examples
        write_records(Path(folder), "study", written)
        # As text, in which nan equals nan, and 1 is not 1.0.
        assert repr([sorted_rows(one) for one in read_records(Path(folder), "study")]) == repr(
            [sorted_rows(one) for one in written]
        )


def sorted_rows(one: RunResult) -> RunResult:
    """The order in which an epoch has its metrics means nothing."""
    return replace(one, epochs=tuple(dict(sorted(row.items())) for row in one.epochs))


def test_no_answer_no_mistake_and_no_validation_are_different_things(tmp_path: Path) -> None:
    written = [
        outcome("mlp", 0, 1.0, mistakes=(), validation=0.5),
        outcome("mlp", 1, 0.9998, mistakes=(3, 7), last_loss=math.nan),
        outcome("mlp", 2, 0.95),
    ]
    write_records(tmp_path, "study", written)
    found = read_records(tmp_path, "study")
    assert [one.mistakes for one in found] == [(), (3, 7), None]
    assert [one.validation for one in found] == [0.5, None, None]
    assert math.isnan(found[1].last_loss)


def test_a_spreadsheet_finds_a_row_a_run_and_a_row_an_epoch(tmp_path: Path) -> None:
    first = outcome("mlp", 0, 0.95, (("lr", "1e-3"), ("data.root", "my data")), mistakes=(3, 17, 250))
    write_records(tmp_path, "study", [first, outcome("maxpool", 0, 0.97)])
    with (tmp_path / "study.runs.csv").open() as file:
        runs = list(csv.DictReader(file))
    assert [run["arch"] for run in runs] == ["mlp", "maxpool"]
    assert runs[0]["settings"] == "epochs=5 lr=1e-3 'data.root=my data'"
    with (tmp_path / "study.epochs.csv").open() as file:
        epochs = list(csv.DictReader(file))
    assert [(row["run"], row["epoch"]) for row in epochs] == [(f"{run}", f"{n}") for run in (0, 1) for n in range(1, 6)]
    assert (tmp_path / "study.mistakes.csv").read_text() == "run,mistakes\n0,3 17 250\n"


def test_many_mistakes_are_no_trouble(tmp_path: Path) -> None:
    every = tuple(range(60_000))
    images = replace(outcome("mlp", 0, 0.0).images, test_images=60_000)
    write_records(tmp_path, "study", [outcome("mlp", 0, 0.0, mistakes=every, images=images)])
    assert read_records(tmp_path, "study")[0].mistakes == every


Damage = Callable[[str], str]
DAMAGES: dict[str, tuple[str, Damage, str]] = {
    "a file cut within a row": ("runs", lambda text: text[:-5], "it is cut short"),
    "a row cut": ("epochs", lambda text: text[:-5] + "\n", "has not as many values"),
    "a row lost": ("epochs", lambda text: text[: text[:-1].rindex("\n") + 1], "run 29: it had 5 epochs, and 4 are"),
    "a run lost": ("runs", lambda text: text[: text[:-1].rindex("\n") + 1], "there is no run 29"),
    "runs moved": ("runs", lambda text: text.replace("\n0,", "\n7,"), "run 0: '7' stands in its place"),
    "mistakes lost": ("mistakes", lambda _: "run,mistakes\n", "run 0: it had 2 mistakes"),
    "a mistake beyond the images": ("mistakes", lambda text: text.replace("17", "10000"), "none of 10000 images"),
    "no number": ("runs", lambda text: text.replace(",0.1135,", ",many,"), "could not convert string to float"),
    "no accuracy": ("runs", lambda text: text.replace(",0.1135,", ",11.35,"), "11.35 is no accuracy"),
    "another column": ("runs", lambda text: text.replace("parameters", "weights"), "'parameters' is missing"),
    "no images": ("runs", lambda text: text.replace('""channels"":1', '""channels"":0'), "and pixels"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_told_in_a_line(tmp_path: Path, damage: str) -> None:
    first, *others = same_setting()
    write_records(tmp_path, "study", [replace(first, mistakes=(3, 17)), *others])
    part, spoil, told = DAMAGES[damage]
    path = tmp_path / f"study.{part}.csv"
    path.write_text(spoil(path.read_text()))
    with pytest.raises(UserError) as error:
        read_records(tmp_path, "study")
    assert told in str(error.value)
    assert "\n" not in str(error.value)
    assert ".csv (" in str(error.value)


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"study\.runs\.csv \(No such file or directory\)"):
        read_records(tmp_path, "study")


@given(st.binary(), st.sampled_from(["runs", "epochs", "mistakes"]))
@settings(max_examples=50)
def test_whatever_a_file_holds_it_is_read_or_told(content: bytes, part: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        write_records(Path(folder), "study", [outcome("mlp", 0, 0.95, mistakes=(3, 17))])
        (Path(folder) / f"study.{part}.csv").write_bytes(content + b"\n")
        with pytest.raises(UserError):
            read_records(Path(folder), "study")


def test_provenance_counts_the_runs_of_a_machine() -> None:
    assert provenance(same_setting()) == [f"30 runs on {MACHINE}, one thread each, commit abc1234"]


def test_provenance_has_a_line_for_each_machine() -> None:
    runs = [
        outcome("mlp", 0, 0.9, provenance=Provenance("one", threads=2, processes=2, commit=None)),
        outcome("mlp", 1, 0.9, provenance=Provenance("another", threads=1, processes=1, commit="a")),
        outcome("mlp", 2, 0.9, provenance=Provenance("another", threads=4, processes=1, commit="b")),
        outcome("mlp", 3, 0.9, provenance=Provenance("former", threads=0, processes=1, commit="c")),
    ]
    assert provenance(runs) == [
        "1 run on one, 2 threads each, 2 processes each, commit unknown",
        "2 runs on another, 1 and 4 threads each, commits a and b",
        "1 run on former, commit c",
    ]
