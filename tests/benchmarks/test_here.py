"""What is fastest on a machine is chosen by its numbers, and told as flags that the commands take."""

import re
import shlex
from pathlib import Path

import pytest

from benchmarks.training import here, speed
from benchmarks.training.advice import Advice, Choice, Pace, Paces, Setting
from convblocks.comparison.options import parse
from convblocks.errors import UsageError
from convblocks.training.config import Config
from tests.scripts import run_script

DEFAULT = Setting("cpu", "32-true", jobs=1, threads=2)
FEWER_THREADS = Setting("cpu", "32-true", jobs=1, threads=1)
MIXED = Setting("cpu", "bf16-mixed", jobs=1, threads=2)
SIDE_BY_SIDE = Setting("cpu", "32-true", jobs=2, threads=1)
MIXED_SIDE_BY_SIDE = Setting("cpu", "bf16-mixed", jobs=2, threads=1)


def choice(paces: dict[Setting, list[float]]) -> Choice:
    return Choice({setting: Pace(measured) for setting, measured in paces.items()}, DEFAULT)


def test_what_is_clearly_faster_is_chosen() -> None:
    chosen = choice({DEFAULT: [1000, 1010], MIXED: [1990, 2010], FEWER_THREADS: [800, 810]})
    assert chosen.best == MIXED
    assert chosen.reason() == "1.99 times as fast as the default"
    assert [chosen.verdict(one) for one in (DEFAULT, MIXED, FEWER_THREADS)] == ["slower", "chosen", "slower"]


@pytest.mark.parametrize("mixed", [[990, 1500], [1030, 1040]], ids=["intervals overlap", "too little"])
def test_the_default_stays_where_it_is_not_clearly_beaten(mixed: list[float]) -> None:
    chosen = choice({DEFAULT: [1000, 1010], MIXED: mixed})
    assert chosen.best == DEFAULT
    assert chosen.reason() == "the default; nothing else is clearly faster"
    assert chosen.verdict(DEFAULT) == "chosen"


def test_of_settings_that_tie_the_one_with_the_default_precision_is_chosen() -> None:
    chosen = choice({DEFAULT: [500, 510], FEWER_THREADS: [1000, 1020], MIXED: [1010, 1030]})
    assert chosen.best == FEWER_THREADS
    assert chosen.verdict(MIXED) == "tied"


def test_without_a_second_measurement_nothing_is_claimed() -> None:
    chosen = choice({DEFAULT: [500, 510], MIXED: [1000]})
    assert chosen.best == DEFAULT
    assert chosen.reason() == "the default; there was no time to make sure that something else is faster"


@pytest.fixture
def advice() -> Advice:
    """bfloat16 pays off on this machine, and side by side still more."""
    measured: dict[Setting, list[float]] = {
        DEFAULT: [1000, 1010],
        MIXED: [2000, 2020],
        SIDE_BY_SIDE: [1200, 1220],
        MIXED_SIDE_BY_SIDE: [2400, 2440],
        FEWER_THREADS: [600],
    }
    paces = {setting: Pace(rates) for setting, rates in measured.items()}
    return Advice("maxpool", paces, DEFAULT, SIDE_BY_SIDE)


def test_the_table_has_a_row_for_each_setting(advice: Advice) -> None:
    assert advice.table().rows == [
        ["32-true", "1", "2", "1,005 [1,000, 1,010]", "slower", "slower"],
        ["bf16-mixed", "1", "2", "2,010 [2,000, 2,020]", "chosen", "slower"],
        ["32-true", "2", "1", "1,210 [1,200, 1,220]", "", "slower"],
        ["bf16-mixed", "2", "1", "2,420 [2,400, 2,440]", "", "chosen"],
        ["32-true", "1", "1", "~600", "slower", "slower"],
    ]


def test_the_commands_name_what_is_fastest(advice: Advice) -> None:
    assert advice.commands() == [
        "One run (2.00 times as fast as the default):",
        "  python scripts/fit.py --arch maxpool --trainer.precision bf16-mixed --threads 2",
        "Many runs (2.00 times as fast as the default):",
        "  python scripts/compare.py --arch maxpool --trainer.precision bf16-mixed --jobs 2 --threads 1",
    ]


def test_the_commands_take_what_is_named(advice: Advice) -> None:
    fit, compared = (shlex.split(line)[2:] for line in advice.commands() if line.startswith("  python"))
    settings = Config.parse(fit).settings
    assert (settings["threads"], settings["trainer"]["precision"]) == (2, "bf16-mixed")
    comparison = parse(compared)
    assert (comparison.arch, comparison.jobs, comparison.threads) == (["maxpool"], 2, 1)
    assert ("trainer.precision", "bf16-mixed") in comparison.overrides


def test_where_there_is_an_accelerator_the_device_is_named(advice: Advice) -> None:
    on_gpu = Setting("cuda", "32-true", jobs=1, threads=2)
    with_gpu = Advice("maxpool", {on_gpu: Pace([9000, 9100]), **advice.paces}, on_gpu, on_gpu)
    flags = "--trainer.accelerator cuda --trainer.devices 1 --trainer.precision 32-true --threads 2"
    assert with_gpu.commands()[1] == f"  python scripts/fit.py --arch maxpool {flags}"
    assert with_gpu.table().columns[0] == "device"


