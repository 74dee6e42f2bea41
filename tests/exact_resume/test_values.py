"""Whether values of attributes are seen to change."""

from enum import IntEnum
from typing import Any

import numpy as np
import torch

from exact_resume.digest import digest
from exact_resume.keepers.values import mark, plain


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


def test_tensor_of_inference_mode_is_taken_as_changed() -> None:
    """It does not count its changes."""
    with torch.inference_mode():
        box = [torch.zeros(())]
    assert mark(box) != mark(box)
    assert mark(box) is not None
    assert plain(box) == [torch.zeros(())]


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


def test_number_of_numpy_is_kept_as_one_of_python() -> None:
    kept = plain({np.float64(0.1): [np.float64(0.1)]})
    assert repr(kept) == "{0.1: [0.1]}"
