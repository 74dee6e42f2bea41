"""What docs/lab/operations.md says of the collapse: why it happens, and on other images."""

from collections.abc import Mapping, Sequence
from statistics import fmean, median

import numpy as np
from matplotlib.figure import Figure
from scipy.stats import binom

from convblocks.compare.analysis import summarise
from convblocks.compare.report import name_of
from convblocks.figures.estimates import NOTHING, P_VALUE, cell, number, p_text
from convblocks.figures.grouping import by_arch, grouped
from convblocks.figures.tables import Table
from convblocks.run.directory import DEAD
from convblocks.run.result import RunResult
from convblocks.text import listed
from lab import gradients
from lab.blocks import CHANNELS
from lab.estimates import count_text
from lab.mechanism import (
    BLOCK,
    DECISIVE_STEP,
    NOTEBOOK_RATE,
    by_variant,
    depth_figure,
    foretelling,
    medians,
    predictions,
    rates_of,
    survivors,
    tells_apart,
)
from lab.pages.writing import table
from lab.preactivations import FACT, STEPS
from lab.results import collapses
from lab.statistics import fisher_against
from lab.study.dead_units import dead_column, layers

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
    "Our explanation: the inputs of block 2 come from a ReLU and are never negative, so the "
    "gradients of a unit's weights tend to share their sign. Adam's first steps change every "
    "weight by the learning rate, however small its gradient. So most of a unit's 288 weights "
    "move the same way at once, and at a high rate a few steps push it below 0 for every "
    "image. [The protocol](protocol-operations.md#why-does-it-collapse-new) says what that "
    "predicts. Lu et al. (2020) describe networks that are born dead; these die. Batch "
    "normalisation stands behind the pooling here, so it gives block 2 inputs of both signs; "
    "that it keeps activations from growing (Bjorck et al. 2018) or smooths the loss "
    "(Santurkar et al. 2018) are two accounts of why it permits higher rates. Subtracting only "
    "the mean goes back to Salimans and Kingma (2016)."
)


def why_tables(results: Sequence[RunResult]) -> list[Table]:
    """How many runs of each variant collapsed, and where block 2 stands at the decisive step."""
    runs = by_variant(results)
    p_values = fisher_against(runs, NOTEBOOK_RATE)
    rows = []
    for variant in [*rates_of(runs), *CHANGES]:
        own = runs[variant]
        scores = [100 * run.score for run in own if not run.failed]
        rows.append(
            {
                "variant": CHANGES.get(variant, f"Adam at {variant}"),
                "collapsed": count_text(len(own) - len(scores), len(own)),
                f"p against {NOTEBOOK_RATE}": number(p_values[variant], P_VALUE)
                if variant in p_values
                else NOTHING,
                f"mean / spread at step {DECISIVE_STEP}": number(
                    float(medians(own)[DECISIVE_STEP])
                ),
                "test accuracy %": f"{median(scores):.1f} ({min(scores):.1f} to {max(scores):.1f})",
            }
        )
    note = (
        f"300 steps. p: Fisher's exact test, after Holm's correction for {len(p_values)} "
        "variants. Mean / spread: of block 2's pre-activations over a training batch, "
        f"averaged over channels, after {DECISIVE_STEP} updates; medians of the runs. "
        "Accuracy: median, least and greatest of the runs that did not collapse, some of "
        "which have learned little yet. The runs at 0.003 and 0.01 and those with batch "
        "normalisation are the ones above, trained again."
    )
    return [table("", rows, note, *_details(runs))]


def _details(runs: Mapping[str, Sequence[RunResult]]) -> list[str]:
    """Which predictions hold, and what was looked at after the runs."""
    holding = [name for name, holds in predictions(runs).items() if holds]
    dying, same = (
        {run.seed for run in runs[variant] if run.failed}
        for variant in (NOTEBOOK_RATE, "frozen-biases")
    )
    own, units = runs[NOTEBOOK_RATE], CHANNELS[BLOCK]
    counts = {run.seed: survivors(run) for run in own}
    empty = {seed for seed, count in counts.items() if count == 0}
    expected = len(own) * (1 - fmean(counts.values()) / units) ** units
    of_first_block = max(run.facts[FACT]["dead"][-1][0] for every in runs.values() for run in every)
    return [
        f"These predictions hold: {'; '.join(holding)}. Of the {len(same)} seeds that collapse "
        f"with biases that do not learn, {len(dying & same)} are among the {len(dying)} that "
        "collapse with biases that do.",
        f"Looked at after the runs: at {NOTEBOOK_RATE} almost all of block 2 dies in every run. "
        f"After {STEPS - 1} updates at most {max(counts.values())} of its {units} units live. In "
        f"{len(empty)} runs none does, and {'all' if empty <= dying else len(empty & dying)} of "
        "these collapse. If each unit survived alone, with the same probability, there would be "
        f"{expected:.0f} such runs of {len(own)}. In block 1, whose inputs have both signs, at "
        f"most {100 * of_first_block:.0f} % die at any rate.",
    ]


