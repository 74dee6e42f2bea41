"""How many runs of each network would decide what a comparison leaves open, and the command that trains them."""

import math
from argparse import Namespace
from collections.abc import Sequence

from convblocks.compare.analysis import Analysis, Comparison, Difference
from convblocks.compare.ranking import neighbours
from convblocks.compare.statistics import SIGNIFICANCE, runs_needed, runs_that_decide
from convblocks.figures.grouping import by_arch
from convblocks.figures.report import repeat_of
from convblocks.text import counted


def more_runs(analysis: Analysis, options: Namespace, arguments: Sequence[str]) -> tuple[str, str]:
    """A sentence on the runs that would decide the order, and the command; empty if it is certain or none would do.

    ``options`` are those of the command that trained the runs so far, ``arguments`` the same as words.
    """
    if (comparison := analysis.main) is None:
        return "", ""
    steps = [step for step in neighbours(comparison) if step.adjusted_trained >= SIGNIFICANCE]
    needed, runs = [_needed(comparison, step) for step in steps], max(arm.runs for arm in comparison.arms)
    wanted = max(needed, default=0)
    if 0 in needed or wanted <= max(runs, options.confirm or len(options.seeds)):  # some asked for may be missing
        return "", ""
    name, value = "--confirm", str(wanted)
    if not options.confirm:
        next_seed = max(options.seeds) + 1
        seeds = [*options.seeds, *range(next_seed, next_seed + wanted - len(options.seeds))]
        name, value = "--seeds", value if seeds == list(range(wanted)) else ",".join(map(str, seeds))
    pairs = zip(["", *arguments], arguments, strict=False)
    kept = [word for before, word in pairs if before != name and word.split("=")[0] != name]
    sentence = f"{counted(runs, 'run')} of each cannot decide this: it takes about {wanted}, if others are like these."
    return sentence, repeat_of("compare", [*kept, name, value])


def _needed(comparison: Comparison, step: Difference) -> int:
    """The runs of each, of which some will not train, that make a difference certain; 0 if no number would do."""
    trained = by_arch(run for run in comparison.results if not run.failed)
    first, second = ([run.score for run in trained[arch]] for arch in (step.first, step.second))
    least, found = runs_that_decide(comparison.pairs), runs_needed(first, second, comparison.pairs)
    if found is None and min(step.trained_runs) >= least:
        return 0
    shares = (count / runs for count, runs in zip(step.trained_runs, step.runs, strict=True))
    return math.ceil(max(least, found or 0) / min(shares))
