"""The progress of trials counts their epochs, and promises no end while one still runs."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from convblocks.compare.dry_run import Plan
from convblocks.compare.progress import Progress
from convblocks.compare.trials import all_trials
from convblocks.run.judge import ACCURACY


@pytest.mark.parametrize("is_terminal", [True, False])
def test_progress_is_a_bar_on_a_terminal_and_a_line_for_each_trial(is_terminal: bool, workspace: Path) -> None:
    common = (("threads", "1"), ("trainer.default_root_dir", "x"))
    trials = all_trials("compare", ["mlp"], [0, 1, 2, 3], common, {"lr": ["0.1"]})
    trials[1].run.create()
    trials[1].run.metrics.write_text("epoch,train/loss,test/acc\n1,0.5,0.9\n2,0.3,0.95\n")
    output = io.StringIO()
    console = Console(file=output, width=80, force_terminal=is_terminal, color_system=None)
    plan = Plan(settings={}, judge=ACCURACY, epochs=4, is_validated=False)
    with Progress(4, lambda trial: plan, console, status=lambda: "best 95.00 %") as progress:
        progress.show(trials[:2])
        (bar,) = progress.tasks
        assert (bar.completed, bar.description) == ((0.5, "0 of 4  best 95.00 %") if is_terminal else (0, ""))
        progress.finish(trials[1], "done")
    if is_terminal:
        assert "1/4  mlp lr=0.1 seed 1: done" in output.getvalue()
    else:
        assert output.getvalue() == "1/4  mlp lr=0.1 seed 1: done\n"