def why_sentence(results: Sequence[RunResult]) -> str:
    """Whether a prediction fails, and whether the explanation also tells which runs collapse."""
    runs = by_variant(results)
    failing = [name for name, holds in predictions(runs).items() if not holds]
    parts = [
        f"Refuted: {'; '.join(failing)}."
        if failing
        else "None of the explanation's predictions is refuted."
    ]
    if telling := tells_apart(runs[NOTEBOOK_RATE]):
        parts.append(
            f"{foretelling(telling)}: at step {DECISIVE_STEP}, a run that collapses is lower than "
            f"one that learns with probability {telling} ({p_text(telling.p)})."
        )
    return " ".join(parts)


def why_figure(results: Sequence[RunResult]) -> Figure:
    """The depth of block 2 step by step."""
    return depth_figure(by_variant(results))


def signs_tables(results: Sequence[RunResult]) -> list[Table]:
    """How far the signs of a unit's gradients agree, and how many units fall, in each
    of the first steps.
    """
    fan_in = [9 * channels for channels in (1, *CHANNELS[:-1])]
    rows = [
        {
            "network": network,
            "block": str(block + 1),
            "agreeing by chance, %": f"{100 * _agreeing_by_chance(fan_in[block]):.0f}",
            **{f"{measure}, %": _by_step(runs, measure, block) for measure in gradients.MEASURES},
        }
        for network, runs in _by_normalisation(results).items()
        for block in range(len(CHANNELS))
    ]
    note = (
        f"Steps 0 to {gradients.STEPS - 1}, means of {len(results) // 2} runs each. Agreeing: the "
        "share of a unit's gradients that have their more frequent sign. Falling: the share of "
        "units most of whose gradients are positive, so that their weights fall. Units without a "
        "gradient do not count. In block 1, whose inputs have both signs, gradients agree too, "
        "though it does not die: a shared sign is not enough."
    )
    return [table("", rows, note)]


def signs_sentence(results: Sequence[RunResult]) -> str:
    """How far the signs agree in block 2, with and without batch normalisation, and how
    many units fall at once.
    """
    runs = _by_normalisation(results)
    agreeing = {network: _means(own, "agreeing", BLOCK) for network, own in runs.items()}
    falling = _means(runs[PLAIN], "falling", BLOCK)
    least, most = (f"{100 * choose(agreeing[PLAIN]):.0f}" for choose in (min, max))
    others = max(agreeing[NORMALISED])
    return (
        f"In block 2, {least} to {most} % of a unit's gradients agree in sign in the first "
        f"{gradients.STEPS} steps, at most {100 * others:.0f} % with batch normalisation. In the "
        f"second step, {100 * falling[1]:.0f} % of the units fall."
    )


PLAIN, NORMALISED = "MaxPool", "with batch normalisation"


def _by_normalisation(results: Sequence[RunResult]) -> dict[str, list[RunResult]]:
    names = {"none": PLAIN, "batch": NORMALISED}
    return grouped(results, lambda run: names[dict(run.overrides)["network.normalisation"]])


def _means(runs: Sequence[RunResult], measure: str, block: int) -> list[float]:
    """The mean of a measure over the runs in which it is known, at each step."""
    values = np.array(
        [[step[block] for step in run.facts[gradients.FACT][measure]] for run in runs]
    )
    means: list[float] = np.nanmean(values, axis=0).tolist()
    return means


def _by_step(runs: Sequence[RunResult], measure: str, block: int) -> str:
    return ", ".join(f"{100 * mean:.0f}" for mean in _means(runs, measure, block))


def _agreeing_by_chance(signs: int) -> float:
    """The expected share of the more frequent of so many random signs."""
    counts = np.arange(signs + 1)
    return float(np.maximum(counts, signs - counts) @ binom.pmf(counts, signs, 0.5) / signs)


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
    """Whether MaxPool collapses there too."""
    parts = [
        f"{collapses(runs) or 'none'} of {len(runs)} {name_of(arch)} runs"
        for arch, runs in by_arch(results).items()
    ]
    return (
        f"On Fashion-MNIST, {listed(parts)} collapse within 300 steps at the notebook's setting, "
        f"though {_dying(results)} die in MaxPool."
    )


def readme_sentence(results: Sequence[RunResult]) -> str:
    """README's: whether MaxPool collapses on Fashion-MNIST."""
    runs = by_arch(results)["maxpool"]
    collapsed = collapses(runs) or "none"
    return f"On Fashion-MNIST {collapsed} of {len(runs)} collapse, though {_dying(results)} die."


def _dying(results: Sequence[RunResult]) -> str:
    """``91 % of block 2's units``, a median of MaxPool's runs."""
    share = median(run.final[f"{DEAD}relu{BLOCK + 1}"] for run in by_arch(results)["maxpool"])
    return f"{100 * share:.0f} % of block {BLOCK + 1}'s units"
