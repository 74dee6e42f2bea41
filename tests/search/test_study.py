"""The journal of a search, with real Optuna: which trial is next, whose it is, and what came of it."""

import time
from pathlib import Path

import pytest
from convblocks.search.plan import UNPRUNED_TRIALS
from convblocks.search.study import COLLAPSED, FAILED, MOST_KILLS, Search, best_first
from optuna.trial import TrialState

from tests.search.made_up import EPOCHS, JOURNAL, params, run_next, search, write_epochs, write_run


def test_a_trial_is_a_run_of_the_settings_that_were_chosen(workspace: Path) -> None:
    one = search()
    trial = one.take(1)
    assert trial
    assert trial.name == "s/trial_0"
    chosen = one.trials()[0].params
    assert trial.settings[:2] == one.plan.settings
    assert dict(trial.settings)["batch_size"] == chosen["batch_size"]
    assert float(dict(trial.settings)["lr"]) == pytest.approx(chosen["lr"], rel=1e-3)


def test_of_several_networks_one_is_chosen(workspace: Path) -> None:
    one = search(archs=("mlp", "maxpool"))
    for _ in range(8):
        run_next(one, 8)
    assert {trial.params["arch"] for trial in one.trials()} == {"mlp", "maxpool"}


def test_there_are_as_many_trials_as_wanted_and_no_more(workspace: Path) -> None:
    one = search()
    run_next(one, 2)
    run_next(one, 2)
    assert one.take(2) is None
    assert one.take(3)


def test_a_search_that_is_opened_anew_for_each_trial_chooses_as_one_that_is_not(workspace: Path) -> None:
    """So many trials that the sampler has begun to learn."""
    whole = search("whole")
    for _ in range(14):
        run_next(whole, 14)
        run_next(search("interrupted"), 14)
    assert params(search("interrupted")) == params(whole)
    another = search("another", seed=1)
    run_next(another, 1)
    assert params(another)[0] != params(whole)[0]


def test_a_trial_that_is_running_belongs_to_whom_it_was_given(workspace: Path) -> None:
    first, second = search(), search()
    one, other = first.take(2), second.take(2)
    assert one
    assert other
    assert (one.number, other.number) == (0, 1)
    assert first.take(2) is None
    assert second.take(2) is None


def test_a_trial_whose_process_is_gone_is_carried_on_before_anything_new_is_chosen(workspace: Path) -> None:
    gone = search()
    left = gone.take(5)
    del gone
    one = search()
    assert one.take(5) == left
    chosen = one.take(5)
    assert chosen
    assert chosen.number == 1


def test_a_trial_that_has_ended_is_not_carried_on(workspace: Path) -> None:
    run_next(search(), 1)
    assert search().take(1) is None


def test_its_value_is_the_validation_accuracy_by_which_the_run_kept_its_best_weights(workspace: Path) -> None:
    one = search()
    assert run_next(one, 1, [0.5, 0.9, 0.8]) == "validation accuracy 90.00 %"
    (trial,) = one.trials()
    assert (trial.state, trial.value) == (TrialState.COMPLETE, 0.9)
    assert trial.intermediate_values == {1: 0.5, 2: 0.9, 3: 0.8}


def begun(accuracies: tuple[float, ...] = (0.8, 0.85, 0.9)) -> Search:
    """A search with as many trials as the pruner wants to see."""
    one = search()
    for _ in range(UNPRUNED_TRIALS):
        run_next(one, 100, accuracies)
    return one


def test_a_trial_that_is_worse_than_half_of_those_before_is_pruned(workspace: Path) -> None:
    one = begun()
    trial = one.take(100)
    assert trial
    write_epochs(trial, [0.79])
    assert one.should_stop_early(trial)
    assert one.conclude(trial, 143) == "pruned in epoch 1 at validation accuracy 79.00 %"
    pruned = one.trials()[-1]
    assert (pruned.state, pruned.value, pruned.user_attrs) == (TrialState.PRUNED, 0.79, {})


def test_a_trial_that_is_good_is_not_ended(workspace: Path) -> None:
    one = begun()
    trial = one.take(100)
    assert trial
    write_epochs(trial, [0.81, 0.86])
    assert not one.should_stop_early(trial)


