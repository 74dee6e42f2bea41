"""Private names of other packages: each is there in the installed versions, and stands
in one of the files that are made for them.
"""

import ast
from pathlib import Path

import pytest

from exact_resume import lightning_private
from exact_resume.lightning_private import Private
from tests.private_names import constants, is_there, private_names

PACKAGE = Path(lightning_private.__file__).parent

NAMES = constants(lightning_private)


@pytest.mark.parametrize("private", NAMES, ids=lambda private: private.name)
def test_private_name_is_there(private: Private) -> None:
    assert is_there(private), (
        f"{private.place} has no {private.name} any more, which was for: {private.purpose}"
    )


def test_private_name_that_is_gone_is_noticed() -> None:
    assert not is_there(Private("lightning.pytorch:Trainer", "_no_such_name", "nothing"))
    assert not is_there(Private("lightning.fabric.utilities.data", "_no_such_name", "nothing"))


def test_no_other_file_has_a_private_name() -> None:
    others = [path for path in PACKAGE.rglob("*.py") if path.name != "lightning_private.py"]
    assert [name for path in others for name in private_names(path)] == []
    known = {private.name for private in NAMES}
    for path in others:
        texts = {
            node.value
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Constant) and isinstance(node.value, str)
        }
        assert texts & known == set(), path
