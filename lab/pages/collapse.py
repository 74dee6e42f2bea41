"""What docs/lab/collapse.md says of why the collapse happens."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from math import nan
from statistics import fmean, median

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.stats import binom

from convblocks.compare.statistics import SIGNIFICANCE
from convblocks.figures.curves import wrapped
from convblocks.figures.estimates import P_VALUE, Estimate, number, p_text
from convblocks.figures.grouping import by_arch, grouped
from convblocks.figures.style import LETTERS, WIDTH, End, label_ends, muted, style
from convblocks.figures.tables import Table
from convblocks.record.directory import DEAD
from convblocks.record.result import RunResult
from convblocks.text import listed
from lab import gradients
from lab.blocks import CHANNELS
from lab.estimates import count_text
from lab.mechanism import (
    AS_BEFORE,
    BLOCK,
    DECISIVE_STEP,
    FALLS,
    NOTEBOOK_RATE,
    by_variant,
    dead_at,
    depth_of,
    fall_of,
    medians,
    predictions,
    rates_of,
    tells_apart,
)
from lab.pages.writing import DATA, table
from lab.preactivations import STEPS
from lab.results import collapses, read_results
from lab.statistics import fisher_against, sign_p
from lab.study.dead_units import dead_column, layers
from lab.study.decision import at_notebooks

# The other changes in words.
CHANGES = {
    "frozen-biases": "biases that do not learn",
    "asymmetric": "asymmetric initial weights (Lu et al. 2020)",
    "sgd-0.03": "plain SGD at 0.03",
    "sgd-0.1": "plain SGD at 0.1",
    "sgd-0.3": "plain SGD at 0.3",
    "batch-norm": "batch normalisation",
}

# The factorial's networks in which block 1 dies most.
AT_HIGH_RATE = {("network.normalisation", "none"), ("network.head", "flatten"), ("lr", "3e-2")}


def why_tables(results: Sequence[RunResult]) -> list[Table]:
    """How many runs of each variant collapsed, and where block 2 stands at the decisive step."""
    runs = by_variant(results)
    p_values = fisher_against(runs, NOTEBOOK_RATE)
    names = layers(results)
    rows = []
    for variant in [*rates_of(runs), *CHANGES]:
        own = runs[variant]
        scores = [100 * run.score for run in own if not run.failed]
        rows.append(
            {
                "variant": CHANGES.get(variant, f"Adam at {variant}"),
                "collapsed": count_text(len(own) - len(scores), len(own)),
                f"p against {NOTEBOOK_RATE}": number(p_values.get(variant, nan), P_VALUE),
                f"mean / spread at step {DECISIVE_STEP}": number(
                    float(medians(own)[DECISIVE_STEP])
                ),
                **dead_column(own, names),
                "test accuracy %": f"{median(scores):.1f} ({min(scores):.1f} to {max(scores):.1f})",
            }
        )
    details = _outcomes(runs), _deaths(runs[NOTEBOOK_RATE]), _fast_sgd(runs), _block_1(results)
    return [table("", rows, *details)]


def _outcomes(runs: Mapping[str, Sequence[RunResult]]) -> str:
    """Which predictions hold, and how those of collapses as before came out."""
    holds = predictions(runs)
    holding = [name for name in holds if holds[name] and name not in AS_BEFORE.values()]
    own, frozen, asymmetric = (runs[name] for name in (NOTEBOOK_RATE, *AS_BEFORE))
    dying, same = ({run.seed for run in arm if run.failed} for arm in (own, frozen))
    (p,) = fisher_against({"": own, "asymmetric": asymmetric}, "").values()
    return (
        f"These predictions hold: {'; '.join(holding)}. Two variants were to "
        f"collapse as before, in {len(dying)} of {len(own)} runs. With biases that "
        f"do not learn {len(same)} collapse, {len(dying & same)} of them with the "
        f"same seeds. With asymmetric initial weights {collapses(asymmetric)} "
        f"collapse ({p_text(p)} before the correction): not as predicted, though "
        "the protocol's rule does not call that refuted."
    )


def _deaths(own: Sequence[RunResult]) -> str:
    """How many units of block 2 are left at the notebook's rate, and what tells runs that
    collapse from the others.
    """
    units = CHANNELS[BLOCK]
    dying = {run.seed for run in own if run.failed}
    counts = {run.seed: round((1 - dead_at(-1, run)) * units) for run in own}
    empty = {seed for seed, count in counts.items() if count == 0}
    expected = len(own) * (1 - fmean(counts.values()) / units) ** units
    steps = range(DECISIVE_STEP - 1, DECISIVE_STEP + 2)
    found = {step: _telling(own, partial(dead_at, step)) for step in steps}
    telling = [f"{one} at step {step} ({p_text(one.p)})" for step, one in found.items()]
    tells = "does tell" if found[steps[-1]].p < SIGNIFICANCE else "was not shown to tell"
    return (
        f"Looked at after the runs: at {NOTEBOOK_RATE} almost all of block 2 dies "
        f"in every run. After {STEPS - 1} updates at most {max(counts.values())} "
        f"of its {units} units live. In {len(empty)} runs none does, and "
        f"{'all' if empty <= dying else len(empty & dying)} of these collapse. If "
        "each unit survived alone, with the same probability, there would be "
        f"{expected:.0f} such runs of {len(own)}. How many have died {tells} "
        f"which runs collapse, once most have: one of the {len(dying)} that do has "
        "more dead units in the batch than one of the others with probability "
        f"{listed(telling)}, without correction. That is hardly a surprise, as a "
        "run with a dead layer cannot learn."
    )


def _fast_sgd(runs: Mapping[str, Sequence[RunResult]]) -> str:
    """What SGD's highest rate kills, and which runs end at chance without having collapsed."""
    fast = "sgd-0.3"
    counted = [replace(run, failed=run.score <= run.facts["chance"]) for run in runs[fast]]
    shares = [run.final[f"{DEAD}relu{BLOCK + 1}"] for run in counted]
    ends = [
        f"seed {run.seed}, with {100 * run.score:.2f} % right, a test loss of "
        f"{run.final['test/loss']:.4f} and {100 * run.final[f'{DEAD}relu3']:.0f} % "
        "of block 3 dead"
        for run in counted
        if run.failed
    ]
    said = (
        "SGD at 0.3 kills units too: of block 2 a median of "
        f"{100 * median(shares):.0f} %, at most {100 * max(shares):.0f} %."
    )
    if ends:
        p = fisher_against({**runs, fast: counted}, NOTEBOOK_RATE)[fast]
        said += (
            f" ({len(ends)} of its runs ends at chance, and did not collapse by the "
            "registered rule, which also looks at the training images of the whole epoch: "
            f"{listed(ends)}; ln 10 is 2.3026. If that counted, p would be "
            f"{number(p, P_VALUE)}.)"
        )
    return said


