"""The experiments' page names the commands that train its runs."""

import shlex
from pathlib import Path

import pytest

from convblocks.compare.options import parse
from lab.pages import experiments
from lab.pages.catalogue import EXPERIMENTS
from lab.pages.experiments import write_experiments_of
from lab.pages.writing import DATA, REPOSITORY
from lab.results import read_results

# Of those that are trained seed by seed, some seeds may be missing: tests/lab/test_by_seed.py.
AT_ONCE = [name for name, experiment in EXPERIMENTS.items() if experiment.arguments]


@pytest.mark.parametrize("name", AT_ONCE)
def test_command_trains_the_runs_that_are_kept(name: str) -> None:
    commands = EXPERIMENTS[name].commands
    trials = [trial for command in commands for trial in parse(shlex.split(command)).trials]
    runs = read_results(DATA / f"{name}.jsonl")
    for trial in trials:
        same = [run for run in runs if (run.arch, run.seed) == (trial.arch, trial.seed)]
        assert any({*trial.overrides} <= {*run.overrides} for run in same)


def test_experiment_that_is_trained_seed_by_seed_shows_nothing_before_its_first_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(experiments, "EXPERIMENTS", {"unheard-of": EXPERIMENTS["cause"]})
    (tmp_path / "docs" / "lab").mkdir(parents=True)
    write_experiments_of("cause", tmp_path, tmp_path)
    page = Path("docs", "lab", "cause.md")
    assert (tmp_path / page).read_text() == (REPOSITORY / page).read_text()
