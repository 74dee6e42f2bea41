"""Which operation makes the difference, and why MaxPool collapses: the analysis of docs/lab/protocol-operations.md."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from math import prod
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from scipy import stats

from convblocks.compare import tables
from convblocks.compare.analysis import Comparison, summarise
from convblocks.compare.report import ranking
from convblocks.compare.statistics import SIGNIFICANCE, holm, mean_interval
from convblocks.figures.estimates import NOTHING, P_VALUE, PERCENT, POINTS, Estimate, cell, number, share
from convblocks.figures.grouping import grouped
from convblocks.figures.tables import Table
from convblocks.run.directory import DEAD
from convblocks.run.result import RunResult
from convblocks.text import listed
from lab.blocks import BlockNetwork
from lab.estimates import count_text, excludes_zero
from lab.intervals import intervals_figure
from lab.notebook import compare_networks
from lab.pages.writing import millions, multiply_adds, table
from lab.study.dead_units import layers

# The variant with which the others are compared, and these in words; each is a config in docs/data/interventions/.
AS_IS = "as-is"
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

# The operations of the factorial, and the level of each that counts as +1.
OPERATIONS = {
    "downsampling": ("maxpool", "MaxPool instead of stride 2"),
    "normalisation": ("batch", "batch normalisation"),
    "head": ("average", "averaging instead of flattening"),
}

# Of each operation.
Levels = tuple[Any, ...]


def interventions_tables(results: Sequence[RunResult]) -> list[Table]:
    """How many runs of each variant collapsed, and whether that differs from the network as it is."""
    runs = _by_variant(results)
    p_values = prevention(runs)
    names = layers(results)
    blocks = ", ".join(name.removeprefix(DEAD) for name in names)
    rows = []
    for variant, own in runs.items():
        arm = summarise(own)
        dead = [median(run.final[name] for run in own) if name in own[0].final else None for name in names]
        rows.append(
            {
                "variant": f"[{variant}](../data/interventions/{variant}.yaml)",
                "collapsed": count_text(arm.collapsed, arm.runs),
                "p against as-is": number(p_values[variant], P_VALUE) if variant in p_values else NOTHING,
                f"dead units in {blocks}, %": ", ".join(
                    NOTHING if part is None else f"{100 * part:.0f}" for part in dead
                ),
                "test accuracy %": cell(arm.score),
            }
        )
    note = (
        f"p: Fisher's exact test, after Holm's correction for {len(p_values)} variants. A variant that does not differ "
        "significantly has not been shown to do nothing. Dead units: medians over all runs, a dash where the "
        "activation is not a ReLU."
    )
    return [table("", rows, note)]


def interventions_figure(results: Sequence[RunResult]) -> Figure:
    """The share of collapsed runs of each variant, the largest first."""
    runs = _by_variant(results)
    shares = {VARIANTS.get(variant, "MaxPool as it is"): _collapses(own) for variant, own in runs.items()}
    ordered = dict(sorted(shares.items(), key=lambda item: -item[1].value))
    title = f"{len(_preventing(runs))} of {len(runs) - 1} variants collapse significantly less often"
    return intervals_figure({title: ordered}, "runs that collapse within 300 steps in %, with 95 % intervals")


def interventions_sentence(results: Sequence[RunResult]) -> str:
    """Which variants collapse significantly less often, which more often, and of which neither is shown."""
    runs = _by_variant(results)
    p_values, prevent = prevention(runs), _preventing(runs)
    worse = [variant for variant in VARIANTS if p_values.get(variant, 1) < SIGNIFICANCE and variant not in prevent]
    unclear = [variant for variant in VARIANTS if variant in runs and variant not in (*prevent, *worse)]

    def named(variants: Sequence[str]) -> str:
        return listed([f"{VARIANTS[variant]} ({sum(run.failed for run in runs[variant])})" for variant in variants])

    collapsed = sum(run.failed for run in runs[AS_IS])
    parts = [
        f"Of {len(runs[AS_IS])} MaxPool runs at the notebook's setting, {collapsed} collapse within 300 steps. Each "
        "variant has as many runs.",
        *([f"Significantly fewer collapse with {named(prevent)}."] if prevent else []),
        *([f"Significantly more collapse with {named(worse)}."] if worse else []),
        *([f"Undecided: {named(unclear)}."] if unclear else []),
    ]
    return " ".join(parts)


def readme_sentence(results: Sequence[RunResult]) -> str:
    """README's: which of the changes that were tried keep MaxPool from collapsing."""
    runs = _by_variant(results)
    counts = {variant: sum(run.failed for run in own) for variant, own in runs.items()}
    found = f"Of {len(runs[AS_IS])} more MaxPool runs at the notebook's setting, {counts[AS_IS]} collapse."
    if not (prevent := _preventing(runs)):
        return f"{found} No change was shown to lower that."
    is_clean = not any(counts[variant] for variant in prevent)
    named = [VARIANTS[variant] + (f" ({counts[variant]})" if not is_clean else "") for variant in prevent]
    changes = " or ".join(filter(None, [", ".join(named[:-1]), named[-1]]))
    which = "Any one of these changes" if len(prevent) > 1 else "One change"
    return f"{found} {which} {'brings that to 0' if is_clean else 'lowers that'}: {changes}."


