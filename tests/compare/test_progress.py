"""The progress of trials counts their epochs, and promises no end while one still runs."""

import io
from multiprocessing import Process
from pathlib import Path

from rich.console import Console

from convblocks.compare.dry_run import Plan
from convblocks.compare.launch import Running
from convblocks.compare.progress import Progress
from convblocks.compare.trials import all_trials
from convblocks.run.judge import ACCURACY


def test_the_bars_count_epochs_and_name_the_last_scores(workspace: Path) -> None:
    trials = all_trials("compare", ["mlp"], [0, 1, 2, 3], (("threads", "1"),), {"lr": ["0.1"]})
    trials[1].run.create()
    trials[1].run.metrics.write_text("epoch,train/loss,test/acc\n1,0.5,0.9\n2,0.3,0.95\n")
    console = Console(file=io.StringIO(), width=80, force_terminal=True, color_system=None)
    plan = Plan(settings={}, judge=ACCURACY, epochs=4, is_validated=False, work=1)
    with Progress(4, lambda trial: plan, trials[0].common, console, status=lambda: "best 95.00 %") as progress:
        progress.update([Running(trial, Process()) for trial in trials[:2]])
        shown = [[*task.fields.values(), task.completed] for task in progress.bars.tasks]
        progress.finish(trials[1], "done")
    assert shown[1:] == [["epoch 0/4  ", 0], ["epoch 2/4  90.00 95.00", 0.5]]
    assert shown[0][0].endswith(" left  best 95.00 %")
    assert shown[0][1] == 0.5
    assert isinstance(console.file, io.StringIO)
    assert "1/4  mlp lr=0.1 seed 1: done" in console.file.getvalue()
    assert len(progress.bars.tasks) == 2


def test_in_a_pipe_there_is_a_line_for_each_trial_and_no_bar(workspace: Path) -> None:
    (trial,) = all_trials("compare", ["mlp"], [0], (("threads", "1"), ("trainer.default_root_dir", "x")), {})
    console = Console(file=io.StringIO(), width=80)
    plan = Plan(settings={}, judge=ACCURACY, epochs=4, is_validated=False, work=1)
    with Progress(1, lambda trial: plan, trial.common, console) as progress:
        progress.update([Running(trial, Process())])
        progress.finish(trial, "done")
    assert isinstance(console.file, io.StringIO)
    assert console.file.getvalue() == "1 trial with threads 1\n1/1  mlp seed 0: done\n"
