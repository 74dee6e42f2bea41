"""Shows trials while they run: on a terminal by a live line for all of them and one for each;
elsewhere by a line now and then.
"""

import sys
import time
from collections.abc import Callable, Collection
from contextlib import AbstractContextManager, nullcontext
from datetime import timedelta

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table

from convblocks.compare.dry_run import Plan
from convblocks.compare.trials import Trial
from convblocks.console import echo
from convblocks.errors import printable
from convblocks.record.directory import is_epoch

# The seconds between two looks at the trials on a terminal, and between two lines elsewhere.
LOOK_SECONDS, LINE_SECONDS = 1, 25

# The rows of a terminal that stay free for what is printed above the live lines.
FREE_ROWS = 6

# The width of the words that follow a bar, in characters.
COLUMNS = 22


class Watch:
    """Shows the trials that run, with epoch and score, and the time that is left, by what
    they took so far.

    Args:
        total: How many trials are wanted.
        ended: How many of them have ended.
        plan_of: A function that gives the plan of a trial.
    """

    def __init__(
        self, total: int, ended: Callable[[], int], plan_of: Callable[[Trial], Plan]
    ) -> None:
        self._total = total
        self._ended = ended
        self._plan_of = plan_of
        self._console = Console(markup=False, emoji=False, highlight=False)
        self._live: Live | None = None
        if sys.stdout.isatty() and not self._console.is_dumb_terminal:
            self._live = Live(
                console=self._console,
                auto_refresh=False,
                transient=True,
                redirect_stderr=sys.stderr.isatty(),
            )
        self._next = 0.0  # when it looks
        self._had_ended = 0  # at the last call
        # When what was done, in trials: at the first look, and when that grew last.
        self._first = self._latest = (0.0, -1.0)

    def live(self) -> AbstractContextManager[object]:
        """While the live lines are there, lines that are printed go above them."""
        return self._live or nullcontext()

    def __call__(self, running: Collection[Trial]) -> None:
        """Called often: look at the trials from time to time, and show them."""
        now = time.monotonic()
        ended = self._ended()
        if ended > self._had_ended and not self._live:  # which has just been printed
            self._next = max(self._next, now + LINE_SECONDS)
        self._had_ended = ended
        if now < self._next or not running:
            return
        self._next = now + (LOOK_SECONDS if self._live else LINE_SECONDS)
        rows = [
            (printable(trial.label), *progress_of(trial, self._plan_of(trial))) for trial in running
        ]
        done = ended + sum(share for _, _, share in rows)
        head = f"{ended}/{self._total} trials, {len(rows)} running"
        left = self._time_left(done, now)
        if self._live:
            self._live.update(self._table([(head, left, done / self._total), *rows]), refresh=True)
        else:
            each = ", ".join(f"{label} ({words})" for label, words, _ in rows)
            echo(f"{head}: {', '.join(filter(None, [each, left]))}")

    def _time_left(self, done: float, now: float) -> str:
        """Empty while it is not known; ``done`` is in trials."""
        if done > self._latest[1]:
            self._latest = now, done
        if self._first[1] < 0:
            self._first = now, done
        latest, most = self._latest
        began, first = self._first
        if most == first:
            return ""
        left = (latest - began) / (most - first) * (self._total - most) - (now - latest)
        return f"{timedelta(seconds=max(0, round(left)))} left"

    def _table(self, rows: list[tuple[str, str, float]]) -> Table:
        """A table of as many rows as there is room for.

        Args:
            rows: Of each row the text, the words behind its bar, and the share of the bar.
        """
        width, height = self._console.size
        bar = width // 4
        table = Table.grid(padding=(0, 1))
        for most in (width - bar - COLUMNS - 2, bar, COLUMNS):
            table.add_column(no_wrap=True, overflow="ellipsis", max_width=most)
        for text, words, share in rows[: max(1, height - FREE_ROWS)]:
            table.add_row(text, ProgressBar(1, share, width=bar), words)
        return table


def progress_of(trial: Trial, plan: Plan) -> tuple[str, float]:
    """The progress of a trial, as ``epoch 3/5, 97.01 %`` and as a share of its epochs."""
    epochs = list(filter(is_epoch, trial.metrics()))
    if not (epochs or trial.run.config.is_file()):
        return "starting", 0
    limit = f"/{plan.epochs}" if plan.epochs > 0 else ""
    begun = min(len(epochs) + 1, plan.epochs) if limit else len(epochs) + 1
    words = f"epoch {begun}{limit}"
    if (judge := plan.judge) and epochs:
        score = epochs[-1].get(judge.metric, epochs[-1].get(judge.tested))
        words += f", {judge.text(score)}" if score is not None else ""
    return words, len(epochs) / plan.epochs if limit else 0
