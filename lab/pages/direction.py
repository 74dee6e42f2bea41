"""What docs/lab/cause.md says of the controls: is it the downward common movement that kills?"""

from collections.abc import Sequence
from dataclasses import replace

from matplotlib.figure import Figure

from convblocks.figures.tables import Table
from convblocks.record.result import RunResult
from convblocks.text import listed
from lab.by_seed import DIRECTION_ARMS, DIRECTION_ARMS_OF_20
from lab.cause import (
    AS_IS,
    CENTRED,
    LATE_STEP,
    RATES,
    SEEDS,
    STEP,
    Finding,
    arms_of,
    median_dead,
    verdict,
)
from lab.direction import ALONE, MATCHED, REPLACED, UPWARD, findings, of_centralization, of_matched
from lab.pages.arms import (
    arms_table,
    differences_table,
    dying_figure,
    kinds_sentence,
    predictions_table,
)

# The arms in the order of the page.
ARMS = tuple(path.partition("/")[2] for path in (*DIRECTION_ARMS, *DIRECTION_ARMS_OF_20))

# The arms of the sentence and the figure, and their names.
DRAWN = {
    AS_IS: "as it is",
    ALONE: "the mean alone",
    MATCHED: "matched",
    REPLACED: "mean replaced",
    UPWARD: "mean upward",
    CENTRED: "centred",
}


def direction_tables(results: Sequence[RunResult]) -> list[Table]:
    """The arms at each rate."""
    return [
        arms_table(f"Dead units in %, at {rate}", {arm: arms[arm] for arm in ARMS})
        for rate, arms in arms_of(results).items()
    ]


def details_tables(results: Sequence[RunResult]) -> list[Table]:
    """Which predictions hold, at both steps, and the differences."""
    late = {rate: _late(finding) for rate, finding in findings(results, LATE_STEP).items()}
    found = (findings(results), late, of_centralization(results), of_matched(results))
    return [predictions_table(found, kinds_sentence(results)), differences_table(found)]


def _late(finding: Finding) -> Finding:
    """With predictions that say at which step they are looked at."""
    named = {f"{name}, at step {LATE_STEP}": is_so for name, is_so in finding.predictions.items()}
    return replace(finding, predictions=named)


def direction_sentence(results: Sequence[RunResult]) -> str:
    """The protocol's verdict, which predictions hold at which rate, and the shares behind it."""
    found, arms = findings(results), arms_of(results)
    seeds, upward = (len(arms[RATES[0]][arm]) for arm in (AS_IS, UPWARD))
    reasons = "".join(f"{words}; " for words in found[RATES[0]].refutations)
    holding = [f"{sum(found[rate].predictions.values())} hold at {rate}" for rate in RATES]
    shares = [
        f"{' and '.join(f'{100 * median_dead(arms[rate][arm]):.0f} %' for rate in RATES)} {name}"
        for arm, name in DRAWN.items()
    ]
    later = [
        f"{100 * median_dead(arms[RATES[1]][arm], LATE_STEP):.0f} % {DRAWN[arm]}"
        for arm in (REPLACED, CENTRED)
    ]
    return (
        f"By the protocol's rule and {seeds} of {SEEDS} seeds, {upward} of {SEEDS // 2} with the "
        f"mean upward, it is {verdict(found)} that the common movement kills downward: "
        f"{reasons}of four deciding predictions {listed(holding)}. Of block 2 are dead after "
        f"{STEP} updates, at {' and '.join(RATES)}: {', '.join(shares)}; "
        f"{LATE_STEP - STEP} plain updates later at {RATES[1]} {listed(later)}. These are medians."
    )


def direction_figure(results: Sequence[RunResult]) -> Figure:
    """The share of dead units of block 2 step by step, with each control."""
    titles = {}
    for rate, finding in findings(results).items():
        titles[rate] = "it is not shown that the mean kills downward only"
        if all(finding.predictions.values()):
            titles[rate] = "the mean kills downward only"
    arms = arms_of(results)
    upward = len(arms[RATES[0]][UPWARD])
    runs = f"{len(arms[RATES[0]][AS_IS])} seeds, {upward} with the mean upward"
    return dying_figure(arms, DRAWN, titles, runs)
