"""The results of searches for their cost: tables, an answer and a figure."""

import re
import shlex
from collections.abc import Sequence
from functools import partial
from itertools import accumulate
from math import inf
from statistics import fmean, median

import numpy as np
from matplotlib.figure import Figure

from convblocks.compare.statistics import mean_interval
from convblocks.diagnosis.advice import whole_percent
from convblocks.figures.curves import LOG_SCALE, wrapped
from convblocks.figures.estimates import DASH, NOTHING, POINTS, Unit
from convblocks.figures.grouping import grouped
from convblocks.figures.style import LETTERS, LINES, OTHERS, WIDTH, End, label_ends, log_axis, style
from convblocks.figures.tables import Table
from lab.benchmarks.rows import Results, Row
from lab.estimates import at_most, excludes_zero
from lab.pages.writing import Block, Picture, brief_machine, table

# The variants, in the order of the tables.
VARIANTS = {
    "tpe": "TPE, and the median pruner",
    "random": "random search, all trials to their end",
    "grid": "the study's first grid, in its order",
}

SHARES = (0.5, 1.0)

# What the scores do not show.
CAUTION = (
    "Each score is the best of many on one set of held-out images, not confirmed on others, and "
    "only one of the two searches has a pruner."
)

# Seconds that a search may add to a run.
MOST_ADDED = 0.3

# At the end of each trial of a search: the seconds of training and evaluation until then,
# which are added up even where trials ran side by side, and the best validation accuracy of
# those that were not ended early, -inf before there is any.
Course = Sequence[tuple[float, float]]


def cost(course: Course) -> float:
    return course[-1][0]


def best_after(course: Course, seconds: float) -> float:
    """The best validation accuracy of the trials that had ended by then."""
    return max((best for ended, best in course if ended <= seconds), default=-inf)


def courses(results: Results) -> dict[str, list[Course]]:
    """By variant, one for each repeat, which are the rounds."""
    found = {}
    for variant in VARIANTS:
        repeats = grouped(results.of(part="trial", search=variant), lambda row: row.round)
        found[variant] = [_course(trials) for trials in repeats.values()]
    return found


def _course(trials: Sequence[Row]) -> Course:
    ended = accumulate(trial.values["seconds"] for trial in trials)
    best = accumulate((trial.values.get("accuracy", -inf) for trial in trials), max)
    return list(zip(ended, best, strict=True))


def equal_costs(results: Results) -> list[float]:
    """For each repeat the seconds that every search took, without the grid, whose cost is fixed."""
    searches = [own for variant, own in courses(results).items() if variant != "grid"]
    return [min(map(cost, both)) for both in zip(*searches, strict=True)]


def reached(results: Results, variant: str, share: float = 1.0) -> list[float]:
    """The best accuracies at that share of the equal cost, one for each repeat."""
    own = zip(courses(results)[variant], equal_costs(results), strict=True)
    return [best_after(course, share * seconds) for course, seconds in own]


def gains(results: Results) -> list[float]:
    """By how much TPE's best is above random search's at equal cost, for each repeat in
    which both have one.
    """
    pairs = zip(reached(results, "tpe"), reached(results, "random"), strict=True)
    return [tpe - random for tpe, random in pairs if min(tpe, random) > -inf]


def answer_text(results: Results) -> str:
    """Which search reached the higher validation scores, as far as the repeats tell."""
    found = gains(results)
    if not found:
        return "No repeat has a trial of both searches that had ended at equal cost."
    gain = mean_interval(found, POINTS)
    known = f"{gain:+u} of validation accuracy (Student's t, n = {gain.n} repeats)"
    if not excludes_zero(gain):
        return (
            "Whether TPE with the median pruner beats random search "
            f"of the same cost is not decided: {known}."
        )
    order = ["TPE with the median pruner", "random search"]
    if gain.value <= 0:
        order.reverse()
    reaches = " reached higher validation scores than ".join(order)
    return f"At equal cost {reaches}. TPE minus random: {known}. {CAUTION}"


