"""The notebook's own run, and the time to an accuracy, as the paper shows them."""

from dataclasses import replace

import pytest

from convblocks.run.result import Overrides
from lab.notebook import compare_networks, notebook_table
from lab.results import died_in, time_to
from tests.made_up import as_claimed, course, result


@pytest.mark.parametrize(
    ("overrides", "is_shown"),
    [
        ((("epochs", "5"), ("threads", "2")), True),
        ((("epochs", "5"), ("lr", "1e-2"), ("lr_scheduler", "constant")), True),
        ((("epochs", "5"), ("lr", "1e-3")), False),
        ((("epochs", "4"),), False),
        ((("epochs", "5"), ("lr_scheduler", "onecycle")), False),
        ((("epochs", "5"), ("config", "configs/onecycle.yaml")), False),
        ((("epochs", "5"), ("data.val_size", "5000")), False),
        ((("epochs", "5"), ("trainer.limit_train_batches", "30")), False),
    ],
)
def test_the_notebooks_own_run_is_shown_beside_runs_of_its_settings_only(overrides: Overrides, is_shown: bool) -> None:
    table = notebook_table(compare_networks(as_claimed(2, overrides=overrides)))
    assert ("notebook's mlp" in [name for name, *_ in table.cells]) == is_shown


@pytest.mark.parametrize(
    ("accuracies", "died"),
    [
        ((0.95, 0.96, 0.0980), 3),
        ((0.95, 0.0980, 0.0980), 2),
        ((0.95, 0.1, 0.96, 0.1, 0.1), 4),
        ((0.1135, 0.1135), None),
        ((0.1135, 0.97), None),
    ],
)
def test_a_collapsed_run_died_if_it_had_learned_something(accuracies: tuple[float, ...], died: int | None) -> None:
    assert died_in(result("maxpool", 0, accuracies[-1], epochs=course(*accuracies))) == died


def test_the_time_to_an_accuracy_is_that_of_the_first_epoch_with_it() -> None:
    one = result("maxpool", 0, 0.97, epochs=course(0.95, 0.985, 0.97))
    assert [time_to(one, accuracy) for accuracy in (0.9, 0.98, 0.985, 0.99)] == [(1, 10), (2, 20), (2, 20), None]
    first, second = course(0.99, 0.99)
    del first["test/acc"]  # not evaluated
    assert time_to(replace(one, epochs=(first, second)), 0.98) == (2, 20)