def _block_1(results: Sequence[RunResult]) -> str:
    """How much of block 1 dies: in these runs, in the study's, and in the factorial's."""
    names = layers(results)
    first = names[0]
    study = at_notebooks(read_results(DATA / "study-confirm.jsonl"))
    shares = [run.final[first] for run in by_arch(study)["maxpool"] if not run.failed]
    high = [
        run for run in read_results(DATA / "factorial.jsonl") if {*run.overrides} >= AT_HIGH_RATE
    ]
    by_downsampling = grouped(high, lambda run: dict(run.overrides)["network.downsampling"])
    found = [
        f"{''.join(dead_column(own, names).values())} % with {name} (medians of {len(own)} runs)"
        for name, own in by_downsampling.items()
    ]
    return (
        "Block 1, whose inputs have both signs, hardly dies here: at most "
        f"{100 * max(run.final[first] for run in results):.0f} % of it in "
        f"{len(results)} runs. But it dies later. After five epochs at "
        f"{NOTEBOOK_RATE}, {100 * min(shares):.0f} to {100 * max(shares):.0f} % of "
        f"it are dead (median {100 * median(shares):.0f} %) in the {len(shares)} "
        "MaxPool runs of [the study](results.md) that trained. In [the "
        "factorial](operations.md#which-operation-makes-the-difference) it dies most of all, "
        "in networks that flatten without normalisation, with one cycle up to "
        f"0.03. Dead in blocks 1, 2, 3: {listed(found)}. One cycle begins with "
        "warm-up, which does not prevent that. So the explanation above is not "
        "one of dying in general."
    )


def why_sentence(results: Sequence[RunResult]) -> str:
    """Whether a prediction fails, and whether the explanation also tells which runs collapse."""
    runs = by_variant(results)
    failing = [name for name, holds in predictions(runs).items() if not holds]
    ruling = (
        "None of the explanation's predictions is refuted, but they also follow "
        "if any step that is too large kills units."
    )
    if failing:
        ruling = f"Refuted: {'; '.join(failing)}."
    telling = _telling(runs[NOTEBOOK_RATE])
    return (
        f"{ruling} {_foretelling(telling)}: at step {DECISIVE_STEP}, a run that "
        f"collapses is lower than one that learns with probability {telling} "
        f"({p_text(telling.p)})."
    )


def _telling(runs: Sequence[RunResult], value: Callable[[RunResult], float] = fall_of) -> Estimate:
    """How well a value tells the runs that collapse from the others, of which there are both."""
    found = tells_apart(runs, value)
    assert found, "no run collapsed, or all did"
    return found