def caption(results: Sequence[RunResult]) -> str:
    """What README's picture shows, and how many runs of the network as it is do not end like its middle one."""
    runs = _by_variant(results)[AS_IS]
    return (
        "Each square is a unit of block 2 looking at a 7, as training goes on. Grey units are dead: they output 0 for "
        "every image. With all 64 dead, every digit gets the same answer: the network has collapsed. The seed was "
        f"chosen for that; with {sum(not run.failed for run in runs)} of {len(runs)} seeds MaxPool does not collapse. "
        "Scores are on 1,000 test images. To play, download [the page](docs/play/index.html) and open it."
    )


def _preventing(runs: Mapping[str, Sequence[RunResult]]) -> list[str]:
    """The variants that collapse significantly less often than the network as it is."""
    rate, p_values = _collapses(runs[AS_IS]).value, prevention(runs)
    return [
        variant
        for variant in VARIANTS
        if p_values.get(variant, 1) < SIGNIFICANCE and _collapses(runs[variant]).value < rate
    ]


def prevention(runs: Mapping[str, Sequence[RunResult]]) -> dict[str, float]:
    """The p of Fisher's exact test of each variant against the network as it is, after Holm's correction."""
    counts = {variant: (sum(run.failed for run in own), len(own)) for variant, own in runs.items()}
    collapsed, total = counts.pop(AS_IS)
    found = [
        float(stats.fisher_exact(np.array([[collapsed, total - collapsed], [other, of - other]])).pvalue)
        for other, of in counts.values()
    ]
    return dict(zip(counts, holm(found), strict=True))


def factorial_tables(results: Sequence[RunResult], study: Sequence[RunResult]) -> list[Table]:
    """The eight networks with what they cost and reach, and the effects of the operations.

    ``study`` are the runs of the course's MaxPool network at the setting that the study chose.
    """
    chosen, confirmed = split(results)
    tried = grouped(chosen, levels_of)
    rates = list(dict.fromkeys(_rate(run) for run in chosen))
    rows = []
    for levels, own in sorted(confirmed.items(), key=lambda item: -_mean(item[1])):
        arm = summarise(own)
        scores = grouped(tried[levels], _rate)
        rows.append(
            {
                "network": ", ".join(levels),
                "multiply-adds": millions(multiply_adds(BlockNetwork(*levels))),
                f"held-out % at {', '.join(rates)}": ", ".join(_validation(scores[rate]) for rate in rates),
                "lr": _rate(own[0]),
                "test accuracy %": cell(arm.score),
            }
        )
    effects = effects_of(confirmed)
    lines = [
        {"effect": name, "points": f"{effect:+}", "p": number(effect.p, P_VALUE)} for name, effect in effects.items()
    ]
    tested = [run for own in confirmed.values() for run in own]
    notes = (
        f"Five epochs of one cycle. {len(tested) // len(confirmed)} fresh seeds per network were tested, and "
        f"{sum(not run.failed for run in tested)} of {len(tested)} runs trained. maxpool, none, flatten is the "
        "course's MaxPool network; stride, batch, average its BatchNorm network.",
        _of_the_choice(confirmed, rates, study),
    )
    meaning = (
        "An effect is the mean of the four networks with an operation minus that of the four without; an interaction "
        "is half of how much one effect changes with the other operation. Intervals hold together at 95 % (Bonferroni "
        f"over {len(effects)}, also in the figure), by Welch and Satterthwaite, and take the chosen rates as given. p "
        "is corrected likewise."
    )
    return [table("Eight networks", rows, *notes), table("Effects", lines, meaning)]


