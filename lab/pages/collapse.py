"""What docs/lab/operations.md says of the collapse: why it happens, and on other images."""

from collections.abc import Sequence
from statistics import median

from matplotlib.figure import Figure

from convblocks.compare.analysis import summarise
from convblocks.figures.estimates import NOTHING, P_VALUE, cell, number, p_text
from convblocks.figures.grouping import by_arch
from convblocks.figures.tables import Table
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
    "An explanation: a block's inputs come from a ReLU, so they are never negative, and the gradients of a unit's "
    "weights tend to share their sign. Adam's first steps move every weight by the learning rate. So all 288 weights "
    "of a unit of block 2 move the same way at once, and at a high rate a few steps push the unit below 0 for every "
    "image. [The protocol](protocol-operations.md#why-does-it-collapse-new) says what that predicts. Lu et al. (2020) "
    "describe networks that are born dead; these die. Bjorck et al. (2018) find that batch normalisation permits "
    "higher rates since it keeps activations from growing, Santurkar et al. (2018) that it smooths the loss; Salimans "
    "and Kingma (2016) subtract only the mean."
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
    """Which of the explanation's predictions hold."""
    runs = by_variant(results)
    found = predictions(runs)
    holding = [name for name, holds in found.items() if holds]
    failing = [name for name, holds in found.items() if not holds]
    verdict = (
        f"All {len(found)} predictions of the explanation hold"
        if not failing
        else f"{len(holding)} of {len(found)} predictions of the explanation hold"
    )
    parts = [f"{verdict}: {listed(holding)}." if holding else f"{verdict}."]
    parts += [f"Refuted: {listed(failing)}."] if failing else []
    if telling := tells_apart(runs[NOTEBOOK_RATE]):
        parts.append(
            f"At {NOTEBOOK_RATE}, a run that collapses has block 2 further below 0 at step {DECISIVE_STEP} than one "
            f"that learns with probability {telling} ({p_text(telling.p)})."
        )
    return " ".join(parts)


def why_figure(results: Sequence[RunResult]) -> Figure:
    """The depth of block 2 step by step."""
    return depth_figure(by_variant(results))


def collapse_tables(results: Sequence[RunResult]) -> list[Table]:
    """How many runs of each network collapsed."""
    p_values = fisher_against(by_arch(results), "maxpool")
    rows = [
        {"network": arch, "collapsed": count_text(sum(run.failed for run in runs), len(runs))}
        for arch, runs in by_arch(results).items()
    ]
    return [table("", rows, f"Fisher's exact test: {p_text(p_values['batchnorm'])}.")]


def collapse_sentence(results: Sequence[RunResult]) -> str:
    """Whether MaxPool collapses there too."""
    counts = {arch: sum(run.failed for run in runs) for arch, runs in by_arch(results).items()}
    total = len(by_arch(results)["maxpool"])
    return (
        f"On Fashion-MNIST {counts['maxpool']} of {total} MaxPool runs collapse within 300 steps at the notebook's "
        f"setting, and {counts['batchnorm'] or 'none'} of {total} BatchNorm runs."
    )


def readme_sentence(results: Sequence[RunResult]) -> str:
    """README's: whether MaxPool collapses on Fashion-MNIST."""
    runs = by_arch(results)["maxpool"]
    return f"On Fashion-MNIST {sum(run.failed for run in runs) or 'none'} of {len(runs)} collapse."


def _median_depth(runs: Sequence[RunResult]) -> float:
    return median(float(depth_of(run)[DECISIVE_STEP]) for run in runs)
