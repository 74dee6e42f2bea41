"""How many runs of each network would decide what a comparison leaves open, and the command that trains them."""

import math
from argparse import Namespace
from collections.abc import Sequence

from convblocks.compare.analysis import Comparison
from convblocks.compare.grid import Analysis
from convblocks.compare.ranking import undecided
from convblocks.compare.statistics import SIGNIFICANCE, least_p_unpaired, runs_needed
from convblocks.figures.grouping import by_arch
from convblocks.figures.report import repeat_of
from convblocks.text import counted, duration

# More are no longer worth proposing: so small a difference hardly matters.
MOST = 100


def more_runs(analysis: Analysis, options: Namespace, arguments: Sequence[str]) -> tuple[str, str]:
    """A sentence on the runs that would decide the order, and the command; empty if it is certain or none would do.

    Args:
        analysis: Of the runs so far.
        options: Of the command that trained them.
        arguments: The same as words.
    """
    if (comparison := analysis.main) is None or (wanted := runs_that_would_decide(comparison)) is None:
        return "", ""
    runs = max(arm.runs for arm in comparison.arms)
    if wanted <= max(runs, options.confirm or len(options.seeds)):  # some of those asked for may be missing
        return "", ""
    if wanted > MOST:
        return f"To be certain of so small a difference would take about {wanted:,} runs of each.", ""
    known = analysis.confirmed or analysis.results
    more = len(known) // runs * (wanted - runs)
    seconds = sum(one.seconds for one in known) / len(known) * more / min(options.jobs, more)
    are_too_few = min(arm.trained_runs for arm in comparison.arms) < runs_that_decide(len(comparison.in_score))
    others = f"it takes at least {wanted}" if are_too_few else f"about {wanted} would, if the others are like these"
    option = ("--confirm", str(wanted)) if options.confirm else ("--seeds", extended(options.seeds, wanted))
    command = repeat_of("compare", [*without(option[0], arguments), *option])
    sentence = f"{counted(runs, 'run')} of each cannot decide this: {others}, in about {duration(seconds)} more."
    return sentence, command


def runs_that_would_decide(comparison: Comparison) -> int | None:
    """The least runs of each network that can make the order certain or, where those so far could have, that would.

    None if it is certain, or if no number would do.
    """
    scores = {arch: [one.score for one in runs if not one.failed] for arch, runs in by_arch(comparison.results).items()}
    tests = len(comparison.in_score)
    found = []
    for better, worse, one in undecided(comparison):
        wanted = runs_that_decide(tests)
        if min(one.trained_runs) >= wanted:
            needed = runs_needed(scores[better], scores[worse], tests)
            if needed is None:
                return None
            wanted = max(needed, max(one.trained_runs) + 1)
        shares = [trained / n for n, trained in zip(one.runs, one.trained_runs, strict=True)]
        found.append(math.ceil(wanted / min(shares)))
    return max(found, default=None)


def runs_that_decide(tests: int) -> int:
    """The runs of each network with which so many tests can all find a difference if all runs agree."""
    n = 1
    while tests * least_p_unpaired(n, n) >= SIGNIFICANCE:
        n += 1
    return n


def extended(seeds: Sequence[int], count: int) -> str:
    """These seeds and the next ones, so many in all, as ``--seeds`` takes them."""
    if list(seeds) == list(range(len(seeds))):
        return str(count)
    following = range(max(seeds) + 1, max(seeds) + 1 + count - len(seeds))
    return ",".join(map(str, [*seeds, *following]))


def without(option: str, arguments: Sequence[str]) -> list[str]:
    """A command line without an option and its value."""
    pairs = zip(["", *arguments], arguments, strict=False)
    return [word for before, word in pairs if before != option and word.split("=")[0] != option]