def _of_the_choice(
    confirmed: Mapping[Levels, Sequence[RunResult]], rates: Sequence[str], study: Sequence[RunResult]
) -> str:
    """How many networks chose the largest rate, and what the study got at the rate that it chose itself."""
    largest = max(rates, key=float)
    at_edge = sum(_rate(own[0]) == largest for own in confirmed.values())
    here, found = summarise(confirmed["maxpool", "none", "flatten"]), summarise(study)
    return (
        f"{at_edge} of {len(confirmed)} networks chose the largest rate, {largest}, and no larger one was tried. [The "
        f"study](results.md) had more runs to choose with: its MaxPool network got {cell(found.score)} at "
        f"{_rate(study[0])}, n = {found.trained_runs}, not {cell(here.score)}."
    )


def factorial_figure(results: Sequence[RunResult]) -> Figure:
    """The effects of the operations and their interactions."""
    effects = effects_of(split(results)[1])
    name, largest = _main_effects(effects)[0]
    title = (
        f"{name[0].upper()}{name[1:]} matters most" if excludes_zero(largest) else "No operation was shown to matter"
    )
    label = "points of test accuracy, with simultaneous 95 % intervals (Bonferroni; hollow: 0 is inside)"
    return intervals_figure({title: effects}, label)


def factorial_sentence(results: Sequence[RunResult]) -> str:
    """What each operation is worth, the largest effect first, and how many runs collapsed."""
    _, confirmed = split(results)
    effects = _main_effects(effects_of(confirmed))
    runs = [run for own in confirmed.values() for run in own]
    collapsed = sum(run.failed for run in runs)
    left_out = f" ({collapsed} of {len(runs)} runs collapsed and are left out)" if collapsed else ""
    if not any(excludes_zero(effect) for _, effect in effects):
        return f"No operation was shown to matter{left_out}."
    (name, largest), *others = effects
    found = listed([f"{name} is worth {largest:+u}", *(f"{other} {effect:+u}" for other, effect in others)])
    return f"At tuned rates {found}{left_out}."


def _main_effects(effects: Mapping[str, Estimate]) -> list[tuple[str, Estimate]]:
    """Those of the operations, the largest first."""
    return sorted(((name, effects[name]) for _, name in OPERATIONS.values()), key=lambda item: -abs(item[1].value))


def effects_of(confirmed: Mapping[Levels, Sequence[RunResult]]) -> dict[str, Estimate]:
    """The main effects and interactions of the operations, with simultaneous intervals."""
    samples = [[run.score for run in own if not run.failed] for own in confirmed.values()]
    signs = [
        [1 if level == plus else -1 for level, (plus, _) in zip(levels, OPERATIONS.values(), strict=True)]
        for levels in confirmed
    ]
    names = [name for _, name in OPERATIONS.values()]
    groups = [group for size in (1, 2, 3) for group in combinations(range(len(names)), size)]
    return {
        _effect_name([names[place] for place in group]): contrast(
            samples, [prod(own[place] for place in group) / (len(samples) / 2) for own in signs], len(groups)
        )
        for group in groups
    }


