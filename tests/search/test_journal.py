"""The journal's file: what a crash does to it, and what is refused."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from convblocks.errors import UserError
from tests.search.made_up import JOURNAL, config, next_of, run_next, search, write_epochs, write_run

SPACE = config().space


def test_optunas_own_tools_read_the_journal(workspace: Path) -> None:
    """Such as its dashboard."""
    worker = search()
    run_next(worker, 2)
    run_next(worker, 2)
    study = optuna.load_study(study_name=None, storage=JournalStorage(JournalFileBackend(str(JOURNAL))))
    assert [(one.state, one.params, one.value) for one in study.trials] == [
        (TrialState.COMPLETE, one.params, one.value) for one in worker.trials()
    ]


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
    return [(one.state, one.params, one.value) for one in worker.trials()]


def distinct_places(journal: bytes) -> Iterator[int]:
    """Within and at the end of the first line of each kind."""
    kinds, end = set(), 0
    for line in journal.splitlines(keepends=True):
        event = json.loads(line)
        if (kind := (event["op_code"], event.get("state"))) not in kinds:
            kinds.add(kind)
            yield from (end + len(line) // 2, end + len(line) - 1, end + len(line))
        end += len(line)


@pytest.mark.parametrize(
    "places",
    [distinct_places, pytest.param(lambda journal: range(len(journal)), marks=pytest.mark.nightly)],
    ids=["distinct places", "all places"],
)
def test_cut_off_anywhere_by_a_crash_it_is_carried_on_to_the_same_end(
    places: Callable[[bytes], Iterable[int]], workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It may lack epochs that the runs have written already; an unfinished line is dropped with a warning."""
    expected = run_all(4)
    whole = JOURNAL.read_bytes()
    for end in places(whole):
        JOURNAL.write_bytes(whole[:end])
        assert run_all(4) == expected, end
        dropped = "journal.log ended in the middle of a line, which was dropped" in capsys.readouterr().err
        assert dropped == (whole[:end][-1:] not in (b"", b"\n")), end


def test_a_partial_line_of_another_machine_is_dropped_while_the_search_goes_on(
    workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    worker = search()
    run_next(worker, 3)
    with JOURNAL.open("a") as file:
        file.write('{"op_code":4,"worker_id":"el')
    run_next(worker, 3)
    assert "journal.log ended in the middle of a line, which was dropped" in capsys.readouterr().err
    run_next(search(), 3)
    assert (worker.ended(), capsys.readouterr().err) == (3, "")


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


@pytest.mark.parametrize("line", ["nonsense", '{"op_code": 99}', "{}", "[]", "\0\0\0", "\udcff", None])
def test_a_journal_with_other_damage_is_refused_in_one_line(line: str | None, workspace: Path) -> None:
    """None: an attribute of its trials has another name."""
    run_next(search(), 1)
    first, *others = JOURNAL.read_text().splitlines()
    places = [[first, line, *others], [first, *others, line]] if line else [[first, *others]]
    for lines in places:
        text = "\n".join(one for one in lines if one) + "\n"
        text = text if line else text.replace('"params":', '"param":')
        JOURNAL.write_bytes(text.encode(errors="surrogateescape"))
        with pytest.raises(UserError, match=r"journal\.log is damaged .*: restore it, or choose") as caught:
            search()
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"seed": 1}, "--seed 0, not 1"),
        ({"archs": ("maxpool",)}, "--arch mlp, not maxpool"),
        ({"sampler": "random"}, "--sampler tpe, not random"),
        ({"pruner": "none"}, "--pruner median, not none"),
        ({"overrides": (("epochs", "4"), ("data.val_size", "500"))}, "--epochs 3, not 4"),
        ({"overrides": (*config().overrides, ("loss", "mse"))}, "--loss nothing, not mse"),
        ({"space": SPACE | {"lr": SPACE["batch_size"]}}, r"--space lr 0.0001..0.1:log, not 32\|64\|128"),
        ({"space": {"lr": SPACE["lr"]}}, r"--space batch_size 32\|64\|128, not nothing"),
        ({"data": "beef"}, "train-images of MD5 f00d, not beef"),
    ],
)
def test_another_search_of_the_same_name_is_refused(changed: dict[str, Any], message: str, workspace: Path) -> None:
    search()
    with pytest.raises(UserError, match=f"s was begun with {message}: carry on with that, or choose another --name"):
        search(**changed)
