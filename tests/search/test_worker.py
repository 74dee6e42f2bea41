"""The trials of a search, with real Optuna: which is next, which process runs it, and how it ends."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from optuna.trial import TrialState

from convblocks.search.config import UNPRUNED_TRIALS
from convblocks.search.worker import COLLAPSED, FAILED, MOST_KILLS, SearchWorker, best_first
from tests.search.made_up import EPOCHS, JOURNAL, next_of, params, run_next, search, write_epochs, write_run


def test_a_trial_is_a_run_with_the_chosen_settings(workspace: Path) -> None:
    worker = search(archs=("mlp", "maxpool"))
    trial = next_of(worker, 1)
    assert trial.name == "s/trial_0"
    (chosen,) = params(worker)
    assert trial.arch == chosen["arch"]
    assert trial.overrides[:2] == worker.config.overrides
    assert dict(trial.overrides)["batch_size"] == chosen["batch_size"]
    assert float(dict(trial.overrides)["lr"]) == pytest.approx(chosen["lr"], rel=1e-3)
    for _ in range(8):
        run_next(worker, 9)
    assert {one["arch"] for one in params(worker)} == {"mlp", "maxpool"}


def test_there_are_as_many_trials_as_wanted(workspace: Path) -> None:
    worker = search()
    run_next(worker, 2)
    run_next(worker, 2)
    assert worker.next_trial(2) is None
    assert search().next_trial(2) is None
    assert worker.next_trial(3)


def test_a_search_that_is_restarted_for_each_trial_makes_the_same_choices(workspace: Path) -> None:
    """So many trials that the sampler has begun to learn."""
    whole = search("whole")
    for _ in range(14):
        run_next(whole, 14)
        run_next(search("interrupted"), 14)
    assert params(search("interrupted")) == params(whole)
    another = search("another", seed=1)
    run_next(another, 1)
    assert params(another)[0] != params(whole)[0]


def test_a_running_trial_belongs_to_one_process_and_is_carried_on_first_if_that_is_lost(workspace: Path) -> None:
    first, second = search(), search()
    left, other = next_of(first, 2), next_of(second, 2)
    assert [left.number, other.number] == [0, 1]
    assert [worker.next_trial(2) for worker in (first, second)] == [None, None]
    del first
    assert next_of(second) == left
    assert next_of(second).number == 2


def test_its_value_is_the_validation_accuracy_of_the_best_weights(workspace: Path) -> None:
    worker = search()
    assert run_next(worker, 1, [0.5, 0.9, 0.8]) == "validation accuracy 90.00 %"
    (trial,) = worker.trials()
    assert (trial.state, trial.value) == (TrialState.COMPLETE, 0.9)
    assert trial.intermediate_values == {1: 0.5, 2: 0.9, 3: 0.8}


def begun(**changed: Any) -> SearchWorker:
    """A search with as many trials as the pruner needs, which had 80, 85 and 90 %."""
    worker = search(**changed)
    for _ in range(UNPRUNED_TRIALS):
        run_next(worker, accuracies=[0.8, 0.85, 0.9])
    return worker


@pytest.mark.parametrize(
    ("accuracies", "result", "recorded"),
    [
        pytest.param([0.79], "pruned in epoch 1 at validation accuracy 79.00 %", 1, id="below the median"),
        pytest.param([0.81, 0.86], None, 2, id="above it"),
        # A late look decides as one at each epoch.
        pytest.param([0.81, 0.82, 0.99], "pruned in epoch 2 at validation accuracy 82.00 %", 2, id="below for a time"),
        pytest.param([0.81, 0.86, 0.85], "validation accuracy 86.00 %", 3, id="below at its end"),
    ],
)
def test_a_trial_below_the_median_is_pruned(
    accuracies: Sequence[float], result: str | None, recorded: int, workspace: Path
) -> None:
    worker = begun()
    trial = next_of(worker)
    is_done, is_pruned = len(accuracies) == EPOCHS, "pruned" in str(result)
    (write_run if is_done else write_epochs)(trial, accuracies)
    assert worker.should_stop_early(trial) == is_pruned
    assert worker.tell(trial, 0 if is_done else 143) == result
    found = worker.trials()[-1]
    assert (found.state == TrialState.PRUNED, found.user_attrs) == (is_pruned, {})
    assert found.intermediate_values == dict(enumerate(accuracies[:recorded], start=1))


def test_without_a_pruner_all_run_to_their_end(workspace: Path) -> None:
    assert run_next(begun(pruner="none"), accuracies=[0.3, 0.3, 0.3]) == "validation accuracy 30.00 %"


def test_a_trial_that_was_judged_but_not_ended_is_judged_again(workspace: Path) -> None:
    """Its process was killed between the two."""
    worker = begun()
    trial = next_of(worker)
    write_epochs(trial, [0.79])
    worker.should_stop_early(trial)
    lines = JOURNAL.read_text().splitlines(keepends=True)
    JOURNAL.write_text("".join(lines[:-1]))  # without the line that ends it
    del worker
    again = search()
    assert again.next_trial(100) == trial
    assert again.should_stop_early(trial)
    assert again.trials()[-1].intermediate_values == {1: 0.79}


def test_a_trial_that_collapses_is_ended_at_once_and_recorded_as_collapsed(workspace: Path) -> None:
    worker = search()
    trial, diverging = next_of(worker, 2), next_of(worker, 2)
    write_epochs(trial, [0.9, 0.11], **{"dead/relu1": 1.0})
    assert worker.should_stop_early(trial)
    assert worker.tell(trial, 143) == "collapsed in epoch 2"
    write_run(
        diverging,
        [0.5],
        failed=True,
        facts={"collapsed_in": 1},
        ended_by="divergence: the loss was not finite after step 9",
    )
    assert worker.tell(diverging, 0) == "collapsed in epoch 1"
    ends = [(one.state, one.user_attrs) for one in worker.trials()]
    assert ends == [(TrialState.PRUNED, {COLLAPSED: 2}), (TrialState.PRUNED, {COLLAPSED: 1})]
    assert best_first(worker.trials()) == []


def test_poor_epochs_are_no_collapse_without_a_dead_layer(workspace: Path) -> None:
    worker = search(pruner="none")
    trial = next_of(worker, 1)
    write_epochs(trial, [0.1, 0.1], **{"dead/relu1": 0.99})
    assert not worker.should_stop_early(trial)


def test_two_failures_in_a_row_stop_the_search_and_the_trial_is_carried_on_by_the_next(workspace: Path) -> None:
    """A full disk, or a bug in a network, is not the fault of the settings: Optuna does not learn of it."""
    worker = search()
    trial = next_of(worker, 2)
    assert worker.tell(trial, 1) is None
    assert worker.next_trial(2) == trial
    assert worker.tell(trial, 1) is None
    assert worker.next_trial(2) is None
    assert worker.failing() == [trial, trial]
    del worker
    assert search().next_trial(2) == trial


def test_a_run_whose_settings_are_refused_is_a_trial_without_a_result(workspace: Path) -> None:
    worker = search()
    trial = next_of(worker, 2)
    assert worker.tell(trial, 2) == f"FAILED, fit does not take these settings: see {trial.log}"
    (found,) = worker.trials()
    assert found.state == TrialState.FAIL
    assert FAILED in found.user_attrs
    run_next(worker, 2)
    assert len(best_first(worker.trials())) == 1


@pytest.mark.parametrize("status", [-9, 143])
def test_a_killed_run_is_carried_on_at_once_but_not_for_ever(status: int, workspace: Path) -> None:
    worker = search()
    trial = next_of(worker, 2)
    for _ in range(MOST_KILLS - 1):
        assert worker.tell(trial, status) is None
        assert worker.next_trial(2) == trial
    assert worker.tell(trial, status) is None
    assert worker.next_trial(2) is None
    assert worker.lost() == [0]
    del worker
    assert search().next_trial(2) == trial


def test_the_best_come_first_and_the_earlier_of_equals(workspace: Path) -> None:
    worker = search(pruner="none")
    for accuracy in (0.7, 0.9, 0.9, 0.8):
        run_next(worker, 4, [accuracy] * EPOCHS)
    assert [trial.number for trial in best_first(worker.trials())] == [1, 2, 3, 0]


@pytest.mark.slow
def test_the_bookkeeping_of_100_trials_takes_less_than_5_seconds(workspace: Path) -> None:
    """Including the files that are written here in place of real runs."""
    worker, began = search(), time.process_time()
    for _ in range(100):
        run_next(worker, accuracies=[0.7, 0.8, 0.9])
    assert time.process_time() - began < 5
    assert worker.ended() == 100
