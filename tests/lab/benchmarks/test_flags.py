"""The fastest settings of a machine are chosen by its numbers, and printed as flags that the commands take."""

import re
import shlex
from pathlib import Path

import pytest

from convblocks.compare.options import parse
from convblocks.run.config import Config
from lab.benchmarks import flags
from lab.benchmarks.flags import Paces, Setting, best, commands
from tests.scripts import run_benchmark

DEFAULT = Setting("cpu", "32-true", jobs=1, threads=2)
FEWER_THREADS = Setting("cpu", "32-true", jobs=1, threads=1)
MIXED = Setting("cpu", "bf16-mixed", jobs=1, threads=2)
SIDE_BY_SIDE = Setting("cpu", "32-true", jobs=2, threads=1)
MIXED_SIDE_BY_SIDE = Setting("cpu", "bf16-mixed", jobs=2, threads=1)
DEFAULTS = (DEFAULT, SIDE_BY_SIDE)


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


# bfloat16 pays off on this machine, and side by side still more.
PACES: Paces = {DEFAULT: [1000, 1010], MIXED: [2000, 2020], MIXED_SIDE_BY_SIDE: [2400, 2440], FEWER_THREADS: [600]}


def test_commands_take_the_flags_of_the_fastest() -> None:
    fit, compared = commands("maxpool", PACES, DEFAULTS)
    settings = Config.parse(fit[2:]).settings
    assert (settings["threads"], settings["trainer"]["precision"]) == (2, "bf16-mixed")
    assert settings["trainer"]["accelerator"] == "cpu"
    comparison = parse(compared[2:])
    assert (comparison.archs, comparison.jobs, comparison.threads) == (["maxpool"], 2, 1)
    assert ("trainer.precision", "bf16-mixed") in comparison.common


class Machine:
    """Every setting has its pace, and a measurement takes this many seconds."""

    def __init__(self, paces: dict[Setting, float], seconds: float = 1) -> None:
        self.paces, self.seconds = paces, seconds
        self.now = 0.0
        self.asked: list[Setting] = []

    def measure(self, arch: str, setting: Setting, steps: int) -> float:
        self.now += self.seconds
        self.asked.append(setting)
        return self.paces[setting]

    def survey(self, end: float) -> dict[Setting, int]:
        """How often each setting was measured."""
        paces = flags.survey("mlp", list(self.paces), DEFAULTS, end, self.measure, lambda: self.now)
        return {setting: len(pace) for setting, pace in paces.items()}


RATES = {FEWER_THREADS: 700.0, DEFAULT: 1000.0, SIDE_BY_SIDE: 1100.0, MIXED: 1200.0, MIXED_SIDE_BY_SIDE: 1300.0}


def test_settings_are_measured_in_turn_and_those_far_behind_once() -> None:
    machine = Machine(RATES)
    assert machine.survey(end=1000) == dict.fromkeys(RATES, 1 + flags.ROUNDS) | {FEWER_THREADS: 1}
    assert machine.asked[-8:] == [SIDE_BY_SIDE, DEFAULT, MIXED_SIDE_BY_SIDE, MIXED] * 2


def test_only_the_defaults_are_measured_when_the_time_is_up() -> None:
    machine = Machine(RATES)
    machine.survey(end=8)
    assert machine.now == 8
    assert Machine(RATES, seconds=100).survey(end=50) == dict.fromkeys(DEFAULTS, 1)


@pytest.mark.slow
def test_flags_that_are_printed_are_those_of_the_commands(tmp_path: Path) -> None:
    finished = run_benchmark("flags", "--arch", "mlp", "--seconds", "3", cwd=tmp_path)
    assert finished.returncode == 0, finished.stderr
    printed = re.sub(r" \\\n +", " ", finished.stdout)  # a long command is broken over lines
    printed_flags = dict(re.findall(r"convblocks (fit|compare) (.*)$", printed, re.MULTILINE))
    assert Config.parse(shlex.split(printed_flags["fit"])).settings["model"]["init_args"]["arch"] == "mlp"
    assert parse(shlex.split(printed_flags["compare"])).archs == ["mlp"]
    assert list(tmp_path.iterdir()) == []