def blocks(results: Results) -> list[Block]:
    """The page."""
    costs = equal_costs(results)
    settings = results.settings
    return [
        "# Search against chance and against a grid",
        answer_text(results),
        f"""
        `python -m {__package__} {shlex.join(results.arguments)}`: [raw
        numbers](../data/search.json); {brief_machine(results.machine)}, commit
        {results.commit}.
        """,
        f"""
        The network is {settings["arch"]}; a trial has {settings["epochs"]} epochs and
        one thread. The searches have the default space of `scripts/search.py`, the grid
        the learning rates and schedules with which [the study](protocol.md) begins.
        Each of {len(costs)} repeats has its own seeds of sampler and networks. Cost is
        seconds of training and evaluation over all trials, for a pruned one of the
        epochs that it finished. The best trial was chosen on the same held-out images,
        so all accuracies are too good.
        """,
        Picture(
            "search",
            "Best validation error so far against seconds of training, a line for each search",
            partial(figure, results),
        ),
        [reached_table(results)],
        f"""
        Medians, in brackets the lowest and highest repeat. The cost is what the cheaper
        of the two searches took in a repeat, {min(costs):.0f} to {max(costs):.0f} s.
        """,
        added_text(results),
        """
        This page is not measured again after 20 commits, as those about speed are: it
        asks which search finds more for the same cost, and seconds only share that cost
        out. Of the machine and the commit above alone is what a search adds to a run.
        """,
    ]


def reached_table(results: Results) -> Table:
    """The best validation accuracy at shares of the cost that both searches had."""
    rows = []
    for variant, own in courses(results).items():
        row = {
            "search": VARIANTS[variant],
            "trials": DASH.join(str(count) for count in sorted({*map(len, own)})),
            "mean seconds in all": f"{fmean(map(cost, own)):.0f}",
        }
        for share in SHARES:
            best = reached(results, variant, share)
            row[f"best % at {whole_percent(share)} of cost"] = _in_brackets(best)
        rows.append(row)
    return table("Validation accuracy at equal cost", rows)


def added_text(results: Results) -> str:
    """The seconds that a search adds to a run, and whether the target is met."""
    search, compare = (
        results.values("seconds", part="start", way=way) for way in ("search", "compare")
    )
    added = mean_interval([*(search - compare)], Unit(name=" s"))
    return (
        f"Beside runs of compare.py, a search adds {added:u} to a run, from its start to the next "
        f"one's (an MLP, one batch, n = {added.n} rounds). The target of at most {MOST_ADDED} s is "
        f"{at_most(added, MOST_ADDED)}."
    )


def figure(results: Results) -> Figure:
    """For each search the median over its repeats of the best validation error so far,
    in a band of all of them.
    """
    made = Figure(figsize=(WIDTH, 5.0), layout="constrained")
    axes = made.subplots()
    errors = []
    ends = []
    for number, (variant, own) in enumerate(courses(results).items()):
        colour = style(OTHERS + number).colour
        seconds, middle, low, high = np.transpose(_best_so_far(own)).tolist()
        axes.fill_between(seconds, low, high, step="post", color=colour, alpha=0.15, linewidth=0)
        axes.step(seconds, middle, ls=LINES[number], where="post", color=colour, linewidth=2.2)
        name = VARIANTS[variant]
        if variant == "grid":  # it ends early
            start = seconds[0], middle[0]
            axes.annotate(name, start, (25, -4), textcoords="offset points")
        else:
            ends.append(End(wrapped(name, 20), seconds[-1], middle[-1], colour))
        errors += [*low, *high]
    log_axis(axes, "y", errors, unit=" %")
    answer = re.split("[:.] ", answer_text(results), maxsplit=1)[0]
    title = answer.replace("higher validation scores", "lower validation errors")  # as the axis
    axes.set_title(title, wrap=True)
    axes.set(
        xlabel="seconds of training and evaluation", ylabel=f"best validation error{LOG_SCALE}"
    )
    made.supxlabel("lines: medians of the repeats; bands: all of them", fontsize=LETTERS)
    label_ends(made, [(axes, ends)])
    return made


def _best_so_far(searches: Sequence[Course]) -> list[tuple[float, ...]]:
    """Seconds, and the median, least and largest error in per cent by then, once every
    repeat has a result.
    """
    rows: list[tuple[float, ...]] = []
    for seconds in sorted({ended for course in searches for ended, _ in course}):
        errors = [100 * (1 - best_after(course, seconds)) for course in searches]
        if max(errors) < inf:
            rows.append((seconds, median(errors), min(errors), max(errors)))
    return rows


def _in_brackets(accuracies: list[float]) -> str:
    """The median, and the lowest and highest, where every repeat has one; in per cent."""
    if min(accuracies) == -inf:
        return NOTHING
    middle = f"{100 * median(accuracies):.2f}"
    return f"{middle} [{100 * min(accuracies):.2f}, {100 * max(accuracies):.2f}]"
