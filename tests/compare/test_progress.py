"""The progress of trials counts their steps, and promises no end while one still runs."""

import io
from collections.abc import Sequence
from ctypes import c_double
from multiprocessing import Process
from pathlib import Path

import pytest
from rich.console import Console

from convblocks.compare.progress import Progress, columns_of
from convblocks.compare.shared_progress import SharedProgress
from convblocks.compare.trials import Running, Trial, all_trials
from convblocks.run import fit


class Noting(SharedProgress):
    """Notes each share."""

    def __init__(self) -> None:
        self.shares: list[float] = []
        super().__init__(c_double(0.0))

    def on_train_batch_end(self, *given: object) -> None:
        super().on_train_batch_end(*given)  # type: ignore[arg-type]  # as Lightning calls it
        self.shares.append(self._share.value)


def test_a_run_shares_how_many_of_its_steps_are_done(workspace: Path) -> None:
    noting = Noting()
    short = "--arch mlp --epochs 2 --trainer.limit_train_batches 2 --trainer.limit_val_batches 1 --trainer.logger false"
    fit.main(short.split(), [noting])
    assert noting.shares == [0.25, 0.5, 0.75, 1.0]


@pytest.mark.parametrize(("shares", "percent", "end"), [((0.0, 0.0), "0 %", ""), ((0.5, 1.0), "37 %", " left")])
def test_the_bar_counts_steps_and_never_says_that_nothing_is_left(
    shares: Sequence[float], percent: str, end: str, workspace: Path
) -> None:
    trials = all_trials("compare", ["mlp"], [0, 1, 2, 3], (("epochs", "5"),), {})
    running: list[Running[Trial]] = [
        Running(trial, Process(), c_double(share)) for trial, share in zip(trials, shares, strict=False)
    ]
    console = Console(file=io.StringIO(), width=80, force_terminal=True, color_system=None)
    progress = Progress(4, console, columns_of(trials)[0])
    with console.capture() as captured:
        console.print(progress.shown(running))
    *_, first, second, whole = [line for line in captured.get().splitlines() if line.strip()]
    assert first.split() == ["mlp", "0", "0/5", f"{100 * shares[0]:.0f}", "%", "-"]
    assert second.split() == ["mlp", "1", "0/5", f"{100 * shares[1]:.0f}", "%", "-"]
    assert f" {percent}" in whole
    assert whole.rstrip().endswith(end)
    progress.finish(trials[0], "done", ended=3)
    with console.capture() as captured:
        console.print(progress.shown(running[1:]))
    assert " s left" in captured.get() or not shares[1]
    assert " 0 s left" not in captured.get()
