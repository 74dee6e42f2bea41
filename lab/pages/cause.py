"""What docs/lab/cause.md says of the cause, tried: updates without their common part."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from convblocks.figures.estimates import p_text
from convblocks.figures.tables import Table
from convblocks.record.directory import DEAD
from convblocks.record.result import RunResult
from convblocks.text import listed
from lab import direction
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
    beside,
    collapse_p,
    complete_arms,
    findings,
    mean_shares,
    median_dead,
    verdict,
)
from lab.pages.arms import arms_table, differences_table, dying_figure, predictions_table
from lab.results import collapses

# The arms of the figure and of the first tables, and their names.
DRAWN = {AS_IS: "as it is", RANDOM: "random", SHRUNK: "shrunk", CENTRED: "centred"}


def cause_tables(results: Sequence[RunResult]) -> list[Table]:
    """The arms that change block 2's updates, at each rate."""
    return [
        arms_table(f"Dead units in %, at {rate}", {arm: arms[arm] for arm in DRAWN})
        for rate, arms in complete_arms(results).items()
    ]


def details_tables(results: Sequence[RunResult]) -> list[Table]:
    """All arms at each rate, which predictions hold, and the differences."""
    found = (findings(results), beside(results))
    return [
        *(
            arms_table(f"Dead units in %, at {rate}", arms)
            for rate, arms in complete_arms(results).items()
        ),
        predictions_table(found, _notes(results)),
        differences_table(found),
    ]


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


def readme_sentence(results: Sequence[RunResult], controls: Sequence[RunResult]) -> str:
    """README's: what becomes of the dying without the common movement, if that is the cause; that
    it is downward is said if the controls support it.

    The collapses are those of twice the notebook's rate: at the notebook's own none is left
    either where updates are only shorter, or another layer's are centred.
    """
    if not verdict(findings(results)).startswith("supported"):
        return "Why was not shown."
    rates = complete_arms(results)
    arms, doubled = rates[RATES[0]], rates[RATES[1]]
    shrunk, as_is, centred = (collapses(doubled[arm]) for arm in (SHRUNK, AS_IS, CENTRED))
    is_downward = verdict(direction.findings(controls)).startswith("supported")
    return (
        f"[Why?](docs/lab/cause.md) At first most of a unit's weights "
        f"{'fall' if is_downward else 'move'} together; ReLU makes sums below 0 into 0. "
        f"Without that movement {100 * median_dead(arms[CENTRED]):.0f} % of block 2 die in "
        f"{STEP} updates, not {100 * median_dead(arms[AS_IS]):.0f} % (updates shortened: "
        f"{100 * median_dead(arms[SHRUNK]):.0f} %; medians, n = {len(arms[AS_IS])}); at twice the "
        f"rate {centred} of {len(doubled[AS_IS])} runs collapse, not {as_is} (shortened: "
        f"{shrunk})."
    )


def cause_figure(results: Sequence[RunResult]) -> Figure:
    """The share of dead units of block 2 step by step, at each rate."""
    found, further = findings(results), beside(results)
    titles = {}
    for rate in RATES:
        titles[rate] = "it is not shown that centring prevents the dying"
        if found[rate].predictions[PREVENTS]:
            lasts = further[rate].predictions[LASTS]
            titles[rate] = f"centring {'prevents' if lasts else 'delays'} the dying"
    return dying_figure(complete_arms(results), DRAWN, titles, _seeds(results))


def _seeds(results: Sequence[RunResult]) -> str:
    """Of how many all arms are there."""
    return f"{len(complete_arms(results)[RATES[0]][AS_IS])} of {SEEDS} seeds"