def _foretelling(telling: Estimate) -> str:
    """Whether that was shown."""
    finding = "predicts" if telling.p < SIGNIFICANCE else "was not shown to predict"
    return f"How far block 2 falls {finding} which runs at {NOTEBOOK_RATE} collapse"


def why_figure(results: Sequence[RunResult]) -> Figure:
    """The depth of block 2 at each step: runs at the notebook's rate that die and that
    live, and each rate's median.
    """
    runs = by_variant(results)
    figure = Figure(figsize=(WIDTH, 5.0), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    own = sorted(runs[NOTEBOOK_RATE], key=lambda run: run.failed)
    for run in own:
        colour, width = (style(1).colour, 1.8) if run.failed else (muted(), 0.8)
        left.plot(depth_of(run), color=colour, linewidth=width)
    ends = []
    for rate in rates_of(runs):
        depths = medians(runs[rate])
        right.plot(depths, color=style(0).colour, linewidth=1.8)
        ends.append(End(rate, len(depths) - 1, depths[-1], style(0).colour))
    finding = FALLS if predictions(runs)[FALLS] else f"not shown: {FALLS}"
    titles = {left: _foretelling(_telling(own)), right: f"By step {DECISIVE_STEP}, {finding}"}
    for axes, title in titles.items():
        axes.set(xlabel="step", title=wrapped(title, 40))
        axes.axhline(0, color=muted(), linewidth=0.8)
        axes.axvline(DECISIVE_STEP, color=muted(), ls="--")
    left.set_ylabel("mean / spread of block 2's pre-activations")
    figure.supxlabel(
        f"left: all runs at {NOTEBOOK_RATE}, thick: the {collapses(own)} of "
        f"{len(own)} that collapse; right: each rate's median; dashed: step "
        f"{DECISIVE_STEP}",
        fontsize=LETTERS,
    )
    label_ends(figure, [(right, ends)])
    return figure


def signs_tables(results: Sequence[RunResult]) -> list[Table]:
    """How far the signs of a unit's gradients agree, and how many units fall, in each
    of the first steps.
    """
    rows = [
        {
            "network": network,
            "block": str(block + 1),
            "agreeing by chance, %": " to ".join(
                f"{100 * _agreeing_by_chance(signs):.0f}" for signs in (9 * channels, channels)
            ),
            **{f"{measure}, %": _by_step(runs, measure, block) for measure in gradients.MEASURES},
        }
        for network, runs in _by_normalisation(results).items()
        for block, channels in enumerate((1, *CHANNELS[:-1]))
    ]
    return [table("", rows)]


def signs_sentence(results: Sequence[RunResult]) -> str:
    """How far the signs agree in block 2, with and without batch normalisation, and how
    many units fall at once.
    """
    runs = _by_normalisation(results)
    plain, normalised = (_values(own, "agreeing", BLOCK) for own in runs.values())
    means = 100 * plain.mean(axis=0)
    more, n = int(np.all(plain > normalised, axis=1).sum()), len(plain)
    falling = _values(runs["MaxPool"], "falling", BLOCK)[:, 1].mean()
    return (
        f"In block 2, {means.min():.0f} to {means.max():.0f} % of a unit's "
        f"gradients agree in sign in the first {gradients.STEPS} steps, at most "
        f"{100 * normalised.mean(axis=0).max():.0f} % with batch normalisation. "
        f"With {more} of {n} seeds it is more in each step "
        f"({p_text(sign_p(more, n - more))}, a sign test that was not "
        f"registered). In the second step, most gradients of {100 * falling:.0f} % "
        "of the units push their weights down (means over the runs)."
    )


def _by_normalisation(results: Sequence[RunResult]) -> dict[str, list[RunResult]]:
    """Each network's runs in the order of their seeds, MaxPool's first."""
    names = {"none": "MaxPool", "batch": "with batch normalisation"}
    ordered = sorted(results, key=lambda run: run.seed)
    return grouped(ordered, lambda run: names[dict(run.overrides)["network.normalisation"]])


def _values(runs: Sequence[RunResult], measure: str, block: int) -> NDArray[np.float64]:
    """A measure of each run at each step, (runs, steps); nan where it is not known."""
    return np.array([[step[block] for step in run.facts[gradients.FACT][measure]] for run in runs])


def _by_step(runs: Sequence[RunResult], measure: str, block: int) -> str:
    means = np.nanmean(_values(runs, measure, block), axis=0)
    return ", ".join(f"{100 * mean:.0f}" for mean in means)


def _agreeing_by_chance(signs: int) -> float:
    """The expected share of the more frequent of so many random signs."""
    counts = np.arange(signs + 1)
    return float(np.maximum(counts, signs - counts) @ binom.pmf(counts, signs, 0.5) / signs)
