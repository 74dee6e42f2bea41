"""What the records of a training, and of those that resume from its checkpoints, say."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from convblocks.text import listed

# Where a check stops a training, by the names of the folders in which it resumes.
PLACES = {"within": "within the first epoch", "end": "at the end of an epoch", "later": "within the second epoch"}

# Kinds of parts that a resume must restore; parts of other kinds are results, which follow from these and the data.
CAUSES = ("metric", "buffer", "attribute", "random")

# The record of a process: its ``states``, and the ``reason`` why it could not be stopped everywhere.
Record = Mapping[str, Any]

# Digests of the parts of a state, by the kind of a part and its name.
State = Mapping[str, str]


class Report(NamedTuple):
    """What a check has found: whether a resume is exact, and the lines that say so, which are its text."""

    is_exact: bool
    lines: list[str]

    def __str__(self) -> str:
        return "\n".join(self.lines)


def report(whole: Sequence[Record], resumed: Mapping[str, Sequence[Record]]) -> Report:
    """The report on a check.

    Args:
        whole: What each process has recorded of the whole training.
        resumed: By place, what each has recorded of the training that was resumed there; empty if it could not be.
    """
    exact, lines, lost = list[str](), list[str](), dict[str, None]()
    is_exact = True
    for place, where in PLACES.items():
        if not resumed[place]:
            lines.append(f"not checked {where}: {whole[0]['reason']}.")
            continue
        pairs = [
            (dict(left["states"]), dict(right["states"])) for left, right in zip(whole, resumed[place], strict=True)
        ]
        if text := next(filter(None, (difference(*pair) for pair in pairs)), ""):
            is_exact = False
            lines.append(f"not exact {where}: {text}")
        else:
            exact.append(where)
        for pair in pairs:
            lost |= dict.fromkeys(lost_parts(*pair))
    if exact:
        lines.insert(0, f"exact {listed(exact)}")
    if lost:
        lines.append(
            f"not restored: {listed([*lost])}. Keep it in on_save_checkpoint, and put it back in on_load_checkpoint"
        )
    return Report(bool(exact) and is_exact, lines)


def difference(whole: Mapping[int, State], resumed: Mapping[int, State]) -> str:
    """What differs first between a training and a resume, by the number of batches before; empty if nothing does."""
    begin = min(resumed)
    if begin == 0:
        return "a resume finds no checkpoint, and begins again"
    numbers = sorted(number for number in whole.keys() | resumed.keys() if number >= begin)
    for number in numbers:
        parts = _changed(whole.get(number, {}), resumed.get(number, {}))
        # Causes count if they last; attributes do not, since some measure time.
        counts = ("attribute",) if number == numbers[-1] else CAUSES
        if names := [part for part in parts if not part.startswith(counts)]:
            further = [f"{len(names) - 3} more"] if len(names) > 3 else []
            return f"a resume differs from batch {number + 1} on in {listed([*names[:3], *further])}"
    return ""


def lost_parts(whole: Mapping[int, State], resumed: Mapping[int, State]) -> list[str]:
    """The causes that differ both right after a resume and at the end: others were made again before their use."""
    first, last = (_changed(whole.get(number, {}), resumed[number]) for number in (min(resumed), max(resumed)))
    return [part for part in first if part in last and part.startswith(CAUSES)]


def _changed(left: State, right: State) -> list[str]:
    return [part for part in left | right if left.get(part) != right.get(part)]
