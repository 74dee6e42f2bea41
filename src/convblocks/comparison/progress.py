"""Shows how a comparison's trials go: a live table on a terminal, a line for each that ends otherwise."""

import time
from collections.abc import Sequence
from types import TracebackType

from rich.console import Console
from rich.live import Live
from rich.table import Table

from convblocks.comparison.trials import Running, Trial
from convblocks.errors import UserError
from convblocks.runs.directory import is_epoch


class Progress:
    """A context manager around the running of trials.

    Args:
        trials: Those that are to be run.
        console: Where to print.
    """

    def __init__(self, trials: Sequence[Trial], console: Console) -> None:
        self.total = len(trials)
        self.ended = 0
        self.console = console
        self.live = Live(console=console, transient=True) if console.is_terminal and trials else None
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

    def update(self, running: Sequence[Running]) -> None:
        """Show what runs now."""
        if self.live:
            self.live.update(self.table(running))

    def finish(self, trial: Trial, succeeded: bool) -> None:
        """Say how a trial ended."""
        self.ended += 1
        if not succeeded:
            result = f"FAILED, see {trial.log}"
        else:
            summary = trial.run.read_summary()
            result = f"test accuracy {100 * summary['final']['test/acc']:.2f} %, {summary['seconds']:.1f} s"
        self.console.print(f"{self.ended}/{self.total}  {trial.run.name}  {result}", soft_wrap=True)

    @staticmethod
    def _rows(trial: Trial) -> list[dict[str, float]]:
        try:
            return trial.run.read_metrics()
        except UserError:  # somebody else's file in the way: the trial itself writes it anew
            return []

    def table(self, running: Sequence[Running]) -> Table:
        """The running trials with their last finished epoch, its accuracy and the time that is left."""
        table = Table("trial", "epoch", "accuracy", "time left")
        for one in running:
            rows = self._rows(one.trial)
            epochs = len([row for row in rows if is_epoch(row)])
            last = rows[-1] if rows else {}
            accuracy = last.get("val/acc", last.get("test/acc"))
            seconds = time.monotonic() - one.start
            seconds_left = seconds / epochs * (one.trial.epochs - epochs) if epochs else -1
            table.add_row(
                one.trial.run.name,
                f"{epochs}/{one.trial.epochs}" if one.trial.epochs > 0 else str(epochs),
                "-" if accuracy is None else f"{100 * accuracy:.2f} %",
                f"{seconds_left:.0f} s" if seconds_left >= 0 else "-",
            )
        elapsed = time.monotonic() - self.start
        left = f", about {elapsed / self.ended * (self.total - self.ended) / 60:.0f} min left" if self.ended else ""
        table.caption = f"{self.ended} of {self.total} trials ended{left}"
        return table
