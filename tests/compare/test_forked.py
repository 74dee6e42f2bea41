"""Processes that a server forks: they are there at once."""

import time
from pathlib import Path

import pytest

from convblocks.compare import command as compare
from convblocks.compare import forked
from convblocks.record.directory import LOGS, RunDirectory
from convblocks.run import fit
from tests.any_task.tasks import HERE
from tests.forked_python import python_path
from tests.scripts import run_script

pytestmark = pytest.mark.filterwarnings("ignore:You passed in a `val_dataloader`")

# On an idle machine it takes less than half a second; tests share theirs.
SECONDS = 0.5 * 4


@pytest.mark.slow
def test_forked_run_begins_within_half_a_second(workspace: Path) -> None:
    """From the call of ``start`` to the command's output, once the server has done the imports."""
    seconds = []
    for number in range(4):
        began, log = time.time(), Path(f"log{number}")
        process = forked.start(["fit", "--help"], log)
        process.join(60)
        assert process.exitcode == 0
        assert "usage: " in log.read_text()
        seconds.append(log.stat().st_mtime - began)
    assert min(seconds[1:]) < SECONDS


WORKERS = ["--epochs", "2", "--data.workers", "2", "--threads", "1"]
OWN = ["--model", f"{HERE}.regression.Curve", "--data", f"{HERE}.loading.Loaded", "--judge"]
OWN += ["val/rmse:min", *WORKERS]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["plain", "persistent", "collated"])
def test_trial_has_the_workers_that_fit_has(kind: str, workspace: Path) -> None:
    """Forked, so that a lambda need not be pickled, with the same numbers."""
    options = [*OWN, f"--data.kind={kind}"]
    compare.main([*options, "--seeds", "1", "--name", "compared"])
    fit.main([*options, "--seed", "0", "--name", "fitted"])
    (summary,) = (LOGS / "compared").rglob("summary.json")
    trial = RunDirectory(str(summary.parent.relative_to(LOGS))).read_result()
    result = RunDirectory("fitted").read_result()
    assert trial.final == result.final
    assert len({*Path("methods").read_text().split()}) == 1


@pytest.mark.nightly
def test_trial_with_workers_takes_as_long_as_fit(workspace: Path) -> None:
    """The quickest of three in turn, since other programs run meanwhile."""
    path = {"PYTHONPATH": python_path()}  # to tests/
    seconds: dict[str, list[float]] = {"fit": [], "compare": []}
    for number in range(3):
        one = {"fit": ["--seed", "0"], "compare": ["--seeds", "1"]}
        for command, seed in one.items():
            words = [*OWN, *seed, "--name", f"{command}{number}"]
            run_script(command, *words, cwd=workspace, environment=path, fresh=True)
            (summary,) = (LOGS / f"{command}{number}").rglob("summary.json")
            run = RunDirectory(str(summary.parent.relative_to(LOGS)))
            seconds[command].append(run.read_result().seconds)
    assert min(seconds["compare"]) <= 1.3 * min(seconds["fit"])
