"""The experiments' page names the commands that train its runs."""

import shlex

import pytest

from convblocks.compare.options import parse
from lab.pages.experiments import EXPERIMENTS
from lab.pages.writing import DATA
from lab.results import read_results


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_command_trains_the_runs_that_are_kept(name: str) -> None:
    commands = EXPERIMENTS[name].commands
    trials = [trial for command in commands for trial in parse(shlex.split(command)).trials]
    runs = read_results(DATA / f"{name}.jsonl")
    for trial in trials:
        same = [run for run in runs if (run.arch, run.seed) == (trial.arch, trial.seed)]
        assert any({*trial.overrides} <= {*run.overrides} for run in same)
