"""Whatever bytes a file holds, its reader understands them or raises an error that names it, in bounded memory.

There are no deadlines: on a busy machine a single example may take a second.
"""

import gzip
import hashlib
import io
import json
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import numpy as np
import pytest
import torch
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from convblocks.data.images import MNIST, ImageSets
from convblocks.data.mnist import read_idx
from convblocks.errors import UserError
from convblocks.handwriting.ink import to_mnist
from convblocks.model.restore import read_checkpoint
from convblocks.pictures.decoding import read_picture
from convblocks.run.checkpoints import read_resumable
from convblocks.run.directory import SETTINGS, RunDirectory
from convblocks.run.result import decode, encode
from tests.hostile.spoil import Spoiler, cut, flipped, holds, with_values
from tests.made_up import result

pytestmark = pytest.mark.usefixtures("bounded_memory")

RUN = RunDirectory("run", Path())
Content = TypeVar("Content")

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@contextmanager
def file_of(content: bytes, name: str | Path) -> Iterator[Path]:
    """A file of that name, as long as it is needed: hypothesis shares a test's own folder between its examples."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        holds(content)(path)
        yield path


def read_or_refused(read: Callable[[Path], Content], path: Path) -> Content | None:
    """The reader's result; None if it raises an error, which must name the file."""
    try:
        return read(path)
    except UserError as error:
        complaint = str(error)
    assert str(path) in complaint
    return None


def damaged(content: bytes, draw: Callable[..., Any]) -> bytes:
    """The same, cut short, with bytes changed, or with more of them."""
    position = draw(st.integers(0, len(content) - 1))
    how = draw(st.sampled_from(["cut", "change", "insert"]))
    if how == "cut":
        return content[:position]
    if how == "insert":
        more: bytes = draw(st.binary(min_size=1, max_size=9))
        return content[:position] + more + content[position:]
    changed = bytes([content[position] ^ draw(st.integers(1, 255))])
    return content[:position] + changed + content[position + 1 :]


headers = st.builds(
    lambda kind, sizes: b"\0\0" + bytes([kind, len(sizes)]) + b"".join(size.to_bytes(4, "big") for size in sizes),
    st.sampled_from([0x08, 0x0C, 0x0D]),
    st.lists(st.sampled_from([0, 1, 2, 28, 60_000, 2**32 - 1]), max_size=4),
)


@given(
    st.binary(max_size=20) | st.builds(bytes.__add__, headers, st.binary(max_size=60)),
    st.booleans(),
    st.sampled_from([1, 3]),
)
@settings(deadline=None)
@example(b"\0\0\x08\1" + bytes([0, 0, 0, 9]) + bytes(range(9)), True, 1)
@example(b"\0\0\x08\3" + bytes([0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0, 1]) + bytes(range(4)), False, 3)
@example(b"\0\0\x08\3" + bytes(4) + b"\xff" * 8, False, 3)  # nothing in it, but too long for an array
def test_idx_files(content: bytes, packed: bool, dimensions: int) -> None:
    with file_of(gzip.compress(content) if packed else content, "file.gz" if packed else "file") as path:
        read = read_or_refused(partial(read_idx, dimensions=dimensions), path)
        if read is not None:
            array, md5 = read
            assert array.ndim == dimensions
            assert content.endswith(array.numpy().tobytes())
            assert md5 == hashlib.md5(content).hexdigest()


@given(st.data())
@settings(deadline=None)
def test_damaged_archives(data: st.DataObject) -> None:
    whole = b"\0\0\x08\x01" + (100).to_bytes(4, "big") + bytes(range(100))
    with file_of(damaged(gzip.compress(whole, mtime=0), data.draw), "file.gz") as path:
        read = read_or_refused(partial(read_idx, dimensions=1), path)
        assert read is None or read[1] == hashlib.md5(whole).hexdigest()


@pytest.fixture(scope="module")
def picture(digits: ImageSets) -> bytes:
    """A PNG of a digit."""
    content = io.BytesIO()
    Image.fromarray(255 - digits.test.images[0, 0].numpy()).resize((90, 90)).save(content, "PNG")
    return content.getvalue()


