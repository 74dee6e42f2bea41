"""What is read of a run's files, and what counts as trained."""

from pathlib import Path
from typing import Any

import pytest
from convblocks.comparison.outcomes import best_settings, died_in, read_outcome, time_to

from convblocks.comparison.trials import Trial
from convblocks.data.image_spec import MNIST
from tests.comparison.test_verdicts import course, outcome

TRIAL = Trial("kept", "maxpool", (("epochs", "3"), ("threads", "1")), seed=4)


def keep_run(*accuracies: float, **changed: Any) -> None:
    """Write the files of a run with these test accuracies, an epoch each."""
    rows = [
        {"epoch": number, "step": 10 * number, "train/loss": loss, "train/acc": 0.5, "test/acc": accuracy, "seconds": 2}
        for number, (accuracy, loss) in enumerate(zip(accuracies, (0.3, 0.2, 0.1), strict=True), start=1)
    ]
    settings: dict[str, Any] = {"arch": "maxpool", "epochs": 3, "batch_size": 64, "lr": 0.01, "optimizer": "adam"}
    settings |= {"lr_scheduler": "onecycle", "seed": 4, "threads": 1, "data": {}, "trainer": {}}
    summary: dict[str, Any] = {"arch": "maxpool", "parameters": 85_526, "seed": 4, "epochs": rows, "evaluations": []}
    summary |= {"final": {"test/loss": 0.1, "test/acc": accuracies[-1]}, "collapsed": False, "chance_threshold": 0.15}
    summary |= {"ended_by": "its epochs", "seconds": 6, "threads": 1, "processes": 2, "machine": "2 CPUs"}
    summary |= {"data": {"test_images": 10_000, "image_spec": MNIST.as_dict()}}
    TRIAL.run.create()
    TRIAL.run.write_config(settings)
    TRIAL.run.write_summary(summary | changed)


def test_an_outcome_tells_what_was_run_where_and_what_came_of_it(workspace: Path) -> None:
    keep_run(0.91, 0.95, 0.97)
    found = read_outcome(TRIAL)
    assert (found.arch, found.seed, found.parameters, found.schedule) == ("maxpool", 4, 85_526, "onecycle")
    assert (found.first_loss, found.last_loss, found.accuracy, found.seconds) == (0.3, 0.1, 0.97, 6)
    assert (found.provenance.machine, found.provenance.processes) == ("2 CPUs", 2)
    assert not found.collapsed


def test_a_run_that_had_learned_died_in_the_epoch_in_which_it_lost_it(workspace: Path) -> None:
    keep_run(0.95, 0.96, 0.0980, collapsed=True)
    assert died_in(read_outcome(TRIAL)) == 3


def test_a_run_that_never_learned_did_not_die() -> None:
    assert died_in(outcome("maxpool", 0, 0.1135, epochs=course(0.1135, 0.1135))) is None


def test_a_run_that_is_well_did_not_die() -> None:
    assert died_in(outcome("maxpool", 0, 0.97, epochs=course(0.1135, 0.97))) is None


@pytest.mark.parametrize(
    ("accuracy", "reached"), [(0.9, (1, 10.0)), (0.98, (2, 20.0)), (0.985, (2, 20.0)), (0.99, None)]
)
def test_the_time_to_an_accuracy_is_that_of_the_first_epoch_with_it(
    accuracy: float, reached: tuple[int, float] | None
) -> None:
    assert time_to(outcome("mlp", 0, 0.97, epochs=course(0.95, 0.985, 0.97)), accuracy) == reached


def test_the_best_setting_is_chosen_on_validation_images_alone() -> None:
    low, high = (("lr", "0.001"),), (("lr", "0.01"),)
    swept = [
        outcome("mlp", 0, accuracy=0.95, settings=low, validation=0.97),
        outcome("mlp", 0, accuracy=0.99, settings=high, validation=0.96),
        outcome("maxpool", 0, accuracy=0.95, settings=low, validation=0.90),
        outcome("maxpool", 0, accuracy=0.90, settings=high, validation=0.91),
    ]
    assert [(one.arch, one.settings) for one in best_settings(swept)] == [("mlp", low), ("maxpool", high)]
