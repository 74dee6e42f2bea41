"""Pictures are decoded once, and kept as long as none of their files changes."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from filelock import FileLock

from convblocks.data import folder as folder_module
from convblocks.data import pictures
from convblocks.data.folder import PictureFolder, kept_file
from convblocks.data.images import ImageSets
from tests.data.pictures import write_pictures
from tests.hostile.spoil import cut, flipped


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """40 training and 20 test pictures in colour, of discs and squares."""
    write_pictures(tmp_path / "shapes")
    return tmp_path / "shapes"


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of pictures of each decoding."""
    counts: list[int] = []
    real = pictures.decode

    def counting(paths: list[Path], shape: tuple[int, int, int]) -> torch.Tensor:
        counts.append(len(paths))
        return real(paths, shape)

    monkeypatch.setattr(folder_module, "decode", counting)
    return counts


def same(one: ImageSets, other: ImageSets) -> bool:
    return one.fingerprint == other.fingerprint and one.image_spec == other.image_spec


# The kept file.


def test_pictures_are_decoded_once(root: Path, decoded: list[int]) -> None:
    first, again = PictureFolder(root).load(), PictureFolder(root).load()
    assert decoded == [60]
    assert same(first, again)
    assert torch.equal(first.train.images, again.train.images)
    assert torch.equal(first.test.labels, again.test.labels)


def test_preparing_decodes_for_loading(root: Path, decoded: list[int]) -> None:
    source = PictureFolder(root)
    source.prepare()
    assert kept_file(root, None).is_file()
    source.load()
    assert decoded == [60]


def renamed(path: Path) -> None:
    path.rename(path.with_name("1000.png"))


def other_time(path: Path) -> None:
    os.utime(path, ns=(0, path.stat().st_mtime_ns + 1))


def other_size(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"\0")


def other_class(path: Path) -> None:
    path.rename(path.parents[1] / "square" / path.name)


@pytest.mark.parametrize("change", [renamed, other_time, other_size, other_class, Path.unlink])
@pytest.mark.parametrize("split", ["train", "test"])
def test_a_change_of_any_file_decodes_all_again(
    change: Callable[[Path], None], split: str, root: Path, decoded: list[int]
) -> None:
    PictureFolder(root).load()
    change(root / split / "disc" / "6.png")
    changed = PictureFolder(root).load()
    assert len(decoded) == 2
    shutil.copytree(root / "train", root / "copy" / "train")
    shutil.copytree(root / "test", root / "copy" / "test")
    assert same(PictureFolder(root / "copy").load(), changed)
    assert len(decoded) == 3
    PictureFolder(root).load()  # keeps the changed set
    assert len(decoded) == 3


@pytest.mark.parametrize("spoil", [cut(0), cut(1000), cut(-100), flipped(20_000), flipped(-400), flipped(40)])
def test_a_damaged_kept_file_is_replaced(spoil: Callable[[Path], None], root: Path, decoded: list[int]) -> None:
    before = PictureFolder(root).load()
    spoil(kept_file(root, None))
    assert same(PictureFolder(root).load(), before)
    assert same(PictureFolder(root).load(), before)
    assert len(decoded) <= 2  # a byte between the file's parts has no meaning


def test_a_byte_of_a_kept_picture_that_differs_is_noticed(root: Path, decoded: list[int]) -> None:
    before = PictureFolder(root).load()
    path = kept_file(root, None)
    flipped(path.read_bytes().index(before.train.images[3].numpy().tobytes()))(path)
    assert same(PictureFolder(root).load(), before)
    assert len(decoded) == 2


def test_unfinished_files_of_a_killed_process_are_removed(root: Path) -> None:
    left = root / "..pictures.pt.0123456789ab.tmp"
    left.write_bytes(b"half of the pictures")
    PictureFolder(root).load()
    assert not left.exists()


def test_a_folder_that_cannot_be_written_to_is_read(
    root: Path, decoded: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)  # mode bits would not stop root, as whom the tests may run
    source = PictureFolder(root)
    source.prepare()
    assert source.load().image_spec.shape == (3, 16, 16)
    assert decoded == [60]
    assert sorted(path.name for path in root.iterdir()) == ["test", "train"]


def test_kept_pictures_are_used_in_a_read_only_folder(
    root: Path, decoded: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    PictureFolder(root).load()
    monkeypatch.setattr(os, "access", lambda *_: False)
    PictureFolder(root).load()
    assert decoded == [60]


def test_on_a_disk_without_locks_pictures_are_decoded_all_the_same(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: FileLock) -> None:
        raise OSError("No locks available")

    monkeypatch.setattr(type(FileLock(root / "any")), "_acquire", refuse)
    PictureFolder(root).load()
    assert kept_file(root, None).is_file()


SCRIPT = """
import resource, signal, sys
from pathlib import Path
from convblocks.data.folder import PictureFolder
if limit := int(sys.argv[2]):
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
print(PictureFolder(Path(sys.argv[1])).load().fingerprint)
"""


def start(root: Path, most_bytes: int = 0) -> subprocess.Popen[str]:
    """A process that loads a folder and prints its fingerprint, with a limit on the length of files it writes."""
    command = [sys.executable, "-c", SCRIPT, str(root), str(most_bytes)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.slow
def test_on_a_full_disk_pictures_are_decoded_all_the_same(root: Path) -> None:
    process = start(root, most_bytes=10_000)
    output, errors = process.communicate(timeout=120)
    assert (process.returncode, errors) == (0, "")
    assert not list(root.glob(".*.pt*"))
    assert output.strip() == str(PictureFolder(root).load().fingerprint)


@pytest.mark.slow
def test_of_two_processes_at_once_one_decodes_and_both_have_the_pictures(tmp_path: Path) -> None:
    write_pictures(tmp_path, train=1000, test=200)
    processes = [start(tmp_path) for _ in range(2)]
    ended = [process.communicate(timeout=240) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], ended
    assert "".join(errors for _, errors in ended).count("Decoding 1,200 pictures") == 1
    assert len({output for output, _ in ended}) == 1
    assert [path.name for path in tmp_path.glob(".*.pt*")] == [kept_file(tmp_path, None).name]
    assert str(PictureFolder(tmp_path).load().fingerprint) == ended[0][0].strip()


# Kept files of several sizes.


def test_each_size_is_kept_for_itself(root: Path, decoded: list[int]) -> None:
    for size in ((8, 8), (8, 10), (8, 8), (8, 10), None):
        PictureFolder(root, size).load()
    assert decoded == [60, 60, 60]
    assert {path.name for path in root.glob(".*.pt")} == {".pictures-8x8.pt", ".pictures-8x10.pt", ".pictures.pt"}


def test_pictures_that_were_kept_as_they_are_serve_the_size_that_they_have(root: Path, decoded: list[int]) -> None:
    before = PictureFolder(root).load()
    assert same(PictureFolder(root, size=(16, 16)).load(), before)
    assert decoded == [60]
