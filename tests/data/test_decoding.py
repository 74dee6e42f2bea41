"""Many pictures are decoded on all cores, in order, with a sign of progress."""

import multiprocessing
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from convblocks.data.pictures import FEW, Header, decode, read_headers
from convblocks.errors import DataError


def write_numbered(folder: Path, count: int) -> list[Path]:
    """Colour pictures of 4 x 5 pixels whose values are their index."""
    folder.mkdir()
    paths = [folder / f"{number}.png" for number in range(count)]
    for number, path in enumerate(paths):
        pixels = np.full((4, 5, 3), (number // 256, number % 256, 7), dtype=np.uint8)
        Image.fromarray(pixels).save(path, compress_level=1)
    return paths


def numbers_in(images: torch.Tensor) -> list[int]:
    values = images[:, :2, 0, 0].long()
    return (256 * values[:, 0] + values[:, 1]).tolist()


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return write_numbered(tmp_path_factory.mktemp("many") / "pictures", FEW + 100)


@pytest.fixture(scope="module")
def ten_thousand(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return write_numbered(tmp_path_factory.mktemp("thousands") / "pictures", 10_000)


def processes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The ids of the processes forked from now on."""
    started: list[int] = []
    kind = multiprocessing.get_context("fork").Process
    real = kind.start

    def noting(self: multiprocessing.process.BaseProcess) -> None:
        real(self)
        started.append(self.pid or 0)

    monkeypatch.setattr(kind, "start", noting)
    return started


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere processes are not forked")
def test_ten_thousand_pictures_are_decoded_by_all_cores_in_their_order(
    ten_thousand: Sequence[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    started = processes(monkeypatch)
    images = decode(ten_thousand, (3, 4, 5))
    cores = len(os.sched_getaffinity(0))
    assert len(started) == (cores if cores > 1 else 0)
    assert images.shape == (10_000, 3, 4, 5)
    assert numbers_in(images) == list(range(10_000))
    assert (images[:, 2] == 7).all()


@pytest.mark.slow
def test_one_damaged_picture_among_ten_thousand_is_named(ten_thousand: Sequence[Path], tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.png"
    damaged.write_bytes(ten_thousand[0].read_bytes()[:60])
    paths = [*ten_thousand[:7000], damaged, *ten_thousand[7000:]]
    with pytest.raises(DataError, match=f"cannot use the picture {damaged}: it cannot be read"):
        decode(paths, (3, 4, 5))
    assert not multiprocessing.active_children()


def test_of_two_damaged_pictures_the_first_is_named(many: Sequence[Path], tmp_path: Path) -> None:
    """Regardless of which process is faster."""
    paths = [Path(shutil.copy(path, tmp_path)) for path in many]
    for index in (70, 400):
        paths[index].write_text("no picture")
    with pytest.raises(DataError, match=r"/70\.png"):
        read_headers(paths)


def test_looks_come_in_the_order_of_the_files(many: Sequence[Path], tmp_path: Path) -> None:
    grey = tmp_path / "grey.png"
    Image.new("L", (3, 2)).save(grey)
    headers = read_headers([*many, grey])
    assert headers == [Header(4, 5, grey=False)] * len(many) + [Header(2, 3, grey=True)]


def test_slow_work_is_announced_by_one_line(many: Sequence[Path], capfd: pytest.CaptureFixture[str]) -> None:
    read_headers(many)
    decode(many, (3, 4, 5))
    captured = capfd.readouterr()
    assert captured.err.splitlines() == ["Looking at 600 pictures", "Decoding 600 pictures"]
    assert captured.out == ""


def test_few_pictures_are_decoded_silently_in_this_process(
    many: Sequence[Path], capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    started = processes(monkeypatch)
    read_headers(many[:FEW])
    assert numbers_in(decode(many[:FEW], (3, 4, 5))) == list(range(FEW))
    assert capfd.readouterr() == ("", "")
    assert not started


def test_decoding_draws_no_random_numbers(many: Sequence[Path]) -> None:
    """Otherwise a run that decodes its pictures would draw other weights."""
    torch.manual_seed(0)
    state = torch.get_rng_state()
    decode(many, (3, 4, 5))
    decode(many[:10], (3, 4, 5))
    assert torch.equal(torch.get_rng_state(), state)
