"""What docs/lab/collapse.md says of what prevents MaxPool's collapse, and docs/lab/fashion.md of
Fashion-MNIST: the analysis of docs/lab/protocol-operations.md.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import nan
from statistics import median

from matplotlib.figure import Figure

from convblocks.compare import tables
from convblocks.compare.analysis import Comparison, compare, mean_validation, summarise
from convblocks.compare.conclusions import ranking
from convblocks.compare.statistics import SIGNIFICANCE
from convblocks.figures.estimates import P_VALUE, POINTS, cell, number, share
from convblocks.figures.grouping import by_arch, grouped
from convblocks.figures.tables import Table
from convblocks.model.names import name_of
from convblocks.record.directory import DEAD
from convblocks.record.result import RunResult
from convblocks.text import listed
from lab.estimates import count_text
from lab.intervals import intervals_figure
from lab.mechanism import by_variant
from lab.pages.writing import table
from lab.results import collapses, is_confirming, rate_of
from lab.statistics import fisher_against
from lab.study.dead_units import dead_column, layers

# The variant with which the others are compared, and these in words; each is a config
# in docs/data/interventions/.
AS_IS = "as-is"
BASELINE = "MaxPool as it is"
VARIANTS = {
    "batch-norm": "batch normalisation",
    "centring": "subtracting the mean only",
    "leaky-relu": "LeakyReLU",
    "lower-rate": "a learning rate of 0.003",
    "warm-up": "100 steps of warm-up",
    "smaller-weights": "smaller initial weights",
    "batchnorm-without": "the BatchNorm network without batch normalisation",
}
CONFIGS = (AS_IS, *VARIANTS)

# What is shown of a variant.
FEWER, MORE, UNDECIDED = (
    "Significantly fewer collapse with",
    "Significantly more collapse with",
    "Undecided:",
)


def interventions_tables(results: Sequence[RunResult]) -> list[Table]:
    """How many runs of each variant collapsed, and whether that differs from the
    network as it is.
    """
    runs = by_variant(results)
    p_values = fisher_against(runs, AS_IS)
    names = layers(results)
    rows = []
    for variant, own in runs.items():
        arm = summarise(own)
        rows.append(
            {
                "variant": (
                    f"[{VARIANTS.get(variant, BASELINE)}](../data/interventions/{variant}.yaml)"
                ),
                "collapsed": count_text(arm.collapsed, arm.runs),
                f"p against {BASELINE}": number(p_values.get(variant, nan), P_VALUE),
                **dead_column(own, names),
                "test accuracy %": cell(arm.score),
            }
        )
    return [table("", rows)]


def interventions_figure(results: Sequence[RunResult]) -> Figure:
    """The share of collapsed runs of each variant, the largest first."""
    runs = by_variant(results)
    shown = _shown(runs)
    shares = {
        VARIANTS.get(variant, BASELINE): share(collapses(own), len(own))
        for variant, own in runs.items()
    }
    ordered = dict(sorted(shares.items(), key=lambda item: -item[1].value))
    title = f"{len(shown[FEWER])} of {len(runs) - 1} variants collapse significantly less often"
    return intervals_figure(
        {title: ordered},
        "runs that collapse within 300 steps in %, with 95 % intervals",
        BASELINE,
        [VARIANTS[variant] for variant in shown[UNDECIDED]],
    )


def interventions_sentence(results: Sequence[RunResult]) -> str:
    """Which variants collapse significantly less often, which more often, and of which
    neither is shown.
    """
    runs = by_variant(results)
    parts = [
        f"Of {len(runs[AS_IS])} MaxPool runs at the notebook's setting, {collapses(runs[AS_IS])} "
        "collapse within 300 steps. Each variant has as many runs."
    ]
    for finding, variants in _shown(runs).items():
        named = [f"{VARIANTS[variant]} ({collapses(runs[variant])})" for variant in variants]
        if named:
            parts.append(f"{finding} {listed(named)}.")
    return " ".join(parts)


def readme_sentence(results: Sequence[RunResult]) -> str:
    """README's: which of the changes that were tried keep MaxPool from collapsing."""
    runs = by_variant(results)
    counts = {variant: collapses(own) for variant, own in runs.items()}
    found = (
        f"Of {len(runs[AS_IS])} more MaxPool runs at the notebook's setting, {counts[AS_IS]} "
        f"{share(counts[AS_IS], len(runs[AS_IS])).interval()} [collapse within 300 "
        "steps](docs/lab/collapse.md)."
    )
    if not (prevent := _shown(runs)[FEWER]):
        return f"{found} No change was shown to lower that."
    is_clean = not any(counts[variant] for variant in prevent)
    named = [
        VARIANTS[variant] + ("" if is_clean else f" ({counts[variant]})") for variant in prevent
    ]
    changes = " or ".join(listed(named).rsplit(" and ", 1))
    which = "Any of these" if len(prevent) > 1 else "One change"
    how_many = count_text(0, len(runs[prevent[0]])) if is_clean else "fewer"
    return f"{found} {which} makes it {how_many}: {changes}."


