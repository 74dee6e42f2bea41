"""The benchmark of pictures: the same digits from a folder, and the cost of colour beside MNIST's own files."""

from pathlib import Path

import torch

from convblocks.data.images import ImageSets
from convblocks.pictures.source import PictureFolder, kept_file
from lab.benchmarks.pictures.data import as_many_for_testing, keep_decoded, write_pictures
from lab.benchmarks.pictures.measure import multiply_adds


def test_folder_holds_mnists_first_digits_in_their_order_and_is_decoded(tmp_path: Path, digits: ImageSets) -> None:
    write_pictures(tmp_path, 120)
    keep_decoded(tmp_path)
    assert kept_file(tmp_path).is_file()
    files = PictureFolder(tmp_path).load()
    assert torch.equal(files.train.images, digits.train.images[:120])
    assert torch.equal(files.train.labels, digits.train.labels[:120])
    assert torch.equal(files.test.images, digits.test.images[:20])
    assert [as_many_for_testing(count) for count in (60_000, 600, 64)] == [10_000, 100, 11]


def test_multiply_adds_are_those_of_a_networks_layers() -> None:
    """Of 784 inputs and of 3,072: torchinfo counts a bias as one more."""
    assert [multiply_adds("mlp", data) for data in ("MNIST", "colour")] == [79_510, 308_310]
