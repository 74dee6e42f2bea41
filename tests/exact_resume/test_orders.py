"""The trial of a sampler: what it copies, and where it is made."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from exact_resume.keepers import orders
from exact_resume.keepers.orders import is_repeated
from tests.any_task.kinds import POINTS, Shuffled

data: Any = POINTS


class Large(Dataset[int]):
    """Cannot be copied."""

    def __deepcopy__(self, memo: Any) -> Any:
        raise MemoryError


class Asking(Shuffled):
    """Holds a data set that is not the loader's, and counts its trials."""

    def __init__(self) -> None:
        super().__init__()
        self.labels, self.tried = Large(), Tried()

    def __iter__(self) -> Iterator[int]:
        self.tried.times += 1
        yield from super().__iter__()


class Tried(torch.nn.Module):
    """Is shared with the copy, which counts in it."""

    times = 0


def test_what_a_sampler_asks_is_not_copied() -> None:
    sampler = Asking()
    assert is_repeated(DataLoader(data, 5, sampler=sampler))
    assert sampler.tried.times == 2


def test_long_epoch_is_not_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(orders, "MOST", 7)
    sampler = Asking()
    assert is_repeated(DataLoader(data, 5, sampler=sampler)) is None
    assert sampler.tried.times == 0


@pytest.mark.parametrize(
    ("sampler", "expected"), [(None, None), (Shuffled(), True)], ids=["torch", "own"]
)
def test_samplers_of_torch_are_not_tried_where_nothing_can_be_skipped(
    sampler: Sampler[int] | None, expected: bool | None
) -> None:
    loader = DataLoader(data, 5, shuffle=not sampler, sampler=sampler, num_workers=1)
    assert is_repeated(loader) is expected
