"""The progress of trials: a live table and a bar on a terminal, and a line for each that ends."""

import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import NamedTuple

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table

from convblocks.compare.trials import NO_SETTINGS, AnyTrial, Running, Trial
from convblocks.compare.wording import settings_text
from convblocks.errors import printable
from convblocks.figures.tables import light_table
from convblocks.run.directory import is_epoch
from convblocks.run.judge import ACCURACY
from convblocks.run.result import Overrides
from convblocks.text import counted, duration

# The scores of a running trial's last epochs that are shown.
SHOWN_EPOCHS = 4

# With a label, a share and a time a bar of this width fits into 80 columns.
BAR_WIDTH = 28

# The share of a trial's time that its steps take, at most: an evaluation and figures follow.
MOST_DONE = 0.98


class Column(NamedTuple):
    """A column that distinguishes trials.

    Args:
        title: Its heading.
        cell: Its text for a trial.
        width: Of the longest cell, if known.
        label: The text before the cell where there is no heading.
        stays: Whether the line of a finished trial has it too.
    """

    title: str
    cell: Callable[[Trial], str]
    width: int = 0
    label: str = ""
    stays: bool = True


class Progress:
    """A context manager around the running of trials.

    Args:
        total: The number of trials.
        console: Where to print.
        columns: Those that distinguish the trials.
        common: The settings that all trials share.
        ended: The number of trials that ended before.
        status: A line to show below the live table.
    """

    def __init__(
        self,
        total: int,
        console: Console,
        columns: Sequence[Column],
        common: Overrides = (),
        ended: int = 0,
        status: Callable[[], str] = str,
    ) -> None:
        self.total = total
        self.columns = columns
        self.common = common
        self.ended = self.ended_before = ended
        self.status = status
        self.console = console
        self.live = Live(console=console, transient=True) if console.is_terminal and ended < total else None
        self.start = time.monotonic()

    def __enter__(self) -> "Progress":
        if self.ended < self.total:
            options = [option for option, _ in self.common if option not in NO_SETTINGS]
            trials = counted(self.total, "trial")
            self._print(f"{trials} with {settings_text(self.common, options)}" if options else trials)
        if self.live:
            self.live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.live:
            self.live.stop()

    def update(self, running: Sequence[Running[AnyTrial]]) -> None:
        """Show the running trials."""
        if self.live:
            self.live.update(self.shown(running))

    def finish(self, trial: Trial, result: str, ended: int) -> None:
        """Print how a trial ended, and how many have."""
        self.ended = ended
        cells = [f"{column.label}{column.cell(trial):<{column.width}}" for column in self.columns if column.stays]
        self._print("  ".join([f"{ended:>{len(str(self.total))}}/{self.total}", *cells, result]))

    def shown(self, running: Sequence[Running[AnyTrial]]) -> Group:
        """The running trials with their steps and last scores, the status, and a bar for all trials."""
        judge = running[0].trial.judge if running else ACCURACY
        title = "accuracy %" if judge.in_percent else judge.metric
        table = light_table(*(column.title for column in self.columns), "epoch", "done", title)
        partly = 0.0
        for one in running:
            rows = one.trial.metrics()
            epochs = len([row for row in rows if is_epoch(row)])
            judge = one.trial.judge
            course = [row.get(judge.metric, row.get(judge.tested)) for row in rows]
            scores = [judge.number(score) for score in course if score is not None]
            share = epochs / max(one.trial.epochs, epochs, 1) if one.done is None else one.done.value
            table.add_row(
                *(column.cell(one.trial) for column in self.columns),
                f"{epochs}/{one.trial.epochs}" if one.trial.epochs > 0 else str(epochs),
                f"{100 * share:.0f} %",
                " ".join(scores[-SHOWN_EPOCHS:]) or "-",
            )
            partly += MOST_DONE * share
        done = self.ended + partly
        here = done - self.ended_before
        pace = (time.monotonic() - self.start) / here if here else 0.0
        whole = bar(f"{self.ended} of {self.total}", min(done, self.total), self.total, pace)
        status = self.status()
        return Group(table, status, whole) if status else Group(table, whole)

    def _print(self, line: str) -> None:
        """On a terminal, broken between words; in a pipe as one line."""
        self.console.print(printable(line), soft_wrap=not self.console.is_terminal)


def columns_of(trials: Sequence[Trial]) -> tuple[list[Column], Overrides]:
    """The columns that distinguish these trials, as few as possible, and the settings that they share."""
    values = [dict(trial.overrides) for trial in trials]
    common = tuple(pair for pair in trials[0].overrides if all(one.get(pair[0]) == pair[1] for one in values))
    swept = [option for one in values for option in one if option not in dict(common)]

    def setting(trial: Trial) -> str:
        return settings_text(trial.overrides, swept)

    columns = [
        Column("network", lambda trial: trial.arch, max(len(trial.arch) for trial in trials)),
        *([Column("setting", setting, max(len(setting(trial)) for trial in trials))] if swept else []),
        Column("seed", lambda trial: str(trial.seed), max(len(str(trial.seed)) for trial in trials), "seed "),
    ]
    return columns, common


def bar(label: str, done: float, total: int, pace: float) -> Table:
    """A label, a bar, how much of a total is done, and how long the rest takes at these seconds for each of it."""
    grid = Table.grid(padding=(0, 2))
    left = f"{duration(max(pace * (total - done), 1))} left" if pace and done < total else ""
    grid.add_row(label, ProgressBar(total, done, BAR_WIDTH), f"{100 * done / total:3.0f} %", left)
    return grid
