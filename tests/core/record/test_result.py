"""The result of a run: what follows from its epochs."""

import json
import math
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from convblocks.errors import UserError
from convblocks.record.directory import RunDirectory
from convblocks.record.judge import ACCURACY, Judge, Judges
from convblocks.record.result import Row, RunResult, decode, encode
from convblocks.run import finish
from tests.made_up import course, result


def run_of(*accuracies: float, **changed: object) -> RunResult:
    """A run with these test accuracies, an epoch each, of ten seconds."""
    fields: dict[str, Any] = changed | {"epochs": course(*accuracies)}
    return result("maxpool", 0, accuracies[-1], **fields)


def evaluated(step: int, accuracy: float, loss: float) -> Row:
    """The row of an evaluation on validation images within the first epoch."""
    return {"epoch": 1, "step": step, "val/acc": accuracy, "val/loss": loss, "seconds": 2.5}


def test_result_has_the_score_and_seconds_of_its_epochs() -> None:
    run = run_of(0.9, 0.95, 0.97, evaluations=(evaluated(100, 0.8, 0.7),))
    assert (run.score, run.seconds) == (0.97, 32.5)


@pytest.mark.parametrize(
    ("epochs", "is_done"),
    [(2, True), (3, True), (4, False), pytest.param(-1, False, id="no limit")],
)
def test_run_of_three_epochs_is_done_if_no_more_are_asked_for(
    epochs: int, is_done: bool, tmp_path: Path
) -> None:
    run = RunDirectory("run", tmp_path)
    run.create()
    run.write_config({})
    run.write_result(run_of(0.9, 0.95, 0.97))
    assert bool(run.result_after(epochs)) == is_done


def test_seconds_are_rounded_as_those_of_epochs_are() -> None:
    evaluations = tuple(evaluated(1, 0.8, 0.7) | {"seconds": part} for part in (0.1, 0.2))
    assert run_of(0.9, evaluations=evaluations).seconds == 10.3


@pytest.mark.parametrize(
    ("losses", "best"),
    [((0.3, 0.2, 0.25), 0.92), ((0.3, math.nan, 0.4), 0.91), ((math.nan,) * 3, 0.91)],
)
def test_result_has_the_validation_accuracy_of_the_lowest_loss(
    losses: tuple[float, ...], best: float
) -> None:
    """Evaluations within an epoch count too; a loss that is not finite does only if
    there is no other.
    """
    measured = [
        {"val/loss": loss, "val/acc": 0.91 + index / 100} for index, loss in enumerate(losses)
    ]
    epochs = tuple(row | more for row, more in zip(course(0.1, 0.2), measured[:2], strict=True))
    assert (
        replace(
            run_of(0.9, 0.9), epochs=epochs, evaluations=(evaluated(1000, 0.93, losses[2]),)
        ).validation
        == best
    )
    assert run_of(0.9).validation is None


@pytest.mark.parametrize("missing", ["epochs", "final"])
def test_damaged_result_is_refused(missing: str) -> None:
    damaged = json.loads(encode(run_of(0.9)))
    damaged[missing] = type(damaged[missing])()
    with pytest.raises(
        UserError, match=r"^cannot read x.json \(it has no epoch, or no (val|test)/acc\)"
    ):
        decode(json.dumps(damaged), Path("x.json"), "resume it")


def test_judge_prefers_finite_values() -> None:
    rows = [{"val/acc": value} for value in (math.nan, 0.3, 0.2)]
    assert ACCURACY.best(rows) == {"val/acc": 0.3}
    assert ACCURACY.best([]) is None


def test_final_metrics_are_of_the_evaluation_that_the_monitor_prefers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its checkpoint is kept, not that of the best accuracy."""
    rows = [
        {"val/loss": 0.3, "val/acc": 0.9},
        {"val/loss": 0.2, "val/acc": 0.8},
        {"val/loss": 0.4, "val/acc": 0.7},
    ]
    monitor = Judge("val/loss", "min")
    run: Any = SimpleNamespace(
        best=SimpleNamespace(monitor="val/loss"),
        log=SimpleNamespace(rows=rows),
        judges=Judges(ACCURACY, monitor),
        evaluation_split="val",
    )
    run.has = lambda split: False
    monkeypatch.setattr(finish, "load_best", lambda run: True)
    assert finish.final_metrics(run) == rows[1]
