"""Computes how many runs would decide what a comparison leaves open, and the command that
trains them.
"""

import re
from math import ceil
from statistics import fmean

from convblocks.compare.analysis import trained_scores
from convblocks.compare.means import runs_needed, runs_that_decide
from convblocks.figures.grouping import grouped
from convblocks.record.result import Results
from convblocks.text import counted

# The most runs of each network that are proposed: a difference so small that it takes more does
# not matter.
MOST = 1000


def runs_that_would_decide(first: Results, second: Results, tests: int) -> int | None:
    """The runs of each of two networks that would probably decide whether their means
    differ, as one of ``tests``; None if no number would.

    As many collapse as so far.
    """
    samples = trained_scores(first), trained_scores(second)
    least = min(map(len, samples))
    needed = runs_needed(*samples, tests)
    if least == 1:
        needed = runs_that_decide(tests)
    if not (needed and least):
        return None
    arms = first, second
    runs = zip(arms, samples, strict=True)
    wanted = [ceil(needed * len(own) / len(trained)) for own, trained in runs]
    return max(min(map(len, arms)) + 1, *wanted)


def command_for_more(
    known: Results, runs: int, option: str, repeat: str, jobs: int
) -> tuple[str, str]:
    """A sentence on the command that trains so many runs of each network, and the command.

    Args:
        known: The runs so far.
        runs: The number of runs of each network at each setting.
        option: The option that sets this number: ``--seeds`` or ``--confirm``.
        repeat: The command of the runs so far.
        jobs: How many run at a time.
    """
    settings = grouped(known, lambda run: (run.arch, run.overrides))
    missing = runs * len(settings) - len(known)
    seconds = fmean(run.seconds for run in known) * ceil(missing / jobs)
    seeds = sorted({run.seed for run in known})
    value = str(runs)
    if option == "--seeds" and seeds != [*range(len(seeds))]:
        last = seeds[-1] + runs - len(seeds)
        value = ",".join(map(str, [*seeds, *range(seeds[-1] + 1, last + 1)]))
        if seeds == [*range(seeds[0], seeds[-1] + 1)]:
            value = f"{seeds[0]}-{last}"
    others = re.sub(rf" {option}[ =]\S+", "", repeat)
    trains = (
        "Decide then: looking again and again makes chance look like a difference. "
        f"This trains the {missing} that are missing, in about {_duration(seconds)}:"
    )
    return trains, f"{others} {option} {value}"


def _duration(seconds: float) -> str:
    minutes = ceil(seconds / 60)
    if minutes < 3:
        return f"{ceil(seconds)} s"
    return f"{minutes} minutes" if minutes < 120 else counted(ceil(minutes / 60), "hour")
