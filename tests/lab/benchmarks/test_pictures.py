"""The benchmark of pictures: the same digits from a folder, and the cost of colour beside MNIST's own files."""

from pathlib import Path

import pytest
import torch

from convblocks.data.images import ImageSets
from convblocks.pictures.source import PictureFolder, kept_file
from lab.benchmarks.pages import read_raw_numbers
from lab.benchmarks.pictures.data import COLOUR, ColourNoise, as_many_for_testing, keep_decoded, write_pictures
from lab.benchmarks.pictures.measure import ALL_CORES, KEPT, ONE_CORE, ORIGINAL, multiply_adds
from lab.benchmarks.pictures.page import colour_table, folder_table, reading_table, texts
from lab.benchmarks.rows import Labels, Results, Row
from tests.scripts import run_benchmark


def test_the_folder_holds_mnists_first_digits_in_their_order_and_is_decoded(tmp_path: Path, digits: ImageSets) -> None:
    write_pictures(tmp_path, 120)
    keep_decoded(tmp_path)
    assert kept_file(tmp_path).is_file()
    files = PictureFolder(tmp_path).load()
    assert torch.equal(files.train.images, digits.train.images[:120])
    assert torch.equal(files.train.labels, digits.train.labels[:120])
    assert torch.equal(files.test.images, digits.test.images[:20])
    assert [as_many_for_testing(count) for count in (60_000, 600, 64)] == [10_000, 100, 11]


@pytest.mark.slow
def test_the_colour_pictures_are_as_large_as_the_bare_steps_take_them_for() -> None:
    files = ColourNoise(Path()).load()
    assert (files.image_spec.shape, files.image_spec.classes) == (COLOUR.shape, COLOUR.classes)
    assert (len(files.train.labels), len(files.test.labels)) == (60_000, 10_000)


def test_multiply_adds_are_those_of_a_networks_layers() -> None:
    """Of 784 inputs and of 3,072: torchinfo counts a bias as one more."""
    assert [multiply_adds("mlp", data) for data in ("MNIST", "colour")] == [79_510, 308_310]


# Seconds of training and evaluation in each of six rounds. The machine gets slower.
SECONDS = {
    ("epoch", "MNIST"): (1.5, 0.5),
    ("epoch", "folder"): (1.6, 0.5),
    ("epoch", "colour"): (4.0, 2.0),
    ("bare", "MNIST"): (1.0, 0.0),
    ("bare", "colour"): (2.0, 0.0),
}
READINGS = {ALL_CORES: (6, 3.0), ONE_CORE: (6, 6.0), KEPT: (7, 1.0), ORIGINAL: (7, 0.5)}


@pytest.fixture
def results() -> Results:
    """The folder costs as much as MNIST in the first round and more in the others; colour pictures cost too much."""
    made = Results("a machine", None, [], 6, {"threads": 2, "pictures": 60_000})
    for data, count in (("MNIST", 100), ("colour", 250)):
        made.rows.append(Row({"part": "arithmetic", "arch": "mlp", "data": data}, {"multiply_adds": count}))
    for number in range(6):
        for (part, data), seconds in SECONDS.items():
            labels: Labels = {"part": part, "arch": "mlp", "data": data, "steps": 10}
            training, evaluation = SECONDS["epoch", "MNIST"] if data == "folder" and number == 0 else seconds
            slower = 1 + number
            values = {"training": slower * training, "evaluation": slower * evaluation}
            made.rows.append(Row(labels, values, number))
        for way, (images, of_first) in READINGS.items():
            values = {"images": images, "seconds": (1 + number) * of_first}
            made.rows.append(Row({"part": "reading", "way": way}, values, number))
    return made


def test_an_epoch_on_the_folder_is_held_against_mnists(results: Results) -> None:
    assert folder_table(results).rows == [["mlp", "10", "7.00", "7.35", "1.05 [1.00, 1.05]", "at most 1.05: met"]]


def test_an_epoch_on_colour_pictures_is_held_against_the_arithmetic(results: Results) -> None:
    ratios = ["2.00 [2.00, 2.00]: more", "3.00 [3.00, 3.00]: more", "1.50 [1.50, 1.50]"]
    assert colour_table(results).rows == [["mlp", "7.00", "21.00", "2.50", *ratios, "at most 1.1: missed"]]


def test_reading_is_given_in_seconds_and_in_images_a_second(results: Results) -> None:
    assert reading_table(results).rows[:2] == [
        [ALL_CORES, "6", "10.50 [3.00, 18.00]", "1"],
        [ONE_CORE, "6", "21.00 [6.00, 36.00]", "0"],
    ]
    assert texts(results)["cores"] == "0.50 [0.50, 0.50]: less"


@pytest.mark.nightly
def test_the_command_measures_everything_in_each_round(tmp_path: Path) -> None:
    flags = ["--arch", "mlp", "--rounds", "2", "--pictures", "64", "--out", "out"]
    finished = run_benchmark("pictures", *flags, cwd=tmp_path)
    assert finished.returncode == 0, finished.stderr
    results = read_raw_numbers(tmp_path / "out" / "data", "pictures", Results)
    for part, data in SECONDS:
        assert len(results.of(part=part, data=data)) == 2
    images = {way: results.values("images", part="reading", way=way) for way in READINGS}
    assert images == {ALL_CORES: [64, 64], ONE_CORE: [64, 64], KEPT: [75, 75], ORIGINAL: [70_000, 70_000]}
    assert (tmp_path / "out" / "lab" / "pictures.md").is_file()
