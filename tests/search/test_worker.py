"""The trials of a search, with real Optuna: which is next, which process runs it, and
how it ends.
"""

import json
from argparse import Namespace
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from convblocks.errors import UserError
from convblocks.search.command import finish
from convblocks.search.config import number_of
from convblocks.search.worker import COLLAPSED, MOST_TRIES, SearchWorker
from tests.made_up import provenance
from tests.search.made_up import (
    EPOCHS,
    JOURNAL,
    next_of,
    params,
    run_next,
    search,
    write_epochs,
    write_run,
)


def test_search_that_is_restarted_for_each_trial_makes_the_same_choices(workspace: Path) -> None:
    """So many trials that the sampler has begun to learn."""
    whole = search("whole")
    for _ in range(14):
        run_next(whole, 14)
        run_next(search("interrupted"), 14)
    assert params(search("interrupted")) == params(whole)
    another = search("another", seed=1)
    run_next(another, 1)
    assert params(another)[0] != params(whole)[0]


def begun(**changed: Any) -> SearchWorker:
    """A search with as many trials as the pruner needs, which had 80, 85 and 90 %."""
    worker = search(**changed)
    for _ in range(5):
        assert (
            run_next(worker, accuracies=[0.8, 0.85, 0.9]) == "complete: validation accuracy 90.00 %"
        )
    return worker


@pytest.mark.parametrize(
    ("accuracies", "result", "recorded"),
    [
        pytest.param([0.79], "pruned: validation accuracy 79.00 %", 1, id="below the median"),
        # A late look decides as one at each epoch.
        pytest.param(
            [0.81, 0.82, 0.99], "pruned: validation accuracy 82.00 %", 2, id="below for a time"
        ),
        pytest.param(
            [0.81, 0.86, 0.85], "complete: validation accuracy 86.00 %", 3, id="below at its end"
        ),
    ],
)
def test_trial_below_the_median_is_pruned(
    accuracies: Sequence[float], result: str, recorded: int, workspace: Path
) -> None:
    worker = begun()
    trial = next_of(worker)
    is_done, is_pruned = len(accuracies) == EPOCHS, "pruned" in result
    (write_run if is_done else write_epochs)(trial, accuracies)
    assert worker.should_stop_early(trial) == is_pruned
    assert worker.tell(trial, 0 if is_done else 143) == result
    found = worker.trials()[-1]
    assert (found.state == TrialState.PRUNED, found.user_attrs) == (is_pruned, {})
    assert found.intermediate_values == dict(enumerate(accuracies[:recorded], start=1))


def test_without_a_pruner_all_run_to_their_end_and_the_best_come_first(workspace: Path) -> None:
    worker = begun(pruner="none")
    for accuracy in (0.3, 0.95):
        assert (
            run_next(worker, accuracies=[accuracy] * 3)
            == f"complete: validation accuracy {100 * accuracy:.2f} %"
        )
    assert [trial.number for trial in worker.best()] == [6, 0, 1, 2, 3, 4, 5]


def test_trial_that_collapsed_is_no_candidate(workspace: Path) -> None:
    worker = search()
    trial, diverged = next_of(worker), next_of(worker)
    write_run(trial, [0.9, 0.5, 0.1], failed=True)
    write_run(diverged, [float("nan")], failed=True)
    assert worker.tell(trial, 0) == "collapsed: validation accuracy 10.00 %"
    assert worker.tell(diverged, 0) == f"collapsed, see {diverged.log}"
    assert [(found.state, found.user_attrs) for found in worker.trials()] == 2 * [
        (TrialState.PRUNED, {COLLAPSED: True})
    ]
    assert worker.best() == []


