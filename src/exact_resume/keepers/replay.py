"""Takes the batches of an epoch again, up to where a training was: reads them, or skips
those that need not be read.
"""

from collections.abc import Iterator
from itertools import islice
from time import monotonic
from typing import Any

from exact_resume import signals
from exact_resume.keeper import State
from exact_resume.keepers.watched import Watched
from exact_resume.training import say

# After how many seconds the first line says how far the reading is, and the next ones.
FIRST, BETWEEN = 2, 10


def skip(indices: Iterator[Any], batches: Iterator[Any], watched: Watched, known: State) -> bool:
    """Let a loader draw its indices again, and read the last batch alone.

    Args:
        indices: The iterator over the loader's indices.
        batches: The iterator from which the Trainer takes batches.
        watched: What watches these batches, at the start of an epoch.
        known: The state of ``Watched`` in the checkpoint.

    Returns:
        Whether the last batch is what it was. If not, the order or the data depend on what
        was skipped.
    """
    watched.set_generators(known, 0)
    for _ in islice(indices, known["count"] - 1):
        pass
    watched.go_to_last(known)
    return _takes(batches) and watched.is_at_last(known)


def read(batches: Iterator[Any], watched: Watched, known: State, epoch: int) -> bool:
    """Read all batches that the training had read, and say so; a signal ends the reading.

    Returns:
        Whether the batches are what they were.
    """
    watched.follow(known)
    count = known["count"]
    say(f"reading the first {count} batches of epoch {epoch + 1} again, for an exact resume")
    start, wait = monotonic(), float(FIRST)
    while watched.count < count and not signals.received():
        if not _takes(batches):
            return False
        seconds = monotonic() - start
        left = seconds / watched.count * (count - watched.count)
        if seconds > wait and left > 1:
            wait = seconds + BETWEEN
            say(f"read again: {watched.count} of {count} batches, about {left:.0f} s left")
    return watched.repeats(known)


def _takes(batches: Iterator[Any]) -> bool:
    """Take the next batch; return False if there is none."""
    try:
        next(batches)
    except StopIteration:
        return False
    return True
