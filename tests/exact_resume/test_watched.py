"""What tells whether a loader gives again what it gave."""

import random
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor

from exact_resume.keepers.generators import all_generators
from exact_resume.keepers.watched import MOST, Watched, sample_digest

ORDINARY = torch.arange(3 * 4 * 30, dtype=torch.float32).reshape(3, 4, 30)


class Pair(NamedTuple):
    images: Tensor
    names: list[str]


def other_record(batch: Tensor) -> Tensor:
    """One record is replaced."""
    changed = batch.clone()
    changed[1] += 1000
    return changed


BATCHES: dict[str, Callable[[Tensor], Any]] = {
    "tensor": lambda batch: batch,
    "transposed": lambda batch: batch.transpose(1, 2),
    "list": lambda batch: [torch.ones(2), batch],
    "dict": lambda batch: {"image": batch, "name": ["a", "b"]},
    "named tuple": lambda batch: Pair(batch, ["a"]),
    "array": lambda batch: (batch.numpy(), 3),
    "object": lambda batch: SimpleNamespace(x=SimpleNamespace(y=batch)),
    "whole numbers": lambda batch: batch.long(),
    "half": lambda batch: batch.bfloat16(),
    "sparse": lambda batch: batch[:, 0].to_sparse(),
    "nested": lambda batch: torch.nested.nested_tensor([*batch]),
    "one number each": lambda batch: batch[:, 0, 0],
    "strings": lambda batch: [str(float(record.sum())) for record in batch],
}


@pytest.mark.parametrize("kind", BATCHES)
@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors is in prototype stage")
def test_digest_of_a_batch_differs_if_a_record_does(kind: str) -> None:
    make = BATCHES[kind]
    known = sample_digest(make(ORDINARY))
    assert sample_digest(make(ORDINARY.clone())) == known
    assert sample_digest(make(other_record(ORDINARY))) != known


def test_digest_of_an_image_is_not_of_its_border_alone() -> None:
    image = torch.zeros(1, 1, 28, 28)
    known = sample_digest(image)
    image[..., 10:18, 10:18] = 1
    assert sample_digest(image) != known


def test_batch_may_be_changed_after_it_was_given() -> None:
    batch = torch.zeros(2, 3)
    watched = Watched(iter([batch, batch]), {}, [])
    next(watched)
    batch += 1
    other = Watched(iter([torch.zeros(2, 3)]), {}, [])
    next(other)
    assert watched.state() == other.state()


def reading(count: int) -> Watched:
    """Batches that are drawn when they are read, from all global generators."""
    drawn = (torch.rand(2) + np.random.rand() + random.random() for _ in range(count))
    return Watched(drawn, all_generators(), [])


@pytest.mark.parametrize("count", [1, 5, MOST + 20])
def test_reads_that_draw_are_followed(count: int) -> None:
    """Though others draw in between."""
    torch.manual_seed(0)
    watched = reading(count)
    for _ in range(count):
        next(watched)
        torch.rand(1), np.random.rand(), random.random()
    known = watched.state()
    assert len(known["draws"]) == min(count, MOST)
    again = reading(count)
    again.follow(known)
    for _ in range(count):
        next(again)
    assert again.repeats(known)


def test_other_batches_do_not_repeat_what_is_known() -> None:
    watched, other = (Watched(iter([torch.tensor([number])]), {}, []) for number in (1, 2))
    next(watched), next(other)
    assert not other.repeats(watched.state())
