"""What the README shows runs as it stands there."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY

README = (REPOSITORY / "README.md").read_text()
PROGRAMS = re.findall(r"^```python\n(.*?)^```", README, flags=re.MULTILINE | re.DOTALL)


@pytest.mark.slow
@pytest.mark.parametrize("program", PROGRAMS)
def test_a_program_trains(program: str, tmp_path: Path) -> None:
    finished = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert finished.returncode == 0, finished.stderr


@pytest.mark.parametrize("path", sorted(set(re.findall(r"`((?:data|model|training|comparison)/\w+\.py)`", README))))
def test_a_file_that_is_named_is_there(path: str) -> None:
    assert (REPOSITORY / "src" / "convblocks" / path).is_file()


@pytest.mark.parametrize("path", sorted(set(re.findall(r"\]\(([\w/.]+)\)", README))))
def test_a_link_leads_somewhere(path: str) -> None:
    assert (REPOSITORY / path).exists()