@pytest.mark.parametrize(
    ("most", "expected"),
    [(1, [1]), (2, [1, 2]), (6, [1, 2, 4, 6]), (8, [1, 2, 4, 8]), (64, [1, 4, 16, 64]), (96, [1, 4, 32, 96])],
)
def test_some_powers_of_two_are_tried(most: int, expected: list[int]) -> None:
    assert here.counts(most) == expected


def test_jobs_side_by_side_share_the_cores() -> None:
    tried = here.candidates(cpus=16, threads=8, accelerators=[])
    layouts = {(one.jobs, one.threads) for one in tried}
    assert layouts == {(1, 1), (1, 2), (1, 4), (1, 8), (2, 4), (8, 1), (16, 1)}
    assert {one.precision for one in tried} == {"32-true", "bf16-mixed"}


def test_an_accelerator_is_tried_by_one_run_and_by_a_few() -> None:
    tried = [one for one in here.candidates(cpus=2, threads=2, accelerators=["cuda"]) if one.accelerator == "cuda"]
    assert {(one.jobs, one.threads) for one in tried} == {(1, 2), (2, 1)}


class Machine:
    """Every setting has its pace, and a measurement takes so many seconds."""

    def __init__(self, paces: dict[Setting, float], seconds: float) -> None:
        self.paces, self.seconds = paces, seconds
        self.now = 0.0
        self.asked: list[Setting] = []

    def measure(self, arch: str, setting: Setting, steps: int) -> float:
        self.now += self.seconds
        self.asked.append(setting)
        return self.paces[setting]

    def survey(self, end: float) -> Paces:
        defaults = (DEFAULT, SIDE_BY_SIDE)
        return here.survey("mlp", list(self.paces), defaults, end, self.measure, lambda: self.now)


PACES = {FEWER_THREADS: 700.0, DEFAULT: 1000.0, SIDE_BY_SIDE: 1100.0, MIXED: 1200.0, MIXED_SIDE_BY_SIDE: 1300.0}
OFTEN = 1 + here.MOST_ROUNDS


def times(paces: Paces) -> dict[Setting, int]:
    """How often each setting was measured."""
    return {setting: len(pace.measured) for setting, pace in paces.items()}


def test_what_is_far_behind_is_measured_once() -> None:
    measured = times(Machine(PACES, seconds=1).survey(end=1000))
    assert list(measured) == list(PACES)
    assert measured == dict.fromkeys(PACES, OFTEN) | {FEWER_THREADS: 1}


def test_a_default_that_is_far_behind_is_measured_twice() -> None:
    assert times(Machine(PACES | {MIXED: 9000}, seconds=1).survey(end=1000))[DEFAULT] == 2


def test_what_is_far_behind_in_one_precision_is_not_tried_in_another() -> None:
    assert MIXED not in Machine(PACES | {DEFAULT: 100}, seconds=1).survey(end=1000)


def test_settings_are_measured_in_turn() -> None:
    machine = Machine(PACES, seconds=1)
    machine.survey(end=1000)
    assert machine.asked[-8:] == [SIDE_BY_SIDE, DEFAULT, MIXED_SIDE_BY_SIDE, MIXED] * 2


def test_when_the_time_is_up_no_measurement_is_begun() -> None:
    machine = Machine(PACES, seconds=1)
    machine.survey(end=8)
    assert machine.now == 8


def test_the_defaults_are_measured_on_a_machine_that_is_slow() -> None:
    assert set(Machine(PACES, seconds=100).survey(end=50)) == {DEFAULT, SIDE_BY_SIDE}


@pytest.mark.parametrize("flag", [("--rounds", "3"), ("--steps", "9"), ("--threads", "1"), ("--out", "docs")])
def test_options_without_a_meaning_are_refused(flag: tuple[str, str]) -> None:
    with pytest.raises(UsageError, match=f"^--here chooses by itself what it measures.*: leave out {flag[0]}$"):
        speed.parse(["--here", *flag])


def test_how_long_it_measures_is_said_to_it_alone() -> None:
    assert (speed.parse(["--here"]).seconds, speed.parse(["--here", "--seconds", "10"]).seconds) == (90, 10)
    with pytest.raises(UsageError, match=r"^--seconds is how long --here measures: give both$"):
        speed.parse(["--seconds", "10"])


def test_without_it_the_options_have_their_defaults() -> None:
    parsed = speed.parse([])
    assert (parsed.here, parsed.rounds, parsed.steps, str(parsed.out)) == (False, 3, None, "lightning_logs/benchmark")


@pytest.mark.slow
def test_the_command_prints_flags_that_the_commands_take(tmp_path: Path) -> None:
    finished = run_script("benchmark", "--here", "--arch", "mlp", "--seconds", "10", cwd=tmp_path, timeout=180)
    assert finished.returncode == 0, finished.stderr
    printed = re.sub(r" \\\n +", " ", finished.stdout)  # a long command is broken over lines
    flags = {
        script: shlex.split(line)
        for script, line in re.findall(r"^  python scripts/(fit|compare)\.py (.*)$", printed, re.MULTILINE)
    }
    assert Config.parse(flags["fit"]).settings["arch"] == "mlp"
    assert parse(flags["compare"]).arch == ["mlp"]
    assert list(tmp_path.iterdir()) == []
