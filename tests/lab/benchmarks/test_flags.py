"""The fastest settings of a machine follow from its numbers, and are printed as flags
that the commands take.
"""

import re
import shlex
from pathlib import Path

import pytest

from convblocks.compare.options import parse
from convblocks.run.config import Config
from tests.scripts import run_benchmark


@pytest.mark.slow
def test_flags_that_are_printed_are_those_of_the_commands(tmp_path: Path) -> None:
    finished = run_benchmark("flags", "--arch", "mlp", "--seconds", "3", cwd=tmp_path)
    assert finished.returncode == 0, finished.stderr
    printed = re.sub(r" \\\n +", " ", finished.stdout)  # a long command is broken over lines
    printed_flags = dict(re.findall(r"convblocks (fit|compare) (.*)$", printed, re.MULTILINE))
    assert (
        Config.parse(shlex.split(printed_flags["fit"])).settings["model"]["init_args"]["arch"]
        == "mlp"
    )
    assert parse(shlex.split(printed_flags["compare"])).archs == ["mlp"]
    assert list(tmp_path.iterdir()) == []