def _effect_name(operations: Sequence[str]) -> str:
    """Of one operation as it is; of several such as MaxPool times averaging."""
    if len(operations) == 1:
        return operations[0]
    return " \N{MULTIPLICATION SIGN} ".join(one.partition(" instead")[0] for one in operations)


def contrast(samples: Sequence[Sequence[float]], weights: Sequence[float], comparisons: int) -> Estimate:
    """A weighted sum of means, with an interval that holds together with so many others by Bonferroni's correction.

    Variances are not pooled: the degrees of freedom are Satterthwaite's (B. L. Welch, "The generalization of
    'Student's' problem when several different population variances are involved", Biometrika 34, 1947).
    """
    value = sum(weight * float(np.mean(own)) for weight, own in zip(weights, samples, strict=True))
    n = min(map(len, samples))
    if n < 2:
        return Estimate(value, n=n, unit=POINTS)
    parts = np.array([weight**2 * np.var(own, ddof=1) / len(own) for weight, own in zip(weights, samples, strict=True)])
    if not parts.any():
        return Estimate(value, value, value, n, unit=POINTS)
    freedom = parts.sum() ** 2 / sum(part**2 / (len(own) - 1) for part, own in zip(parts, samples, strict=True))
    error = float(parts.sum() ** 0.5)
    margin = float(stats.t.ppf(1 - SIGNIFICANCE / 2 / comparisons, freedom)) * error
    p = min(1.0, 2 * comparisons * float(stats.t.sf(abs(value) / error, freedom)))
    return Estimate(value, value - margin, value + margin, n, p, POINTS)


def fashion_tables(results: Sequence[RunResult]) -> list[Table]:
    """The course's networks on Fashion-MNIST at one setting, or each at its best."""
    confirmed = _confirming(results)
    return [networks_table(compare_networks(confirmed), ["lr"] if len(confirmed) < len(results) else [])]


def networks_table(comparison: Comparison, swept: Sequence[str] = ()) -> Table:
    """Of the table of reports the columns with what networks reach."""
    full = tables.results_table("", comparison.arms, comparison.results, swept)
    keys = ("arch", "setting", "trained", "score")
    return replace(full, columns=[column for column in full.fields if column.key in keys], notes=())


def fashion_sentence(results: Sequence[RunResult]) -> str:
    """The order of the networks, and how many runs of MaxPool collapsed."""
    comparison = compare_networks(_confirming(results))
    maxpool = next(arm for arm in comparison.arms if arm.arch == "maxpool")
    collapsed = share(maxpool.collapsed, maxpool.runs).interval()
    return f"{ranking(comparison)[0]} {maxpool.collapsed} of {maxpool.runs} MaxPool runs collapsed {collapsed}."


def split(results: Sequence[RunResult]) -> tuple[list[RunResult], dict[Levels, list[RunResult]]]:
    """The runs that choose, and the confirming ones by the levels of their operations."""
    chosen = [run for run in results if run.validation is not None]
    return chosen, grouped(_confirming(results), levels_of)


def _confirming(results: Sequence[RunResult]) -> list[RunResult]:
    """The runs on all training images."""
    return [run for run in results if run.validation is None]


def levels_of(run: RunResult) -> Levels:
    overrides = dict(run.overrides)
    return tuple(overrides[f"network.{operation}"] for operation in OPERATIONS)


def _by_variant(results: Sequence[RunResult]) -> dict[str, list[RunResult]]:
    return grouped(results, lambda run: Path(dict(run.overrides)["config"]).stem)


def _collapses(runs: Sequence[RunResult]) -> Estimate:
    return share(sum(run.failed for run in runs), len(runs))


def _rate(run: RunResult) -> str:
    return dict(run.overrides)["lr"]


def _mean(runs: Sequence[RunResult]) -> float:
    return float(np.mean([run.score for run in runs]))


def _validation(runs: Sequence[RunResult]) -> str:
    return f"{100 * mean_interval([run.validation or 0.0 for run in runs], PERCENT).value:.2f}"
