"""Searches for tests: short ones, and ones of which no run is trained: their files are
written instead.
"""

import json
from collections.abc import Sequence
from typing import Any

from convblocks.compare.dry_run import Plan
from convblocks.compare.trials import Trial
from convblocks.record.directory import LOGS
from convblocks.record.judge import ACCURACY
from convblocks.record.result import Row
from convblocks.search.config import SearchConfig, parse_space
from convblocks.search.worker import SearchWorker
from convblocks.text import as_csv
from tests.made_up import result

# Options of searches that are trained, each run for a second or so.
SPACE = "lr=1e-4..1e-1:log,batch_size=32|64"
SHORT = ["--arch", "mlp", "--space", SPACE, "--epochs", "2", "--trainer.limit_train_batches", "20"]
SHORT += ["--data.val_size", "500", "--trainer.limit_test_batches", "1"]

EPOCHS = 3

PLAN = Plan(settings={}, judge=ACCURACY, epochs=EPOCHS, is_validated=True)

JOURNAL = LOGS / "s" / "journal.log"


def search(name: str = "s", **changed: Any) -> SearchWorker:
    """A search of a small space; ``changed`` are options of its trials, and others."""
    common = {"epochs": str(EPOCHS), "data.val_size": "500"} | changed.pop("common", {})
    default = Trial(
        name, changed.pop("arch", "mlp"), tuple(common.items()), (), changed.pop("seed", 0)
    )
    found = parse_space([changed.pop("space", "lr=1e-4..1e-1:log,batch_size=32|64|128")])
    return SearchWorker(SearchConfig(default, found, **changed), PLAN)


def params(worker: SearchWorker) -> list[dict[str, Any]]:
    """The settings chosen for each trial."""
    return [trial.params for trial in worker.trials()]


def next_of(worker: SearchWorker, wanted: int = 100) -> Trial:
    """The next trial, which there is."""
    trial = worker.next_trial(wanted)
    assert trial
    return trial


def write_epochs(trial: Trial, accuracies: Sequence[float]) -> None:
    """Write the metrics of a run after so many epochs."""
    trial.run.create()
    trial.run.metrics.write_text(as_csv(rows(accuracies)))


def write_run(trial: Trial, accuracies: Sequence[float], **changed: Any) -> None:
    """Write a run that is done."""
    write_epochs(trial, accuracies)
    found = result(
        trial.arch, trial.seed, accuracies[-1], trial.overrides, rows(accuracies), **changed
    )
    trial.run.write_result(found)


def rows(accuracies: Sequence[float]) -> tuple[Row, ...]:
    return tuple(
        {
            "epoch": epoch,
            "step": 10 * epoch,
            "train/loss": 1.0,
            "train/acc": accuracy,
            "seconds": 1.0,
        }
        | {"val/loss": 1 - accuracy, "val/acc": accuracy}
        for epoch, accuracy in enumerate(accuracies, start=1)
    )


def run_next(
    worker: SearchWorker, wanted: int = 100, accuracies: Sequence[float] | None = None
) -> str | None:
    """Run the next trial to its end; by default it is the better the nearer its
    learning rate is to 0.01.
    """
    trial = next_of(worker, wanted)
    best = 0.99 - abs(float(dict(trial.overrides)["lr"]) - 0.01) ** 0.5
    write_run(trial, accuracies or [best - 0.02, best - 0.01, best])
    return worker.tell(trial, 0)


def numbers(name: str) -> dict[str, Any]:
    """The report of a search as numbers, which do not depend on the day."""
    found: dict[str, Any] = json.loads((LOGS / name / "search.json").read_text())
    return found
