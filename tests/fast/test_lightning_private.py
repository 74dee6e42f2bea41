"""The private names that the speed-ups depend on are those of one file, and exist."""

from pathlib import Path

import pytest

from convblocks.fast import lightning_private
from convblocks.fast.lightning_private import NAMES
from tests.private_names import is_there, private_names

FILE = Path(lightning_private.__file__)


@pytest.mark.parametrize("place", NAMES)
def test_private_name_is_there(place: str) -> None:
    assert is_there(place), f"{place} is gone: {NAMES[place]}"


@pytest.mark.parametrize(
    "place",
    [
        "lightning.pytorch.loops:_NoLoop.epoch_loop",
        "lightning.pytorch.loops:_FitLoop.no_loop",
        "lightning.pytorch:LightningModule._no_name",
    ],
)
def test_name_that_is_gone_is_noticed(place: str) -> None:
    assert not is_there(place)


def test_private_names_stand_in_one_file_and_in_its_table() -> None:
    assert [path for path in FILE.parent.glob("*.py") if {*private_names(path)}] == [FILE]
    listed = " ".join(NAMES)
    assert [name for name in private_names(FILE) if name not in listed] == []
