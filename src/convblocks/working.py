"""Shows what a command is doing while that takes long: on a terminal at once, elsewhere by
a line.
"""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from threading import Timer
from typing import TypeVar

from convblocks.console import echo

Item = TypeVar("Item")

# Seconds until a line says it where there is no terminal.
PATIENCE = 5.0


@contextmanager
def working(what: str) -> Iterator[None]:
    """Meanwhile show what is being done."""
    if sys.stdout.isatty():
        from rich.console import Console  # slow to load

        with Console(markup=False).status(what):
            yield
        return
    timer = Timer(PATIENCE, echo, [what])
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def each(items: Sequence[Item], what: str) -> Iterator[Item]:
    """Yield the items; meanwhile show what is being done, and how many of them are left."""
    if sys.stdout.isatty():
        from rich.progress import track  # slow to load

        yield from track(items, what, transient=True)
        return
    with working(f"{what}: {len(items):,}"):
        yield from items
