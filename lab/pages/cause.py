"""What docs/lab/operations.md says of the cause, tried: updates without their common part."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from convblocks.figures.estimates import P_VALUE, number, p_text
from convblocks.figures.style import LETTERS, WIDTH, End, label_ends, muted, style
from convblocks.figures.tables import Table
from convblocks.record.directory import DEAD
from convblocks.record.result import RunResult
from convblocks.text import listed
from lab.cause import (
    AS_IS,
    CENTRED,
    LASTS,
    LATE_STEP,
    PREVENTS,
    RANDOM,
    RATES,
    SEEDS,
    SHRUNK,
    STEP,
    Runs,
    beside,
    collapse_p,
    complete_arms,
    dead,
    findings,
    mean_shares,
    median_dead,
    verdict,
)
from lab.estimates import count_text
from lab.pages.writing import table
from lab.preactivations import STEPS
from lab.results import collapses

QUARTILES = (25, 50, 75)

# The arms of the figure, and their names.
DRAWN = {AS_IS: "as it is", RANDOM: "random", SHRUNK: "shrunk", CENTRED: "centred"}


def cause_tables(results: Sequence[RunResult]) -> list[Table]:
    """The arms at each rate, which predictions hold, and the differences."""
    words = {True: "holds", False: "does not hold"}
    predictions: dict[str, dict[str, str]] = {}
    differences: dict[str, dict[str, str]] = {}
    for found in (findings(results), beside(results)):
        for rate, finding in found.items():
            for name, holds in finding.predictions.items():
                predictions.setdefault(name, {"prediction": name})[rate] = words[holds]
            for name, one in finding.differences.items():
                row = differences.setdefault(name, {"arm": name})
                row |= {rate: f"{one:+}", f"p at {rate}": number(one.p, P_VALUE)}
    return [
        *(_arms_table(rate, arms) for rate, arms in complete_arms(results).items()),
        table("Predictions", [*predictions.values()], _notes(results)),
        table("Differences in dead units", [*differences.values()]),
    ]


def _arms_table(rate: str, arms: Runs) -> Table:
    def quartiles(runs: Sequence[RunResult], step: int, block: int) -> str:
        low, middle, high = np.percentile(100 * dead(runs, step, block - 1), QUARTILES)
        return f"{middle:.0f} ({low:.0f} to {high:.0f})"

    rows = [
        {
            "update": arm,
            **{
                f"block {block} at step {step}": quartiles(runs, step, block)
                for block, step in ((2, STEP), (2, LATE_STEP), (1, STEP), (3, STEP))
            },
            "collapsed": count_text(collapses(runs), len(runs)),
        }
        for arm, runs in arms.items()
    ]
    return table(f"Dead units in %, at {rate}", rows)


def _notes(results: Sequence[RunResult]) -> str:
    tested = [f"{p_text(p)} at {rate}" for rate, p in collapse_p(results).items()]
    rates = complete_arms(results)
    spared = [arm for arm, runs in rates[RATES[0]].items() if not collapses(runs)]
    first = [
        run.final[f"{DEAD}relu1"]
        for arms in rates.values()
        for runs in arms.values()
        for run in runs
    ]
    shares = 100 * np.concatenate([mean_shares(arms[RANDOM]) for arms in rates.values()])
    return (
        f"Collapsed runs, {CENTRED} against {AS_IS}: {listed(tested)}, by "
        f"McNemar's exact test after Holm's correction over the two. At {RATES[0]} "
        f"none collapses in {listed(spared) or 'no arm'}. After all steps at most "
        f"{100 * max(first):.3g} % of block 1 are dead, and any of it in "
        f"{np.count_nonzero(first)} of {len(first):,} runs. In the second to tenth update the "
        f"mean has a median of {np.median(shares):.0f} % of a unit's squared "
        f"length, {shares.min():.0f} to {shares.max():.0f} % in single runs and "
        f"updates ({RANDOM})."
    )


def cause_sentence(results: Sequence[RunResult]) -> str:
    """The protocol's verdict, which predictions hold at which rate, and the shares behind it."""
    found = findings(results)
    reasons = "".join(f"{words}; " for words in found[RATES[0]].refutations)
    holding, dying, later = [], [], []
    for rate, arms in complete_arms(results).items():
        holding.append(f"{sum(found[rate].predictions.values())} hold at {rate}")
        centred, shrunk, as_is, late = (
            f"{100 * median_dead(arms[arm], step):.0f} %"
            for arm, step in ((CENTRED, STEP), (SHRUNK, STEP), (AS_IS, STEP), (CENTRED, LATE_STEP))
        )
        dying.append(
            f"{centred} of block 2 are dead at {rate} (shrunk: {shrunk}, as it is: {as_is})"
        )
        later.append(late)
    return (
        f"By the protocol's rule and {_seeds(results)} it is {verdict(found)} that "
        f"the common movement of their weights kills units of block 2: {reasons}of "
        f"four deciding predictions {listed(holding)}. After {STEP} centred "
        f"updates {listed(dying)}; {LATE_STEP - STEP} plain updates later "
        f"{listed(later)}. These are medians."
    )


def readme_sentence(results: Sequence[RunResult]) -> str:
    """README's: what becomes of the dying without the common movement, if that is the cause."""
    if not verdict(findings(results)).startswith("supported"):
        return "Why was not shown."
    arms = complete_arms(results)[RATES[0]]
    as_is, centred = arms[AS_IS], arms[CENTRED]
    return (
        "Why? At first most of a unit's weights move together: without that "
        f"{100 * median_dead(centred):.0f} % of block 2 die in {STEP} updates, not "
        f"{100 * median_dead(as_is):.0f} % (medians, n = {len(as_is)}), and "
        f"{collapses(centred)} runs collapse, not {collapses(as_is)}."
    )


def cause_figure(results: Sequence[RunResult]) -> Figure:
    """The share of dead units of block 2 step by step, at each rate."""
    found, further = findings(results), beside(results)
    figure = Figure(figsize=(WIDTH, 4.6), layout="constrained")
    panels = figure.subplots(1, len(RATES), sharey=True)
    ends = []
    for panel, (rate, arms) in zip(panels, complete_arms(results).items(), strict=True):
        drawn = []
        for place, (arm, name) in enumerate(DRAWN.items()):
            look = style(place)
            shares = [100 * dead(arms[arm], step) for step in range(STEPS)]
            low, middle, high = np.percentile(shares, QUARTILES, axis=1)
            panel.plot(middle, color=look.colour, ls=look.line, linewidth=1.8)
            panel.fill_between(range(STEPS), low, high, color=look.colour, alpha=0.2, linewidth=0)
            drawn.append(End(name, STEPS - 1, middle[-1], look.colour))
        title = "it is not shown that centring prevents the dying"
        if found[rate].predictions[PREVENTS]:
            lasts = further[rate].predictions[LASTS]
            title = f"centring {'prevents' if lasts else 'delays'} the dying"
        panel.axvline(STEP, color=muted(), ls="--")
        panel.set(title=f"At {rate}, {title}", xlabel="step")
        ends.append((panel, drawn))
    panels[0].set_ylabel("dead units of block 2 in %")
    caption = f"medians of {_seeds(results)}, with quartiles; dashed: no more changed updates"
    figure.supxlabel(caption, fontsize=LETTERS)
    label_ends(figure, ends)
    return figure


def _seeds(results: Sequence[RunResult]) -> str:
    """Of how many all arms are there."""
    return f"{len(complete_arms(results)[RATES[0]][AS_IS])} of {SEEDS} seeds"
