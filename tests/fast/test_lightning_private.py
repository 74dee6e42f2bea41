"""The private names that the speed-ups depend on are there in the installed versions."""

import pytest

from convblocks.fast import lightning_private
from exact_resume.lightning_private import Private
from tests.private_names import constants, is_there


@pytest.mark.parametrize("private", constants(lightning_private), ids=lambda private: private.name)
def test_private_name_is_there(private: Private) -> None:
    assert is_there(private), (
        f"{private.place} has no {private.name} any more, which was for: {private.purpose}"
    )
