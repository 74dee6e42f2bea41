"""Searches for tests: short ones, and ones of which no run is trained.

Their files are written, as alike to real ones as a search needs them.
"""

import json
from collections.abc import Sequence
from typing import Any

from convblocks.search.plan import Choice, Plan
from convblocks.search.study import Search

from convblocks.runs.directory import LOGS
from convblocks.search import space
from convblocks.tables import as_csv
from tests.comparison.made_up import PARAMETERS

# Options of searches that are trained, each run for a second or so.
SPACE = "lr=1e-4..1e-1:log,batch_size=32|64"
SHORT = ["--arch", "mlp", "--space", SPACE, "--epochs", "2", "--trainer.limit_train_batches", "20"]
SHORT += ["--data.val_size", "500", "--trainer.limit_test_batches", "1"]
ONE_JOB = ["--jobs", "1", "--confirm", "0"]

EPOCHS = 3

CHANCE = 0.14

DATA = {"train-images": "f00d"}

JOURNAL = LOGS / "s" / "journal.log"


def plan(name: str = "s", **changed: Any) -> Plan:
    values: dict[str, Any] = {
        "name": name,
        "archs": ("mlp",),
        "settings": (("epochs", str(EPOCHS)), ("data.val_size", "500")),
        "space": space.parse("lr=1e-4..1e-1:log,batch_size=32|64|128"),
        "seed": 0,
        "sampler": "tpe",
        "pruner": "median",
    }
    return Plan(**(values | changed))


def search(name: str = "s", **changed: Any) -> Search:
    return Search(plan(name, **changed), CHANCE, DATA)


def params(one: Search) -> list[dict[str, Any]]:
    """What was chosen for each trial."""
    return [trial.params for trial in one.trials()]


def write_epochs(trial: Choice, accuracies: Sequence[float]) -> None:
    """What a run has written after so many epochs."""
    trial.run.create()
    rows = [row(number, accuracy) for number, accuracy in enumerate(accuracies, start=1)]
    trial.run.metrics.write_text(as_csv(rows))


def write_run(trial: Choice, accuracies: Sequence[float], **changed: Any) -> None:
    """A run that is done."""
    write_epochs(trial, accuracies)
    rows = [row(number, accuracy) for number, accuracy in enumerate(accuracies, start=1)]
    trial.run.write_config(
        {"arch": trial.arch, "epochs": EPOCHS, "batch_size": 64, "lr": 0.01, "optimizer": "adam"}
        | {"lr_scheduler": "constant", "seed": trial.seed, "threads": 1, "data": {}, "trainer": {}}
    )
    summary = {
        "arch": trial.arch,
        "parameters": PARAMETERS[trial.arch],
        "seed": trial.seed,
        "epochs": rows,
        "evaluations": [],
        "ended_by": "its epochs",
        "final": {"test/loss": 0.1, "test/acc": accuracies[-1]},
        "collapsed": False,
        "collapsed_in": None,
        "seconds": 3.0,
    }
    trial.run.summary.write_text(json.dumps(summary | changed))


def row(epoch: int, accuracy: float) -> dict[str, float]:
    return {
        "epoch": epoch,
        "step": 10 * epoch,
        "train/loss": 1.0,
        "train/acc": accuracy,
        "val/loss": 1 - accuracy,
        "val/acc": accuracy,
        "seconds": 1.0,
    }


def run_next(one: Search, wanted: int, accuracies: Sequence[float] | None = None) -> str | None:
    """The next trial from its choice to its end; by itself it is the better the nearer its learning rate is to 0.01."""
    trial = one.take(wanted)
    assert trial
    if accuracies is None:
        rate = float(dict(trial.settings)["lr"])
        worth = 0.99 - abs(rate - 0.01) ** 0.5
        accuracies = [worth - 0.02, worth - 0.01, worth]
    write_run(trial, accuracies)
    return one.conclude(trial, 0)


def varied() -> Search:
    """A search with trials of each kind: complete, pruned, collapsed, failed."""
    one = search()
    for _ in range(5):
        run_next(one, 100)
    for accuracies in ([0.2], [0.9, 0.1]):
        trial = one.take(100)
        assert trial
        write_epochs(trial, accuracies)
        one.conclude(trial, 143)
    trial = one.take(100)
    assert trial
    one.conclude(trial, 1)
    return one


def numbers(name: str) -> dict[str, Any]:
    """What a search's report holds, in numbers that do not depend on the day."""
    found: dict[str, Any] = json.loads((LOGS / name / "search.json").read_text())
    return found
