"""What docs/lab/remedy.md says of Gradient Centralization beside other remedies."""

from collections.abc import Sequence

from convblocks.compare.analysis import summarise
from convblocks.figures.estimates import NOTHING, P_VALUE, cell, number, p_text
from convblocks.figures.tables import Table
from convblocks.record.result import RunResult
from lab.by_seed import REMEDIES, REMEDIES_OF_20
from lab.cause import AS_IS, SEEDS
from lab.estimates import count_text
from lab.pages.arms import kinds_sentence
from lab.pages.operations import BASELINE, VARIANTS
from lab.pages.writing import table
from lab.remedy import REMEDY, by_length, gains_over_others, remedy
from lab.results import collapses
from lab.study.dead_units import dead_column, layers

NAMES = {AS_IS: BASELINE, REMEDY: "Gradient Centralization", **VARIANTS}

LENGTHS = {"long": "After five epochs", "short": "After 300 steps"}


def remedy_tables(results: Sequence[RunResult]) -> list[Table]:
    """What becomes of runs with each remedy, after five epochs and after 300 steps."""
    lengths, names = by_length(results), layers(results)
    gains = {AS_IS: remedy(results).gain, **gains_over_others(results)}
    tables = []
    for length, title in LENGTHS.items():
        rows = []
        for path in (*REMEDIES, *REMEDIES_OF_20):
            arm = path.partition("/")[2]
            runs = lengths[length][arm]
            row = {
                "MaxPool with": f"[{NAMES[arm]}](../data/{path}.yaml)",
                "collapsed": count_text(collapses(runs), len(runs)),
                **dead_column(runs, names),
                "test accuracy %": cell(summarise(runs).score),
            }
            if length == "long":
                one = gains.get(arm)
                row["Gradient Centralization minus this"] = f"{one:+}" if one else NOTHING
                row["p"] = number(one.p, P_VALUE) if one else NOTHING
            rows.append(row)
        tables.append(table(title, rows, *([kinds_sentence(results)] if length == "long" else [])))
    return tables


def remedy_sentence(results: Sequence[RunResult]) -> str:
    """The protocol's verdict, and what it looks at."""
    found = remedy(results)
    as_is, remedied = found.collapsed
    before, after = found.medians
    ruling = f"By the protocol's rule {found.verdict}"
    if found.verdict == "undecided":
        ruling = "By the protocol's rule it is undecided whether it is a remedy"
    if (seeds := _seeds(results)) < SEEDS:
        ruling = f"Not decided yet, after {seeds} of {SEEDS} seeds"
    return (
        f"{ruling}: after five epochs {as_is} of {seeds} runs collapse as they are and "
        f"{remedied} with Gradient Centralization ({p_text(found.collapse_p)}); a median of "
        f"{100 * before:.0f} % and {100 * after:.0f} % of block 2 is dead "
        f"({p_text(found.dead.p)}), where at most {100 * before / 4:.0f} % was asked for; its "
        f"accuracy differs by {found.gain:+u} where neither run collapsed (n = {found.gain.n})."
    )


def readme_sentence(results: Sequence[RunResult]) -> str:
    """README's, which names the remedy only if it holds."""
    if _seeds(results) < SEEDS or remedy(results).verdict != "it holds":
        return ""
    return "[Subtracting each unit's mean gradient](docs/lab/remedy.md) prevents it, too."


def _seeds(results: Sequence[RunResult]) -> int:
    """Of how many seeds the arms that decide have been trained for five epochs."""
    return len(by_length(results)["long"][REMEDY])
