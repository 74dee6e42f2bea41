"""What is seen of trials while they run."""

import io
import sys
import time
from itertools import count
from pathlib import Path

import pytest
from rich.console import Console

from convblocks.compare import watch
from convblocks.compare.trials import Trial
from convblocks.compare.watch import Watch, progress_of
from tests.search.made_up import PLAN, write_epochs


def trial(seed: int) -> Trial:
    return Trial("watched", "mlp", (), (), seed)


@pytest.mark.parametrize(
    ("accuracies", "epochs", "seen"),
    [
        (None, 3, ("starting", 0)),
        ([], 3, ("epoch 1/3", 0)),
        ([0.9, 0.9701], 4, ("epoch 3/4, 97.01 %", 0.5)),
        ([0.9, 0.95, 0.96], 3, ("epoch 3/3, 96.00 %", 1)),
        ([0.9], -1, ("epoch 2, 90.00 %", 0)),
    ],
)
def test_progress_of_a_trial_is_read_from_its_run(
    accuracies: list[float] | None, epochs: int, seen: tuple[str, float], workspace: Path
) -> None:
    if accuracies is not None:
        write_epochs(trial(0), accuracies)
        trial(0).run.config.touch()
    assert progress_of(trial(0), PLAN._replace(epochs=epochs)) == seen


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each call of a Watch comes ten seconds after the one before."""
    seconds = count(100, 10)
    monkeypatch.setattr(time, "monotonic", lambda: next(seconds))


def test_pipe_gets_a_line_now_and_then_but_not_right_after_another(
    clock: None, workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ended = 0
    see = Watch(4, lambda: ended, lambda _: PLAN)
    running = [trial(0), trial(1)]
    lines = []
    with see.live():
        for call in range(9):
            if call == 1:
                write_epochs(trial(0), [0.9, 0.9])
            if call == 5:
                ended, running = 1, running[1:]
            see(running)
            lines.append(capsys.readouterr().out)
    both = "0/4 trials, 2 running: mlp seed 0 ({}), mlp seed 1 (starting)"
    assert lines == [
        both.format("starting") + "\n",
        "",
        "",
        # two thirds of a trial in 30 s: the other 3 1/3 take 150 s
        both.format("epoch 3/3, 90.00 %") + ", 0:02:30 left\n",
        "",
        "",
        "",
        "",
        "1/4 trials, 1 running: mlp seed 1 (starting), 0:04:00 left\n",
    ]


@pytest.mark.parametrize(("columns", "rows", "shown"), [(80, 24, 3), (60, 20, 3), (60, 8, 2)])
def test_terminal_shows_all_trials_that_it_has_room_for(
    columns: int,
    rows: int,
    shown: int,
    clock: None,
    workspace: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    output = io.StringIO()
    console = Console(
        file=output, force_terminal=True, width=columns, height=rows, _environ={"TERM": "xterm"}
    )
    monkeypatch.setattr(watch, "Console", lambda **_: console)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    write_epochs(trial(1), [0.9, 0.9701])
    see = Watch(4, lambda: 1, lambda _: PLAN)
    with see.live():
        see([Trial("watched", "a" * 70, (), (), 0), trial(1)])
        lines = output.getvalue().splitlines()
    seen = [line for line in lines if "━" in line]
    assert len(seen) == shown
    assert "1/4 trials, 2 running" in seen[0]
    assert "starting" in seen[1]
    assert shown == 2 or "epoch 3/3, 97.01 %" in seen[2]
