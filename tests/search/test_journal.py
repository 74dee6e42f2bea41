"""The journal's file: what a crash does to it, and what is refused."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from optuna.trial import TrialState

from convblocks.errors import UserError
from convblocks.search.worker import SearchWorker
from tests.search.made_up import CHANCE, JOURNAL, config, next_of, params, run_next, search


def test_a_search_carries_on_with_a_warning_if_its_journal_was_cut_off(
    workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(3):
        run_next(search(), 3)
    expected = params(search())
    JOURNAL.write_bytes(JOURNAL.read_bytes()[:-20])
    worker = search()
    assert "journal.log ended in the middle of a line, which was dropped" in capsys.readouterr().err
    assert worker.trials()[-1].state == TrialState.RUNNING
    assert worker.tell(next_of(worker, 3), 0) is not None
    assert params(worker) == expected
    assert search().ended() == 3
    assert capsys.readouterr().err == ""


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


SPACE = config().space

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
    "damage",
    [
        lambda lines: [lines[0], "nonsense\n", *lines[1:]],
        lambda lines: [lines[0], '{"op_code": 99}\n', *lines[1:]],
        lambda lines: [lines[0], "{}\n", *lines[1:]],
        lambda lines: [lines[0], "[]\n", *lines[1:]],
        lambda lines: [lines[0], "\0\0\0\n", *lines[1:]],
        lambda lines: [lines[0], "\udcff\n", *lines[1:]],
        lambda lines: [*lines, "nonsense\n"],
        lambda lines: [line.replace('"params":', '"param":') for line in lines],
        lambda lines: [lines[0], '{"op_code":2,"worker_id":"","study_id":0,"user_attr":{"config":3}}\n', *lines[2:]],
    ],
)
def test_a_journal_with_other_damage_is_refused_in_one_line(damage: object, workspace: Path) -> None:
    run_next(search(), 1)
    assert callable(damage)
    lines = JOURNAL.read_text().splitlines(keepends=True)
    JOURNAL.write_bytes("".join(damage(lines)).encode(errors="surrogateescape"))
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
    ],
)
def test_another_search_of_the_same_name_is_refused(changed: dict[str, Any], message: str, workspace: Path) -> None:
    search()
    with pytest.raises(UserError, match=f"s was begun with {message}: carry on with that, or choose another --name"):
        search(**changed)


def test_another_search_with_other_images_is_refused(workspace: Path) -> None:
    search()
    with pytest.raises(UserError, match="s was begun with train-images of MD5 f00d, not beef: carry on with that, or"):
        SearchWorker(config(), CHANCE, {"train-images": "beef"})
