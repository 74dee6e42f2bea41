"""The progress of trials: on a terminal a bar for each that runs and one for all, and a line for each that ends."""

import time
from collections.abc import Callable, Sequence
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, TaskID, TextColumn
from rich.progress import Progress as Bars

from convblocks.compare.dry_run import Plan
from convblocks.compare.launch import AnyTrial, Running
from convblocks.compare.trials import NO_SETTINGS, Trial
from convblocks.compare.wording import settings_text
from convblocks.errors import printable
from convblocks.run.directory import is_epoch
from convblocks.run.result import Overrides
from convblocks.text import counted, duration

# The scores of a running trial's last epochs that are shown.
SHOWN_EPOCHS = 4

# With a label and scores a bar of this width fits into 80 columns.
BAR_WIDTH = 16


class Progress:
    """A context manager around the running of trials.

    Args:
        total: The number of trials.
        plan_of: The plan of a trial.
        common: The options that all trials share.
        console: Where to print.
        ended: The number of trials that ended before.
        status: A text to show beside the bar of all trials.
    """

    def __init__(
        self,
        total: int,
        plan_of: Callable[[Trial], Plan],
        common: Overrides,
        console: Console,
        ended: int = 0,
        status: Callable[[], str] = str,
    ) -> None:
        self.total, self.plan_of, self.common, self.console, self.status = total, plan_of, common, console, status
        self.ended = self.ended_before = ended
        columns = TextColumn("{task.description}"), BarColumn(BAR_WIDTH), TextColumn("{task.fields[state]}")
        self.bars = Bars(*columns, console=console, transient=True, disable=not console.is_terminal)
        self.all_trials = self.bars.add_task(f"{ended} of {total}", total=total, completed=ended, state="")
        self.running: dict[Trial, TaskID] = {}
        self.start = time.monotonic()

    def __enter__(self) -> "Progress":
        if self.ended < self.total:
            options = [option for option, _ in self.common if option not in NO_SETTINGS]
            self._print(f"{counted(self.total, 'trial')} with {settings_text(self.common, options)}")
        self.bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.bars.stop()

    def update(self, running: Sequence[Running[AnyTrial]]) -> None:
        """Show how far the running trials have got."""
        if self.bars.disable:
            return
        done = float(self.ended)
        for trial in [one.trial for one in running]:
            share, state = self._state_of(trial)
            if trial not in self.running:
                self.running[trial] = self.bars.add_task(printable(trial.label), total=1, state="")
            self.bars.update(self.running[trial], completed=share, state=state)
            done += share
        here = done - self.ended_before
        seconds = (time.monotonic() - self.start) / here * (self.total - done) if here else 0
        left = f"{duration(seconds)} left" if seconds else ""
        state = "  ".join(filter(None, [left, self.status()]))
        self.bars.update(self.all_trials, completed=done, description=f"{self.ended} of {self.total}", state=state)

    def finish(self, trial: Trial, text: str, ended: int | None = None) -> None:
        """Print how a trial ended, and how many have: one more than before, if nothing else is said."""
        self.ended = self.ended + 1 if ended is None else ended
        if trial in self.running:
            self.bars.remove_task(self.running.pop(trial))
        self._print(f"{self.ended:>{len(str(self.total))}}/{self.total}  {trial.label}: {text}")

    def _state_of(self, trial: Trial) -> tuple[float, str]:
        """The share of a trial's epochs that are done, and their number with the last scores."""
        plan, rows = self.plan_of(trial), trial.metrics()
        epochs = len([row for row in rows if is_epoch(row)])
        course = [row.get(plan.judge.metric, row.get(plan.judge.tested)) for row in rows]
        scores = [plan.judge.number(score) for score in course if score is not None]
        of_all = f"/{plan.epochs}" if plan.epochs > 0 else ""
        share = min(epochs / max(plan.epochs, 1), 1.0)
        return share, "  ".join([f"epoch {epochs}{of_all}", " ".join(scores[-SHOWN_EPOCHS:])])

    def _print(self, line: str) -> None:
        """On a terminal, broken between words; in a pipe as one line."""
        self.console.print(printable(line), soft_wrap=not self.console.is_terminal)