@given(data=st.data())
@settings(deadline=None)
def test_a_damaged_png_is_never_another_picture(data: st.DataObject, picture: bytes) -> None:
    spoilt = damaged(picture, data.draw)
    try:
        seen = to_mnist(read_picture(spoilt))
    except UserError:
        return
    assert np.array_equal(seen, to_mnist(read_picture(picture)))


configs = st.dictionaries(st.sampled_from(sorted(SETTINGS)), json_values)
yaml_texts = configs.map(yaml.safe_dump) | st.text()


@given(st.binary() | yaml_texts.map(lambda text: text.encode(errors="replace")))
@settings(deadline=None)
def test_configs(content: bytes) -> None:
    with file_of(content, RUN.config) as path:
        run = RunDirectory("run", path.parents[2])
        config = read_or_refused(lambda _: run.read_config(), path)
        if config is not None:
            assert config.keys() >= SETTINGS


WHOLE: dict[str, Any] = msgspec.to_builtins(result("mlp", 0, 0.98))

# A result with other values for some of its fields.
results = st.dictionaries(st.sampled_from(sorted(WHOLE)), json_values, max_size=2).map(lambda changed: WHOLE | changed)


@given(st.binary() | (json_values | results).map(lambda value: json.dumps(value).encode()))
@settings(deadline=None, max_examples=300)
def test_summaries(content: bytes) -> None:
    with file_of(content, RUN.summary) as path:
        run = RunDirectory("run", path.parents[2])
        found = read_or_refused(lambda _: run.read_result(), path)
        if found is not None:
            assert encode(decode(encode(found), path, "")) == encode(found)
        assert not run.result_after(1)  # without a config.yaml


WRONG_VALUES: tuple[dict[str, Any], ...] = (
    {"epochs": "two"},
    {"epochs/0/train~loss": "low"},
    {"epochs/1/seconds": float("nan")},
    {"final/test~acc": True},
    {"failed": None},
    {"evaluations": 3},
    {"ended_by": 5},
    {"seed": True},
)


@pytest.mark.parametrize("spoil", [*map(cut, (0, 50)), flipped(0), *map(with_values, WRONG_VALUES)])
def test_a_damaged_summary_is_refused_in_one_line_and_its_run_can_be_resumed(spoil: Spoiler, tmp_path: Path) -> None:
    """Beside the damages of tests/core/run/test_result.py."""
    run = RunDirectory("run", tmp_path)
    holds("")(run.config)
    run.write_result(result("mlp", 0, 0.98))
    assert run.result_after(5)
    spoil(run.summary)
    with pytest.raises(
        UserError, match=r"cannot read \S+summary\.json \(.+\), which .* resume the run to rewrite it$"
    ) as caught:
        run.read_result()
    assert "\n" not in str(caught.value)
    assert not run.result_after(5)


@pytest.fixture(scope="module")
def checkpoint() -> bytes:
    """A small one, with all that a resume needs."""
    parts = {
        "hyper_parameters": {"arch": "mlp", "image_spec": MNIST.as_dict()},
        "state_dict": {"network.weight": torch.arange(30.0)},
        "optimizer_states": [{"state": {}, "param_groups": []}],
        "lr_schedulers": [],
        "callbacks": {},
        "loops": {},
        "epoch": 1,
        "global_step": 20,
    }
    content = io.BytesIO()
    torch.save(parts, content)
    return content.getvalue()


@given(data=st.data())
@settings(deadline=None)
def test_a_damaged_checkpoint_never_has_other_weights(data: st.DataObject, checkpoint: bytes) -> None:
    with file_of(damaged(checkpoint, data.draw), "last.ckpt") as path:
        read = read_or_refused(read_checkpoint, path)
        assert read is None or torch.equal(read["state_dict"]["network.weight"], torch.arange(30.0))


@given(st.dictionaries(st.sampled_from(["hyper_parameters", "state_dict", "callbacks", "epoch", "loops"]), json_values))
@settings(deadline=None)
def test_checkpoints_of_other_parts(parts: dict[str, Any]) -> None:
    content = io.BytesIO()
    torch.save({"hyper_parameters": {"arch": "mlp", "image_spec": MNIST.as_dict()}, "state_dict": {}} | parts, content)
    with file_of(content.getvalue(), "last.ckpt") as path, pytest.raises(UserError, match=r"last\.ckpt"):
        read_resumable(path)
