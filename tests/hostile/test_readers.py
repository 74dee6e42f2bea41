"""Whatever bytes a file holds, its reader understands them or raises an error.

There are no deadlines: on a busy machine a single example may take a second.
"""

import gzip
import io
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from convblocks.data.mnist import read_idx
from convblocks.errors import UserError
from convblocks.model.restore import read_checkpoint
from convblocks.pictures import decoding
from convblocks.pictures.decoding import read_picture
from convblocks.record.directory import RunDirectory
from tests.hostile.spoil import Spoiler, cut, holds, with_values
from tests.made_up import result


def saved(save: Callable[[io.BytesIO], object]) -> bytes:
    content = io.BytesIO()
    save(content)
    return content.getvalue()


WEIGHTS = torch.arange(30.0)
CHECKPOINT = {
    "hyper_parameters": {"arch": "mlp"},
    "state_dict": {"weight": WEIGHTS},
    "epoch": 1,
    "global_step": 20,
}
READERS: dict[str, tuple[bytes, Callable[[Path], Any]]] = {
    "file.gz": (
        gzip.compress(b"\0\0\x08\x01\0\0\0\x64" + bytes(range(100)), mtime=0),
        lambda path: read_idx(path, 1)[1],
    ),
    "picture.png": (
        saved(lambda file: Image.linear_gradient("L").resize((90, 90)).save(file, "PNG")),
        lambda path: read_picture(path).tobytes(),
    ),
    "last.ckpt": (
        saved(lambda file: torch.save(CHECKPOINT, file)),
        lambda path: read_checkpoint(path)["state_dict"]["weight"].tolist(),
    ),
}


@pytest.mark.parametrize("name", READERS)
@given(data=st.data())
@settings(deadline=None)
def test_reader_of_a_damaged_file_never_reads_something_else(
    name: str, data: st.DataObject
) -> None:
    """It is cut short, one of its bytes is changed, or there are more of them."""
    content, read = READERS[name]
    at, how = (
        data.draw(st.integers(0, len(content) - 1)),
        data.draw(st.sampled_from(["cut", "change", "insert"])),
    )
    more = bytes([content[at] ^ data.draw(st.integers(1, 255))]) + content[at + (how == "change") :]
    with TemporaryDirectory() as folder:  # hypothesis shares a test's own one between its examples
        path = Path(folder) / name
        path.write_bytes(content)
        whole = read(path)
        path.write_bytes(content[:at] + (b"" if how == "cut" else more))
        with suppress(UserError):
            assert read(path) == whole


@pytest.mark.parametrize("spoil", [cut(50), with_values({"failed": None})])
def test_summary_that_is_damaged_is_refused_in_one_line_and_its_run_can_be_resumed(
    spoil: Spoiler, tmp_path: Path
) -> None:
    run = RunDirectory("run", tmp_path)
    holds("")(run.config)
    run.write_result(result("mlp", 0, 0.98))
    assert run.result_after(5)
    spoil(run.summary)
    with pytest.raises(
        UserError,
        match=r"^cannot read \S+summary\.json \(.+\), which .* resume the run to rewrite it$",
    ):
        run.read_result()
    assert not run.result_after(5)


def test_reader_of_pictures_opens_no_device_and_no_pipe(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.png"
    os.mkfifo(pipe)
    for path in (Path("/dev/zero"), pipe):
        with pytest.raises(UserError, match="it is not a regular file"):
            read_picture(path)
        with pytest.raises(UserError, match="it is not a regular file"):
            decoding.read_shape(path)


def test_reader_of_pictures_reads_no_more_than_a_picture_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoding, "LARGEST_FILE", 10_000)
    (tmp_path / "long.png").write_bytes(bytes(10_001))
    with pytest.raises(UserError, match="it has more than 10,000 bytes"):
        read_picture(tmp_path / "long.png")
