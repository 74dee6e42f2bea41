"""How many runs of each network would decide what a comparison leaves open, and the command that trains them."""

import math
from argparse import Namespace
from collections.abc import Sequence

from convblocks.compare.analysis import Comparison, Difference
from convblocks.compare.grid import Analysis
from convblocks.compare.ranking import undecided
from convblocks.compare.statistics import runs_needed, runs_that_decide
from convblocks.figures.report import repeat_of
from convblocks.text import counted, duration


def more_runs(analysis: Analysis, options: Namespace, arguments: Sequence[str]) -> tuple[str, str]:
    """A sentence on the runs that would decide the order, and the command; empty if it is certain or none would do.

    ``options`` are those of the command that trained the runs so far, ``arguments`` the same as words.
    """
    if (comparison := analysis.main) is None:
        return "", ""
    runs, least = max(arm.runs for arm in comparison.arms), runs_that_decide(len(comparison.in_score))
    needed = [_needed(comparison, one, least) for *_, one in undecided(comparison)]
    wanted = max(needed, default=0)
    if 0 in needed or wanted <= max(runs, options.confirm or len(options.seeds)):  # some asked for may be missing
        return "", ""
    known = analysis.confirmed or analysis.results
    more = len(known) // runs * (wanted - runs)
    time = duration(sum(one.seconds for one in known) / len(known) * more / min(options.jobs, more))
    are_too_few = min(arm.trained_runs for arm in comparison.arms) < least
    others = f"it takes at least {wanted}" if are_too_few else f"about {wanted} would, if the others are like these"
    next_seed = max(options.seeds) + 1
    seeds = [*options.seeds, *range(next_seed, next_seed + wanted - len(options.seeds))]
    value = str(wanted) if options.confirm or seeds == list(range(wanted)) else ",".join(map(str, seeds))
    name = "--confirm" if options.confirm else "--seeds"
    pairs = zip(["", *arguments], arguments, strict=False)
    kept = [word for before, word in pairs if before != name and word.split("=")[0] != name]
    sentence = f"{counted(runs, 'run')} of each cannot decide this: {others}, in about {time} more."
    return sentence, repeat_of("compare", [*kept, name, value])


def _needed(comparison: Comparison, one: Difference, least: int) -> int:
    """The runs of each, of which some will not train, that make a difference certain; 0 if no number would do."""
    wanted = least
    if min(one.trained_runs) >= least:
        trained = [run for run in comparison.results if not run.failed]
        first, second = ([run.score for run in trained if run.arch == arch] for arch in (one.first, one.second))
        if (found := runs_needed(first, second, len(comparison.in_score))) is None:
            return 0
        wanted = max(found, max(one.trained_runs) + 1)
    return math.ceil(wanted / min(trained / n for n, trained in zip(one.runs, one.trained_runs, strict=True)))
