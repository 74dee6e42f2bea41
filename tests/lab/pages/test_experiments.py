"""The experiments' page names the commands that train its runs."""

import shlex

import pytest

from convblocks.compare.options import parse
from lab.pages.experiments import EXPERIMENTS, channels_tables, command_of
from lab.pages.writing import DATA
from lab.results import read_results
from tests.made_up import result


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_command_trains_the_runs_that_are_kept(name: str) -> None:
    commands = EXPERIMENTS[name].commands
    trials = [trial for command in commands for trial in parse(shlex.split(command)).trials]
    runs = read_results(DATA / f"{name}.jsonl")
    for trial in trials:
        same = [run for run in runs if (run.arch, run.seed) == (trial.arch, trial.seed)]
        assert any({*trial.overrides} <= {*run.overrides} for run in same)


def test_run_is_repeated_alone_with_the_options_of_its_record() -> None:
    """The config comes first, since later options win; a registered network takes no arguments."""
    overrides = (("config", "configs/long.yaml"), ("network.width", "3"), ("trainer.precision", "bf16-mixed"))
    assert command_of(result("maxpool", 7, 0.99, overrides)) == (
        "python scripts/fit.py --config=configs/long.yaml --epochs=5 --trainer.precision=bf16-mixed "
        "--arch maxpool --seed 7"
    )


@pytest.mark.parametrize(
    ("half_width", "verdict"), [(0.0005, "They are equivalent within 0.10 points."), (0.002, "That is undecided: ")]
)
def test_equivalence_needs_a_narrow_interval(half_width: float, verdict: str) -> None:
    """Eight differences around 0, so that the interval of the sign-flip test is about as wide as they spread."""
    first = [result("batchnorm", seed, 0.98 + half_width * (-1) ** seed) for seed in range(8)]
    (table,) = channels_tables(first, [result("batchnorm", seed, 0.98) for seed in range(8)])
    assert verdict in table.notes[0]
