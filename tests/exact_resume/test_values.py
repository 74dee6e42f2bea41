"""Whether values of attributes are seen to change."""

from collections import Counter, OrderedDict, defaultdict, deque
from enum import IntEnum
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch

from exact_resume.digest import digest
from exact_resume.keepers.marks import mark
from exact_resume.keepers.values import KIND, Restoring, is_plain, plain, restored


class Phase(IntEnum):
    LATE = 2


def test_no_later_tensor_has_the_mark_of_one_that_is_gone() -> None:
    """Though it lies where that one did."""
    box = [torch.zeros(())]
    before = mark(box)
    for _ in range(100):
        box[0] = torch.ones(())
        assert mark(box) != before


def test_mark_changes_with_a_tensor_in_place() -> None:
    box = {"one": [torch.zeros(())]}
    before = mark(box)
    assert mark(box) == before
    box["one"][0].add_(1)
    assert mark(box) != before


def test_change_of_a_tensor_of_inference_mode_is_seen() -> None:
    """Though it does not count its changes."""
    with torch.inference_mode():
        box = [torch.zeros(())]
        before = mark(box)
        box[0].add_(1)
    assert before is not None
    assert mark(box) != before
    assert plain(box) == [torch.ones(())]


def test_change_that_torch_does_not_count_is_seen() -> None:
    box = [torch.zeros(2, requires_grad=True)]
    before = mark(box)
    box[0].data += 1
    assert mark(box) != before


def test_negative_zero_is_another_number() -> None:
    assert mark([0.0]) != mark([-0.0])
    assert mark(np.array([0.0])) != mark(np.array([-0.0]))


def test_member_of_an_enum_cannot_be_kept() -> None:
    assert mark(Phase.LATE) is None
    assert mark([1, Phase.LATE]) is None


class Labelled(torch.Tensor):
    """Cannot be copied or reshaped without its labels."""

    def clone(self, *sizes: Any, **options: Any) -> Any:
        raise AttributeError("_labels")

    reshape = clone


def test_tensor_of_a_subclass_cannot_be_kept_but_as_one_of_torch() -> None:
    """An attribute must stay what it is; what is logged is a number."""
    value = torch.ones(2).as_subclass(Labelled)
    assert mark(value) is None
    assert type(plain(value)) is torch.Tensor
    assert digest(value) == digest(torch.ones(2))


def test_sparse_tensor_has_the_digest_of_a_dense_one() -> None:
    assert digest(torch.eye(2).to_sparse()) == digest(torch.eye(2))


class Point(NamedTuple):
    x: int
    y: Any


VALUES = {
    "numbers": [np.float32(0.1), np.float64(0.1), np.int64(1), np.bool_(True), 1j, -0.0, b"1"],
    "keys": {np.float64(0.1): [np.float64(0.1)], (1, "a"): 2},
    "deque": {"recent": deque([1, (2,)], maxlen=3)},
    "counter": Counter(a=-1),
    "ordered": OrderedDict(b=1, a=2),
    "default": defaultdict(list, {"a": [1]}),
    "sets": [{1, (2, "a")}, frozenset({3})],
    "tuples": [Point(1, [2]), torch.Size([1])],
    "tagged": {KIND: "list"},
    "array": np.arange(6, dtype="f2").reshape(2, 3).T,
    "texts": np.array(["a", "bc"]),
    "number in an array": np.array(1.5),
    "leaf": torch.ones(2, requires_grad=True),
    "channels last": torch.rand(1, 2, 3, 3).to(memory_format=torch.channels_last),
    "sparse": torch.eye(2).to_sparse(),
}


def looks_of(value: Any) -> str:
    parts = [getattr(value, name, None) for name in ("dtype", "strides", "maxlen", "requires_grad")]
    strides = value.stride() if isinstance(value, torch.Tensor) and not value.is_sparse else ()
    inner = [*value.items()] if isinstance(value, dict) else value
    is_container = isinstance(value, dict | list | tuple | deque)
    parts += [looks_of(part) for part in inner] if is_container else [repr(value)]
    return f"{type(value)} {strides} {parts} {getattr(value, 'default_factory', '')}"


# By torch 2.15, of a checkpoint with a sparse tensor.
@pytest.mark.filterwarnings("ignore:Validating sparse tensor invariants")
@pytest.mark.parametrize("name", VALUES)
def test_value_is_restored_with_its_type_and_bits(name: str) -> None:
    value = VALUES[name]
    assert mark(value) is not None
    kept = plain({"value": value})
    assert is_plain(kept)
    assert looks_of(restored(kept)["value"]) == looks_of(value)


def test_object_is_one_again_also_within_itself() -> None:
    box: list[Any] = [torch.zeros(1), {}]
    box += [box[0], box]
    box[1]["box"] = box
    found = restored(plain(box))
    assert found[0] is found[2]
    assert found[3] is found
    assert found[1]["box"] is found


def test_objects_that_are_there_take_what_is_kept() -> None:
    there = {"a": Counter(a=1), "t": torch.zeros(2, requires_grad=True), "n": np.zeros(2)}
    inner = [*there.values()]
    kept = plain({"t": torch.ones(2, requires_grad=True), "a": Counter(b=-2), "n": np.ones(2)})
    restoring = Restoring()
    for name in ("a", "t", "n"):
        restoring.into(kept[name], there[name])
    restoring.into(kept, there)
    assert restoring.value(kept) is there
    assert [*there] == ["t", "a", "n"]
    assert there["a"] is inner[0] == Counter(b=-2)
    assert there["t"] is inner[1]
    assert inner[1].tolist() == [1, 1]
    assert there["n"] is inner[2]
    assert inner[2].tolist() == [1, 1]
