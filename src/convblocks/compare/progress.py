"""The progress of trials: on a terminal a bar for all of them, and a line for each that ends."""

from collections.abc import Callable, Iterable

from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

from convblocks.compare.dry_run import Plan
from convblocks.compare.trials import Trial
from convblocks.errors import printable
from convblocks.run.directory import is_epoch

# The time left is estimated from the last hour.
ESTIMATE_SECONDS = 3600


class Progress(Bars):
    """A context manager around the running of trials.

    Args:
        total: The number of trials.
        plan_of: The plan of a trial.
        console: Where to print.
        ended: The number of trials that ended before.
        status: A text to show beside the bar.
    """

    def __init__(
        self,
        total: int,
        plan_of: Callable[[Trial], Plan],
        console: Console,
        ended: int = 0,
        status: Callable[[], str] = str,
    ) -> None:
        columns = TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn()
        super().__init__(*columns, console=console, transient=True, speed_estimate_period=ESTIMATE_SECONDS)
        self.disable = not console.is_terminal
        self.total, self.plan_of, self.ended, self.status = total, plan_of, ended, status
        self.bar = self.add_task("", total=total, completed=ended)

    def show(self, running: Iterable[Trial]) -> None:
        """Show how far the trials have got, the running ones by their epochs."""
        if not self.disable:
            done = self.ended + sum(map(self._share_of, running))
            self.update(self.bar, completed=done, description=f"{self.ended} of {self.total}  {self.status()}")

    def finish(self, trial: Trial, text: str, ended: int | None = None) -> None:
        """Print how a trial ended, and how many have: one more than before, if nothing else is said."""
        self.ended = self.ended + 1 if ended is None else ended
        line = f"{self.ended:>{len(str(self.total))}}/{self.total}  {trial.label}: {text}"
        self.console.print(printable(line), soft_wrap=not self.console.is_terminal)  # in a pipe as one line

    def _share_of(self, trial: Trial) -> float:
        """The share of a trial's epochs that are done."""
        return min(sum(map(is_epoch, trial.metrics())) / max(self.plan_of(trial).epochs, 1), 1.0)
