"""Tables and figures of what changed updates do to the units of MaxPool's blocks."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from convblocks.compare.analysis import summarise
from convblocks.figures.estimates import P_VALUE, cell, number
from convblocks.figures.grouping import grouped
from convblocks.figures.style import LETTERS, WIDTH, End, label_ends, muted, style
from convblocks.figures.tables import Table
from convblocks.record.result import RunResult
from convblocks.text import counted, listed
from lab.cause import LATE_STEP, STEP, Finding, Runs, dead
from lab.estimates import count_text
from lab.pages.writing import table
from lab.preactivations import STEPS
from lab.results import collapses

QUARTILES = (25, 50, 75)

# The blocks and steps of a table's columns; blocks are counted from 1.
SHOWN = ((2, STEP), (2, LATE_STEP), (1, STEP), (3, STEP))

HOLDS = {True: "holds", False: "does not hold"}


def arms_table(title: str, arms: Runs) -> Table:
    """A line for each arm: medians and quartiles of dead units, collapsed runs, and the mean
    accuracy of those that trained.
    """
    rows = [
        {
            "update": arm,
            **{
                f"block {block} at step {step}": quartiles(runs, step, block)
                for block, step in SHOWN
            },
            "collapsed": count_text(collapses(runs), len(runs)),
            "test accuracy %": cell(summarise(runs).score),
        }
        for arm, runs in arms.items()
    ]
    return table(title, rows)


def quartiles(runs: Sequence[RunResult], step: int, block: int) -> str:
    """``97 (95 to 98)``: the median share of dead units in %, and the quartiles around it."""
    low, middle, high = np.percentile(100 * dead(runs, step, block - 1), QUARTILES)
    return f"{middle:.0f} ({low:.0f} to {high:.0f})"


def predictions_table(findings: Sequence[Mapping[str, Finding]], *notes: str) -> Table:
    """Whether each prediction holds at each rate; ``findings`` are by rate."""
    rows: dict[str, dict[str, str]] = {}
    for found in findings:
        for rate, finding in found.items():
            for name, holds in finding.predictions.items():
                rows.setdefault(name, {"prediction": name})[rate] = HOLDS[holds]
    return table("Predictions", [*rows.values()], *notes)


def differences_table(findings: Sequence[Mapping[str, Finding]]) -> Table:
    """Each difference in dead units at each rate; ``findings`` are by rate."""
    rows: dict[str, dict[str, str]] = {}
    for found in findings:
        for rate, finding in found.items():
            for name, one in finding.differences.items():
                row = rows.setdefault(name, {"arm": name})
                row |= {rate: f"{one:+}", f"p at {rate}": number(one.p, P_VALUE)}
    return table("Differences in dead units", [*rows.values()])


def kinds_sentence(results: Sequence[RunResult]) -> str:
    """How many seeds were trained on which kind of processor."""
    by_seed = {run.seed: run.provenance.processor for run in results}
    kinds = grouped(by_seed, lambda seed: by_seed[seed] or "an unknown kind")
    told = [f"{counted(len(seeds), 'seed')} on {kind}" for kind, seeds in kinds.items()]
    return f"All arms of a seed were trained on one kind of processor: {listed(told)}."


def dying_figure(
    rates: Mapping[str, Runs], drawn: Mapping[str, str], titles: Mapping[str, str], runs: str
) -> Figure:
    """The share of dead units of block 2 step by step, at each rate.

    Args:
        rates: The arms of each rate.
        drawn: The arms that are drawn, and their names.
        titles: What each rate's panel shows.
        runs: How many there are, for the caption.
    """
    figure = Figure(figsize=(WIDTH, 4.6), layout="constrained")
    panels = figure.subplots(1, len(rates), sharey=True)
    ends = []
    for panel, (rate, arms) in zip(panels, rates.items(), strict=True):
        lines = []
        for place, (arm, name) in enumerate(drawn.items()):
            look = style(place)
            shares = [100 * dead(arms[arm], step) for step in range(STEPS)]
            low, middle, high = np.percentile(shares, QUARTILES, axis=1)
            panel.plot(middle, color=look.colour, ls=look.line, linewidth=1.8)
            panel.fill_between(range(STEPS), low, high, color=look.colour, alpha=0.2, linewidth=0)
            lines.append(End(name, STEPS - 1, middle[-1], look.colour))
        panel.axvline(STEP, color=muted(), ls="--")
        panel.set(title=f"At {rate}, {titles[rate]}", xlabel="step")
        ends.append((panel, lines))
    panels[0].set_ylabel("dead units of block 2 in %")
    caption = f"medians of {runs}, with quartiles; dashed: no more changed updates"
    figure.supxlabel(caption, fontsize=LETTERS)
    label_ends(figure, ends)
    return figure
