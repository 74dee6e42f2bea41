"""Shows how trials go: a live table on a terminal, and a line for each that ends."""

import time
from collections.abc import Callable, Sequence
from types import TracebackType

from rich.console import Console
from rich.live import Live
from rich.table import Table

from convblocks.comparison.trials import AnyTrial, Running, Trial
from convblocks.runs.directory import is_epoch

# Of a trial's course, the accuracies of so many epochs are shown.
SHOWN_EPOCHS = 4


class Progress:
    """A context manager around the running of trials.

    Args:
        total: How many trials there are.
        console: Where to print.
        ended: How many of them have ended before.
        status: What else to say of all of them, below the live table.
    """

    def __init__(self, total: int, console: Console, ended: int = 0, status: Callable[[], str] = str) -> None:
        self.total = total
        self.ended = self.ended_before = ended
        self.status = status
        self.console = console
        self.live = Live(console=console, transient=True) if console.is_terminal and ended < total else None
        self.start = time.monotonic()

    def __enter__(self) -> "Progress":
        if self.live:
            self.live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.live:
            self.live.stop()

    def update(self, running: Sequence[Running[AnyTrial]]) -> None:
        """Show what runs now."""
        if self.live:
            self.live.update(self.table(running))

    def finish(self, trial: Trial, result: str, ended: int) -> None:
        """Say how a trial ended, and how many have."""
        self.ended = ended
        self.console.print(f"{self.ended}/{self.total}  {trial.run.name}  {result}", soft_wrap=True)

    def table(self, running: Sequence[Running[AnyTrial]]) -> Table:
        """The running trials with their last finished epochs, the accuracy after each, and the time that is left."""
        table = Table("trial", "epoch", "accuracy %", "time left")
        for one in running:
            rows = one.trial.metrics()
            epochs = len([row for row in rows if is_epoch(row)])
            course = [row.get("val/acc", row.get("test/acc")) for row in rows]
            accuracies = [f"{100 * accuracy:.2f}" for accuracy in course if accuracy is not None]
            seconds = time.monotonic() - one.start
            seconds_left = seconds / epochs * (one.trial.epochs - epochs) if epochs else -1
            table.add_row(
                one.trial.run.name,
                f"{epochs}/{one.trial.epochs}" if one.trial.epochs > 0 else str(epochs),
                " ".join(accuracies[-SHOWN_EPOCHS:]) or "-",
                f"{seconds_left:.0f} s" if seconds_left >= 0 else "-",
            )
        elapsed, ended_here = time.monotonic() - self.start, self.ended - self.ended_before
        minutes = elapsed / ended_here * (self.total - self.ended) / 60 if ended_here else 0
        left = [f"about {minutes:.0f} min left"] if ended_here else []
        said = [status] if (status := self.status()) else []
        table.caption = ", ".join([f"{self.ended} of {self.total} trials ended", *said, *left])
        return table