@pytest.mark.parametrize("is_done", [False, True])
def test_it_is_judged_by_the_same_epoch_however_far_it_has_got(is_done: bool, workspace: Path) -> None:
    """A pruner that looks late decides as one that looks at each epoch, and what came later is not noted."""
    one = begun()
    trial = one.take(100)
    assert trial
    course = [0.81, 0.82, 0.99]
    if is_done:
        write_run(trial, course)
    else:
        write_epochs(trial, course)
    assert one.conclude(trial, 0 if is_done else 143) == "pruned in epoch 2 at validation accuracy 82.00 %"
    assert one.trials()[-1].intermediate_values == {1: 0.81, 2: 0.82}


def test_after_its_last_epoch_nothing_is_pruned(workspace: Path) -> None:
    one = begun()
    assert run_next(one, 100, [0.81, 0.86, 0.85]) == "validation accuracy 86.00 %"


def test_without_a_pruner_all_run_to_their_end(workspace: Path) -> None:
    one = search(pruner="none")
    for _ in range(UNPRUNED_TRIALS):
        run_next(one, 100, [0.8, 0.85, 0.9])
    assert run_next(one, 100, [0.3, 0.3, 0.3]) == "validation accuracy 30.00 %"


def test_a_trial_that_was_judged_but_not_ended_is_judged_again(workspace: Path) -> None:
    """Its process was killed between the two."""
    one = begun()
    trial = one.take(100)
    assert trial
    write_epochs(trial, [0.79])
    one.should_stop_early(trial)
    lines = JOURNAL.read_text().splitlines(keepends=True)
    JOURNAL.write_text("".join(lines[:-1]))  # without the line that ends it
    del one
    again = search()
    assert again.take(100) == trial
    assert again.should_stop_early(trial)
    assert again.trials()[-1].intermediate_values == {1: 0.79}


def test_a_trial_that_collapses_is_ended_at_once_and_recorded_as_what_it_is(workspace: Path) -> None:
    one = search()
    trial = one.take(1)
    assert trial
    write_epochs(trial, [0.9, 0.11])
    assert one.should_stop_early(trial)
    assert one.conclude(trial, 143) == "collapsed in epoch 2"
    (found,) = one.trials()
    assert (found.state, found.user_attrs) == (TrialState.PRUNED, {COLLAPSED: 2})
    assert best_first(one.trials()) == []


def test_a_run_that_diverged_has_collapsed(workspace: Path) -> None:
    one = search()
    trial = one.take(1)
    assert trial
    write_run(trial, [0.5], collapsed=True, collapsed_in=1, ended_by="divergence: the loss was not finite after step 9")
    assert one.conclude(trial, 0) == "collapsed in epoch 1"
    assert one.trials()[0].user_attrs == {COLLAPSED: 1}


def test_a_run_that_fails_is_a_trial_without_a_result(workspace: Path) -> None:
    one = search()
    trial = one.take(2)
    assert trial
    assert one.conclude(trial, 1) == f"FAILED, it ended with status 1: see {trial.log}"
    (found,) = one.trials()
    assert found.state == TrialState.FAIL
    assert FAILED in found.user_attrs
    run_next(one, 2)
    assert len(best_first(one.trials())) == 1


@pytest.mark.parametrize("status", [-9, 143])
def test_a_run_that_was_killed_is_carried_on_at_once_but_not_for_ever(status: int, workspace: Path) -> None:
    one = search()
    trial = one.take(2)
    assert trial
    for _ in range(MOST_KILLS - 1):
        assert one.conclude(trial, status) is None
        assert one.take(2) == trial
    assert one.conclude(trial, status) is None
    assert one.take(2) is None
    assert one.lost() == [0]
    del one
    assert search().take(2) == trial


def test_the_best_come_first(workspace: Path) -> None:
    one = search(pruner="none")
    for accuracy in (0.7, 0.9, 0.9, 0.8):
        run_next(one, 4, [accuracy] * EPOCHS)
    assert [trial.number for trial in best_first(one.trials())] == [1, 2, 3, 0]


def test_the_bookkeeping_of_100_trials_takes_less_than_5_seconds(workspace: Path) -> None:
    """Beside what the runs themselves write here."""
    one = search()
    seconds = 0.0
    for _ in range(100):
        began = time.process_time()
        trial = one.take(100)
        assert trial
        seconds += time.process_time() - began
        write_run(trial, [0.7, 0.8, 0.9])
        began = time.process_time()
        one.conclude(trial, 0)
        seconds += time.process_time() - began
    assert seconds < 5
    assert one.ended() == 100
