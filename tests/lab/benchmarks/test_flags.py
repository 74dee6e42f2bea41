"""The fastest settings of a machine follow from its numbers, and are printed as flags that the commands take."""

import re
import shlex
from pathlib import Path

import pytest

from convblocks.compare.options import parse
from convblocks.run.config import Config
from lab.benchmarks.flags import Paces, Setting, best
from tests.scripts import run_benchmark

DEFAULT = Setting("cpu", "32-true", jobs=1, threads=2)
FEWER_THREADS = Setting("cpu", "32-true", jobs=1, threads=1)
MIXED = Setting("cpu", "bf16-mixed", jobs=1, threads=2)


@pytest.mark.parametrize(
    ("paces", "expected"),
    [
        pytest.param({DEFAULT: [1000, 1010], MIXED: [1990, 2010]}, MIXED, id="clearly faster"),
        pytest.param({DEFAULT: [1000, 1010], MIXED: [990, 1500]}, DEFAULT, id="intervals overlap"),
        pytest.param({DEFAULT: [1000, 1010], MIXED: [1030, 1040]}, DEFAULT, id="too little"),
        pytest.param({DEFAULT: [500, 510], MIXED: [1000]}, DEFAULT, id="measured once"),
        pytest.param(
            {DEFAULT: [500, 510], FEWER_THREADS: [1000, 1020], MIXED: [1010, 1030]},
            FEWER_THREADS,
            id="tied, with the default precision",
        ),
    ],
)
def test_setting_nearest_to_the_default_is_best_of_those_that_tie(paces: Paces, expected: Setting) -> None:
    assert best(paces, DEFAULT) == expected


@pytest.mark.slow
def test_flags_that_are_printed_are_those_of_the_commands(tmp_path: Path) -> None:
    finished = run_benchmark("flags", "--arch", "mlp", "--seconds", "3", cwd=tmp_path)
    assert finished.returncode == 0, finished.stderr
    printed = re.sub(r" \\\n +", " ", finished.stdout)  # a long command is broken over lines
    printed_flags = dict(re.findall(r"convblocks (fit|compare) (.*)$", printed, re.MULTILINE))
    assert Config.parse(shlex.split(printed_flags["fit"])).settings["model"]["init_args"]["arch"] == "mlp"
    assert parse(shlex.split(printed_flags["compare"])).archs == ["mlp"]
    assert list(tmp_path.iterdir()) == []