def caption(results: Sequence[RunResult]) -> str:
    """What README's picture shows, and how many runs of the network as it is do not end
    like its middle one.
    """
    runs = by_variant(results)[AS_IS]
    return (
        "Each square is a unit, one filter's output for a 7, in the second of three blocks. Grey "
        "units are dead: they output 0 for every image tried. With all 64 dead, every image gets "
        "the same answer: the network has collapsed. We picked a run that collapses: "
        f"{len(runs) - collapses(runs)} of {len(runs)} do not."
    )


def _shown(runs: Mapping[str, Sequence[RunResult]]) -> dict[str, list[str]]:
    """The variants of which each finding is shown, in the order of ``VARIANTS``."""
    p_values = fisher_against(runs, AS_IS)
    shown: dict[str, list[str]] = {finding: [] for finding in (FEWER, MORE, UNDECIDED)}
    for variant in VARIANTS:
        if variant in runs:
            is_fewer = collapses(runs[variant]) < collapses(runs[AS_IS])
            finding = FEWER if is_fewer else MORE
            shown[finding if p_values[variant] < SIGNIFICANCE else UNDECIDED].append(variant)
    return shown


def collapse_tables(results: Sequence[RunResult]) -> list[Table]:
    """How many runs of each network collapsed, how many of their units are dead, and
    what they reach.
    """
    runs = by_arch(results)
    names = layers(runs["maxpool"])
    rows = []
    for arch, own in runs.items():
        arm = summarise(own)
        rows.append(
            {
                "network": arch,
                "collapsed": count_text(arm.collapsed, arm.runs),
                **dead_column(own, names),
                "test accuracy %": cell(arm.score),
            }
        )
    return [table("", rows, "Dead units: medians.")]


def collapse_sentence(results: Sequence[RunResult]) -> str:
    """Whether MaxPool collapses on Fashion-MNIST too."""
    parts = [
        f"{count_text(collapses(runs), len(runs))} {name_of(arch)} runs"
        for arch, runs in by_arch(results).items()
    ]
    return (
        f"On Fashion-MNIST, {listed(parts)} collapse within 300 steps at the notebook's setting, "
        f"though {_dying(results)} die in MaxPool."
    )


def _dying(results: Sequence[RunResult]) -> str:
    """``a median of 91 % of block 2's units``, over MaxPool's runs."""
    share = median(run.final[f"{DEAD}relu2"] for run in by_arch(results)["maxpool"])
    return f"a median of {100 * share:.0f} % of block 2's units"


def fashion_tables(results: Sequence[RunResult]) -> list[Table]:
    """The course's networks on Fashion-MNIST at one setting, or each at its best."""
    confirmed = [*filter(is_confirming, results)]
    choosing = [run for run in results if not is_confirming(run)]
    if not choosing:
        return [networks_table(compare(confirmed))]
    leads = []
    for arch, runs in by_arch(choosing).items():
        rates = grouped(runs, rate_of).values()
        *_, second, best = sorted(mean_validation(own) or 0.0 for own in rates)
        leads.append(f"{number(best - second, POINTS)} points for {arch}")
    note = f"On held-out images the best rate leads the next by {listed(leads)}."
    return [replace(networks_table(compare(confirmed), ["lr"]), notes=[note])]


def networks_table(comparison: Comparison, swept: Sequence[str] = ()) -> Table:
    """Of the table of reports the columns with what networks reach."""
    full = tables.results_table("", comparison.arms, comparison.results, swept)
    keys = ("arch", "setting", "trained", "score")
    return replace(full, columns=[column for column in full.fields if column.key in keys], notes=())


def fashion_sentence(results: Sequence[RunResult]) -> str:
    """The order of the networks, and how many runs of MaxPool collapsed."""
    comparison = compare([*filter(is_confirming, results)])
    maxpool = next(arm for arm in comparison.arms if arm.arch == "maxpool")
    collapsed = share(maxpool.collapsed, maxpool.runs).interval()
    return (
        f"{ranking(comparison)[0]} {maxpool.collapsed} of "
        f"{maxpool.runs} MaxPool runs collapsed {collapsed}."
    )
