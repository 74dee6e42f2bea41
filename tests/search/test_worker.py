"""The trials of a search, with real Optuna: which is next, which process runs it, and how it ends."""

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from convblocks.errors import UserError
from convblocks.search.config import UNPRUNED_TRIALS
from convblocks.search.worker import COLLAPSED, FAILED, MOST_TRIES, SearchWorker
from tests.search.made_up import EPOCHS, JOURNAL, config, next_of, params, run_next, search, write_epochs, write_run

SPACE = config().space


def test_a_trial_is_a_run_with_the_chosen_settings(workspace: Path) -> None:
    worker = search(archs=("mlp", "maxpool"))
    trial = next_of(worker, 1)
    assert trial.name == "s/trial_0"
    (chosen,) = params(worker)
    assert trial.arch == chosen["arch"]
    assert trial.overrides[:2] == worker.config.common
    assert dict(trial.chosen)["batch_size"] == chosen["batch_size"]
    assert float(dict(trial.chosen)["lr"]) == pytest.approx(chosen["lr"], rel=1e-3)
    for _ in range(8):
        run_next(worker, 9)
    assert {found["arch"] for found in params(worker)} == {"mlp", "maxpool"}
    assert worker.next_trial(9) is None
    assert worker.next_trial(10)


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


def begun(**changed: Any) -> SearchWorker:
    """A search with as many trials as the pruner needs, which had 80, 85 and 90 %."""
    worker = search(**changed)
    for _ in range(UNPRUNED_TRIALS):
        assert run_next(worker, accuracies=[0.8, 0.85, 0.9]) == "validation accuracy 90.00 %"
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


def test_a_trial_that_collapses_is_ended_at_once_and_recorded_as_collapsed(workspace: Path) -> None:
    worker = search(pruner="none")
    trial, diverging, poor = next_of(worker), next_of(worker), next_of(worker)
    write_epochs(trial, [0.9, 0.11], **{"dead/relu1": 1.0})
    assert worker.should_stop_early(trial)
    assert worker.tell(trial, 143) == "collapsed in epoch 2"
    write_run(diverging, [0.5], failed=True, facts={"collapsed_in": 1}, ended_by="divergence: the loss was not finite")
    assert worker.tell(diverging, 0) == "collapsed in epoch 1"
    write_epochs(poor, [0.1, 0.1], **{"dead/relu1": 0.99})
    assert not worker.should_stop_early(poor)
    ends = [(found.state, found.user_attrs) for found in worker.trials()]
    assert ends[:2] == [(TrialState.PRUNED, {COLLAPSED: 2}), (TrialState.PRUNED, {COLLAPSED: 1})]
    assert worker.best() == []


@pytest.mark.parametrize("status", [-9, 143, 1])
def test_a_run_without_an_end_is_carried_on_at_once_but_not_for_ever(status: int, workspace: Path) -> None:
    """Killed, or failed for another reason than its settings, such as a full disk: Optuna does not learn of it."""
    worker = search()
    trial = next_of(worker, 2)
    for _ in range(MOST_TRIES - 1):
        assert worker.tell(trial, status) is None
        assert worker.next_trial(2) == trial
    assert worker.tell(trial, status) is None
    assert worker.next_trial(2) is None
    assert worker.stuck() == 0
    assert search().next_trial(2) == trial


def test_a_run_whose_settings_are_refused_is_a_trial_without_a_result(workspace: Path) -> None:
    worker = search()
    trial = next_of(worker, 2)
    assert worker.tell(trial, 2) == f"FAILED, fit does not take these settings: see {trial.log}"
    (found,) = worker.trials()
    assert found.state == TrialState.FAIL
    assert FAILED in found.user_attrs


def test_the_best_come_first_and_the_earlier_of_equals(workspace: Path) -> None:
    worker = search(pruner="none")
    for accuracy in (0.7, 0.9, 0.9, 0.8):
        run_next(worker, 4, [accuracy] * EPOCHS)
    assert [trial.number for trial in worker.best()] == [1, 2, 3, 0]


def run_all(wanted: int) -> list[tuple[TrialState, dict[str, Any], float | None]]:
    """Carry on with a search to its end; its second trial collapses, and the third fails."""
    worker = search()
    while worker.ended() < wanted:
        trial = next_of(worker, wanted)
        if trial.number == 1:
            write_epochs(trial, [0.9, 0.1], **{"dead/relu1": 1.0})
        elif trial.number != 2:
            write_run(trial, [0.7, 0.8, 0.9])
        worker.tell(trial, 2 * (trial.number == 2))
    return [(found.state, found.params, found.value) for found in worker.trials()]


def places(journal: bytes) -> Iterator[int]:
    """Within and at the end of the first line of each kind, but for those from before the first trial."""
    kinds, end = set(), 0
    for number, line in enumerate(journal.splitlines(keepends=True)):
        event = json.loads(line)
        if number > 1 and (kind := (event["op_code"], event.get("state"))) not in kinds:
            kinds.add(kind)
            yield from (end + len(line) // 2, end + len(line) - 1, end + len(line))
        end += len(line)


def test_a_journal_that_a_crash_cut_off_is_carried_on_to_the_same_end(
    workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It may lack epochs that the runs have written already; an unfinished line is dropped with a warning."""
    expected = run_all(4)
    whole = JOURNAL.read_bytes()
    for end in places(whole):
        JOURNAL.write_bytes(whole[:end])
        assert run_all(4) == expected, end
        dropped = "journal.log ended in the middle of a line, which was dropped" in capsys.readouterr().err
        assert dropped == (whole[:end][-1:] != b"\n"), end
    study = optuna.load_study(study_name=None, storage=JournalStorage(JournalFileBackend(str(JOURNAL))))
    assert [(found.state, found.params, found.value) for found in study.trials] == expected  # as its dashboard reads it


KILLED = "import os, sys, filelock; lock = filelock.FileLock(sys.argv[1]); lock.acquire(); os.kill(os.getpid(), 9)"


def test_a_process_killed_while_it_writes_locks_no_other_out(workspace: Path) -> None:
    """Nor does the link by which Optuna's own lock keeps others away."""
    run_next(search(), 2)
    (lock,) = JOURNAL.parent.glob(".journal.*")
    subprocess.run([sys.executable, "-c", KILLED, str(lock)], check=False, timeout=60)
    Path(f"{JOURNAL}.lock").symlink_to(JOURNAL)
    worker = search()
    run_next(worker, 2)
    assert worker.ended() == 2


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"seed": 1}, "--seed 0, not 1"),
        ({"archs": ("maxpool",)}, "--arch mlp, not maxpool"),
        ({"pruner": "none"}, "--pruner median, not none"),
        ({"common": (*config().common, ("loss", "mse"))}, "--loss nothing, not mse"),
        ({"space": SPACE | {"lr": SPACE["batch_size"]}}, r"--space lr 0.0001..0.1:log, not 32\|64\|128"),
        ({"data": "beef"}, "train-images of MD5 f00d, not beef"),
    ],
)
def test_another_search_of_the_same_name_is_refused(changed: dict[str, Any], message: str, workspace: Path) -> None:
    search()
    with pytest.raises(UserError, match=f"s was begun with {message}: carry on with that, or choose another --name"):
        search(**changed)


def test_a_search_whose_journal_is_gone_is_not_begun_again_over_its_trials(workspace: Path) -> None:
    run_next(search(), 1)
    JOURNAL.unlink()
    with pytest.raises(UserError, match="s has trials of another --storage, or none: carry on with that, or choose"):
        search()
