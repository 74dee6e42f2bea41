"""What docs/lab/operations.md says of the collapse: why it happens, and on other images."""

from collections.abc import Sequence
from statistics import median

from matplotlib.figure import Figure

from convblocks.compare.analysis import summarise
from convblocks.compare.report import name_of
from convblocks.compare.statistics import SIGNIFICANCE
from convblocks.figures.estimates import NOTHING, P_VALUE, cell, number, p_text
from convblocks.figures.grouping import by_arch
from convblocks.figures.tables import Table
from convblocks.run.directory import DEAD
from convblocks.run.result import RunResult
from convblocks.text import listed
from lab.estimates import count_text
from lab.mechanism import (
    DECISIVE_STEP,
    NOTEBOOK_RATE,
    by_variant,
    depth_figure,
    depth_of,
    predictions,
    rates_of,
    tells_apart,
)
from lab.pages.writing import table
from lab.statistics import fisher_against
from lab.study.dead_units import layers, medians_of

# The other changes in words.
CHANGES = {
    "frozen-biases": "biases that do not learn",
    "asymmetric": "asymmetric initial weights (Lu et al. 2020)",
    "sgd-0.03": "plain SGD at 0.03",
    "sgd-0.1": "plain SGD at 0.1",
    "sgd-0.3": "plain SGD at 0.3",
    "batch-norm": "batch normalisation",
}

EXPLANATION = (
    "An explanation: the inputs of block 2 come from a ReLU and are never negative, so the gradients of a unit's "
    "weights tend to share their sign. Adam's first steps change every weight by the learning rate, however small its "
    "gradient. So all 288 weights of a unit move the same way at once, and at a high rate a few steps push the unit "
    "below 0 for every image. [The protocol](protocol-operations.md#why-does-it-collapse-new) says what that predicts. "
    "Lu et al. (2020) describe networks that are born dead; these die. Batch normalisation permits higher rates, "
    "since it keeps activations from growing (Bjorck et al. 2018) or smooths the loss (Santurkar et al. 2018). To "
    "subtract only the mean is due to Salimans and Kingma (2016)."
)


def why_tables(results: Sequence[RunResult]) -> list[Table]:
    """How many runs of each variant collapsed, and where block 2 stands at the decisive step."""
    runs = by_variant(results)
    p_values = fisher_against(runs, NOTEBOOK_RATE)
    rows = []
    for variant in [*rates_of(runs), *CHANGES]:
        arm = summarise(runs[variant])
        rows.append(
            {
                "variant": CHANGES.get(variant, f"Adam at {variant}"),
                "collapsed": count_text(arm.collapsed, arm.runs),
                f"p against {NOTEBOOK_RATE}": number(p_values[variant], P_VALUE) if variant in p_values else NOTHING,
                f"mean / spread at step {DECISIVE_STEP}": number(_median_depth(runs[variant])),
                "test accuracy %": cell(arm.score),
            }
        )
    note = (
        f"300 steps. p: Fisher's exact test, after Holm's correction for {len(p_values)} variants. Mean / spread: of "
        "block 2's pre-activations over a training batch, averaged over channels; medians of the runs. Accuracy: of "
        "the runs that trained."
    )
    return [table("", rows, note)]


def why_sentence(results: Sequence[RunResult]) -> str:
    """Which of the explanation's predictions hold, and whether it also tells which runs die."""
    runs = by_variant(results)
    found = predictions(runs)
    holding, failing = ([name for name, holds in found.items() if holds is wanted] for wanted in (True, False))
    if not failing:
        parts = [f"The explanation is supported, since all its predictions hold: {'; '.join(holding)}."]
    else:
        parts = [f"The explanation is refuted in part. These predictions fail: {'; '.join(failing)}."]
        parts += [f"These hold: {'; '.join(holding)}."] if holding else []
    if telling := tells_apart(runs[NOTEBOOK_RATE]):
        which = f"which runs at {NOTEBOOK_RATE} collapse"
        parts.append(
            f"How far block 2 falls {'also tells' if telling.p < SIGNIFICANCE else 'does not tell'} {which}: at step "
            f"{DECISIVE_STEP}, a run that collapses is lower than one that learns with probability {telling} "
            f"({p_text(telling.p)})."
        )
    return " ".join(parts)


def why_figure(results: Sequence[RunResult]) -> Figure:
    """The depth of block 2 step by step."""
    return depth_figure(by_variant(results))


def collapse_tables(results: Sequence[RunResult]) -> list[Table]:
    """How many runs of each network collapsed, how many of their units are dead, and what they reach."""
    runs = by_arch(results)
    names = layers(runs["maxpool"])
    rows = []
    for arch, own in runs.items():
        arm = summarise(own)
        rows.append(
            {
                "network": arch,
                "collapsed": count_text(arm.collapsed, arm.runs),
                f"dead units in {', '.join(name.removeprefix(DEAD) for name in names)}, %": medians_of(own, names),
                "test accuracy %": cell(arm.score),
            }
        )
    p_values = fisher_against(runs, "maxpool")
    return [table("", rows, f"Fisher's exact test: {p_text(p_values['batchnorm'])}. Dead units: medians.")]


def collapse_sentence(results: Sequence[RunResult]) -> str:
    """Whether MaxPool collapses there too."""
    parts = [
        f"{sum(run.failed for run in runs) or 'none'} of {len(runs)} {name_of(arch)} runs"
        for arch, runs in by_arch(results).items()
    ]
    return f"On Fashion-MNIST, {listed(parts)} collapse within 300 steps at the notebook's setting."


def readme_sentence(results: Sequence[RunResult]) -> str:
    """README's: whether MaxPool collapses on Fashion-MNIST."""
    runs = by_arch(results)["maxpool"]
    return f"On Fashion-MNIST {sum(run.failed for run in runs) or 'none'} of {len(runs)} collapse."


def _median_depth(runs: Sequence[RunResult]) -> float:
    return median(float(depth_of(run)[DECISIVE_STEP]) for run in runs)
