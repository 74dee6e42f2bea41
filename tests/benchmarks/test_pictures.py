"""What is measured of pictures: the same digits from a folder, and what they cost beside MNIST's own files."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from benchmarks.pictures.__main__ import multiply_adds
from benchmarks.pictures.data import COLOUR, ColourNoise, Data, as_many_for_testing, keep_decoded, write_pictures
from benchmarks.pictures.measure import (
    ALL_CORES,
    KEPT,
    ONE_CORE,
    ORIGINAL,
    Case,
    EpochTimes,
    Measurement,
    Reading,
    What,
)
from benchmarks.pictures.page import colour_table, folder_table, markdown, reading_table
from benchmarks.pictures.results import Results
from convblocks.data.folder import PictureFolder, kept_file
from convblocks.data.images import ImageSets
from tests.scripts import run_benchmark


def test_the_folder_holds_mnists_first_digits_in_their_order(tmp_path: Path, digits: ImageSets) -> None:
    write_pictures(tmp_path, 120)
    files = PictureFolder(tmp_path).load()
    assert torch.equal(files.train.images, digits.train.images[:120])
    assert torch.equal(files.train.labels, digits.train.labels[:120])
    assert torch.equal(files.test.images, digits.test.images[:20])


def test_the_folder_is_decoded_before_it_is_measured(tmp_path: Path) -> None:
    write_pictures(tmp_path, 120)
    keep_decoded(tmp_path)
    assert kept_file(tmp_path, None).is_file()


@pytest.mark.slow
def test_the_colour_pictures_are_what_the_bare_steps_take_them_for() -> None:
    files = ColourNoise(Path()).load()
    assert (files.image_spec.shape, files.image_spec.classes) == (COLOUR.shape, COLOUR.classes)
    assert (len(files.train.labels), len(files.test.labels)) == (60_000, 10_000)


def test_an_epoch_lasts_until_the_next_or_the_end_and_the_first_does_not_count() -> None:
    times = EpochTimes()
    times.starts, times.ended = [0.0, 5.0, 7.0, 10.0], 14.0
    assert times.seconds() == [2.0, 3.0, 4.0]


def test_multiply_adds_are_those_of_a_networks_layers() -> None:
    """Of 784 inputs and of 3,072: torchinfo counts a bias as one more."""
    assert multiply_adds("mlp") == {"MNIST": 79_510, "folder": 79_510, "colour": 308_310}


# Seconds in each of two rounds. The machine is half as fast in the second one.
SECONDS: dict[tuple[What, Data], tuple[float, float]] = {
    ("epoch", "MNIST"): (2.0, 4.0),
    ("epoch", "folder"): (2.0, 4.4),
    ("epoch", "colour"): (6.0, 12.0),
    ("bare", "MNIST"): (1.0, 2.0),
    ("bare", "colour"): (2.0, 4.0),
}
READINGS = {ALL_CORES: (6, 3.0), ONE_CORE: (6, 6.0), KEPT: (7, 1.0), ORIGINAL: (7, 0.5)}


@pytest.fixture
def results() -> Results:
    """The folder costs as much as MNIST in one round and more in the other; the colour pictures cost too much."""
    made = Results(
        "a machine", None, ["--rounds", "2"], 2, 2, 60_000, {"mlp": {"MNIST": 100, "folder": 100, "colour": 250}}
    )
    for number in range(2):
        for (what, data), seconds in SECONDS.items():
            timed = [0.5 * seconds[number], seconds[number], 9.0 * seconds[number]]
            made.trained.append(Measurement(Case(what, "mlp", data, steps=10), timed))
        for way, (images, of_first) in READINGS.items():
            made.read.append(Reading(way, images, (1 + number) * of_first))
    return made


def test_an_epoch_on_the_folder_is_held_against_mnists(results: Results) -> None:
    assert folder_table(results).rows == [["mlp", "10", "3.00", "3.20", "1.05 [0.57, 1.92]", "at most 1.05: undecided"]]


def test_an_epoch_on_colour_pictures_is_held_against_the_arithmetic(results: Results) -> None:
    bare, epochs, proportion = "2.00 [2.00, 2.00]", "3.00 [3.00, 3.00]", "1.50 [1.50, 1.50]"
    assert colour_table(results).rows == [
        ["mlp", "3.00", "9.00", "2.50", bare, epochs, proportion, "at most 1.1: missed"]
    ]


def test_reading_is_told_in_seconds_and_in_images_a_second(results: Results) -> None:
    table = reading_table(results)
    assert table.rows == [
        [ALL_CORES, "6", "4.50 [3.00, 6.00]", "1"],
        [ONE_CORE, "6", "9.00 [6.00, 12.00]", "1"],
        [KEPT, "7", "1.50 [1.00, 2.00]", "5"],
        [ORIGINAL, "7", "0.75 [0.50, 1.00]", "9"],
    ]
    assert table.notes[0].endswith("Decoding with all cores takes 0.50 [0.50, 0.50] times as long as with one.")


def test_the_page_says_on_what_and_how_often_it_was_measured(results: Results) -> None:
    page = " ".join(markdown(replace(results, minutes=8.2)).split())
    assert "`python -m benchmarks.pictures --rounds 2` measured in 8 minutes" in page
    assert "a machine; commit unknown; 2 threads" in page
    assert "60,000 training and 10,000 test images" in page
    assert "2 rounds" in page


def test_the_test_pictures_are_as_large_a_share_as_the_training_pictures() -> None:
    assert [as_many_for_testing(count) for count in (60_000, 600, 64)] == [10_000, 100, 11]


@pytest.mark.slow
def test_the_command_measures_everything_in_each_round(tmp_path: Path) -> None:
    flags = ["--arch", "mlp", "--rounds", "2", "--pictures", "64", "--out", "out"]
    finished = run_benchmark("pictures", *flags, cwd=tmp_path)
    assert finished.returncode == 0, finished.stderr
    assert "An epoch on a folder of pictures" in finished.stdout
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["data", "lab"]
    measured = json.loads((tmp_path / "out" / "data" / "pictures.json").read_text())
    trained = [(one["case"]["what"], one["case"]["data"]) for one in measured["trained"]]
    assert sorted(trained) == sorted([*SECONDS, *SECONDS])
    assert all(len(one["seconds"]) == 3 for one in measured["trained"])
    read = [(one["way"], one["images"]) for one in measured["read"]]
    once = [(ALL_CORES, 64), (ONE_CORE, 64), (KEPT, 75), (ORIGINAL, 70_000)]
    assert sorted(read) == sorted([*once, *once])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--rounds", "0"], "--rounds must be at least 1, but is 0"),
        (["--pictures", "63"], "--pictures must be 64 to 60000, but is 63"),
        (["--out", "/dev/null/out"], "cannot write to /dev/null/out"),
    ],
)
def test_wrong_options_are_told_in_one_line(tmp_path: Path, flags: list[str], message: str) -> None:
    finished = run_benchmark("pictures", *flags, cwd=tmp_path)
    assert finished.returncode != 0
    assert message in finished.stderr
    assert "Traceback" not in finished.stderr