@pytest.mark.parametrize("status", [-9, 1])
def test_trial_without_an_end_is_carried_on_at_once_but_not_for_ever(
    status: int, workspace: Path
) -> None:
    """Killed, or failed for another reason than its settings, such as a full disk:
    Optuna does not learn of it.
    """
    worker = search()
    trial = next_of(worker, 2)
    for _ in range(MOST_TRIES - 1):
        assert worker.tell(trial, status) is None
        assert worker.next_trial(2) == trial
    with pytest.raises(
        UserError, match=r"trial_0 of s was killed or failed 3 times: see .*\.log; the same"
    ):
        worker.tell(trial, status)
    assert search().next_trial(2) == trial


def test_trials_on_different_data_are_not_reported(workspace: Path) -> None:
    worker = search()
    for md5 in ("f00d", "beef"):
        trial = next_of(worker)
        write_run(trial, [0.9], provenance=replace(provenance(), data={"train-images": md5}))
        worker.tell(trial, 0)
    with pytest.raises(UserError, match=r"trial_0 and .*trial_1 were trained on different data"):
        finish(worker, Namespace())


def run_all(wanted: int) -> list[tuple[TrialState, dict[str, Any], float | None]]:
    """Carry on with a search to its end; its second trial collapses, and the third fails."""
    worker = search()
    while worker.ended() < wanted:
        trial = next_of(worker, wanted)
        if (number := number_of(trial)) != 2:
            write_run(trial, [0.7, 0.8, 0.9], failed=number == 1)
        assert str(worker.tell(trial, 2 * (number == 2))).startswith(
            ("complete", "collapsed", "failed, see")
        )
    return [(found.state, found.params, found.value) for found in worker.trials()]


def places(journal: bytes) -> Iterator[int]:
    """Within and at the end of the first line of each kind, but for those from before
    the first trial.
    """
    kinds, end = set(), 0
    for number, line in enumerate(journal.splitlines(keepends=True)):
        event = json.loads(line)
        if number > 1 and (kind := (event["op_code"], event.get("state"))) not in kinds:
            kinds.add(kind)
            yield from (end + len(line) // 2, end + len(line) - 1, end + len(line))
        end += len(line)


def test_journal_that_a_crash_cut_off_is_carried_on_to_the_same_end(
    workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It may lack epochs that the runs have written already; an unfinished line is
    dropped with a warning.
    """
    expected = run_all(4)
    whole = JOURNAL.read_bytes()
    for end in places(whole):
        JOURNAL.write_bytes(whole[:end])
        assert run_all(4) == expected, end
        dropped = "journal.log: dropped a truncated last line" in capsys.readouterr().err
        assert dropped == (whole[:end][-1:] != b"\n"), end
    study = optuna.load_study(
        study_name=None, storage=JournalStorage(JournalFileBackend(str(JOURNAL)))
    )
    assert [
        (found.state, found.params, found.value) for found in study.trials
    ] == expected  # as its dashboard reads it


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"seed": 1}, "--seed=0, not --seed=1"),
        ({"arch": "maxpool"}, "--arch=mlp, not --arch=maxpool"),
        ({"seed": 1, "arch": "maxpool"}, "--arch=mlp, not --arch=maxpool"),
        ({"common": {"loss": "mse"}}, "less, not --loss=mse"),
        ({"space": "lr=1e-4..1e-1:log"}, "--space batch_size=.*, not less"),
    ],
)
def test_search_with_the_name_of_another_is_refused(
    changed: dict[str, Any], message: str, workspace: Path
) -> None:
    search()
    with pytest.raises(
        UserError, match=f"s was begun with {message}: continue with that, or choose another --name"
    ):
        search(**changed)


def test_dashboard_shows_the_name_of_the_search_and_of_its_metric(workspace: Path) -> None:
    study = search("rates/first").study
    assert (study.study_name, study.metric_names) == ("rates/first", ["val/acc"])


def test_journal_whose_study_has_an_older_name_is_continued(workspace: Path) -> None:
    worker = search()
    run_next(worker)
    JOURNAL.write_text(JOURNAL.read_text().replace('"study_name":"s"', '"study_name":"search"'))
    continued = search()
    assert (continued.study.study_name, params(continued)) == ("search", params(worker))
