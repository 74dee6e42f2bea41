"""The numbers behind a comparison: finished runs in, means, paired differences and verdicts out."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Literal

import numpy as np

from convblocks.comparison.statistics import (
    SIGNIFICANCE,
    Mean,
    PairedDifference,
    mean_interval,
    paired_differences,
    sufficient_n,
    wilson_interval,
)
from convblocks.comparison.trials import Settings, Trial, settings_name
from convblocks.data.description import Description

Metric = Literal["first_loss", "last_loss", "accuracy"]
METRICS: tuple[Metric, ...] = ("first_loss", "last_loss", "accuracy")

Verdict = Literal["supported", "not supported", "undecided"]

# "Roughly equal": the largest network has at most a tenth more parameters than the smallest.
ROUGHLY_EQUAL = 1.1


@dataclass(frozen=True)
class Images:
    """What a run was trained and judged on; it collapsed if its accuracy never got above ``collapsed_below``."""

    description: Description
    test_images: int
    collapsed_below: float


@dataclass(frozen=True)
class Outcome:
    """The results of one finished run. Losses are means over an epoch's training images, accuracies in 0..1.

    A run that diverged has collapsed; a loss that it has no more is nan. ``data`` has the MD5 of each file of images or
    labels, None where the run does not tell.
    """

    arch: str
    settings: Settings
    seed: int
    parameters: int
    first_loss: float
    last_loss: float
    accuracy: float
    validation: float | None
    collapsed: bool
    seconds: float
    epochs: tuple[dict[str, float], ...]
    images: Images
    data: dict[str, str] | None = None


@dataclass(frozen=True)
class ArchitectureRow:
    """One line of the notebook's table, over all seeds; ``median`` is that of the accuracy."""

    arch: str
    parameters: int
    first_loss: Mean
    last_loss: Mean
    accuracy: Mean
    median: float
    collapsed: int
    collapse_interval: tuple[float, float]


@dataclass(frozen=True)
class Difference:
    """``first`` minus ``second`` in one metric, paired by seed; ``result`` is None where no pair is left."""

    metric: Metric
    first: str
    second: str
    result: PairedDifference | None


@dataclass(frozen=True)
class Claim:
    """A claim of the notebook, the verdict on it, and the comparisons that it rests on."""

    text: str
    verdict: Verdict
    evidence: tuple[Difference, ...]


@dataclass(frozen=True)
class Reading:
    """Differences and claims over some of the pairs of runs: all, or those in which both runs trained."""

    pairs: Literal["all", "trained"]
    differences: tuple[Difference, ...]
    claims: tuple[Claim, ...]
    smallest_n: int
    sufficient_n: int


@dataclass(frozen=True)
class Comparison:
    """Architectures against each other, each at one setting, on the same images."""

    images: Images
    rows: tuple[ArchitectureRow, ...]
    readings: tuple[Reading, ...]


def read_outcome(trial: Trial) -> Outcome:
    """The outcome of a trial that is done.

    Raises:
        UserError: its summary is missing or damaged.
    """
    summary: dict[str, Any] = trial.run.read_summary()
    epochs = summary["epochs"][: trial.epochs] if trial.epochs > 0 else summary["epochs"]
    evaluations = [row for row in [*epochs, *summary.get("evaluations", [])] if "val/loss" in row]
    finite = [row for row in evaluations if math.isfinite(row["val/loss"])]
    best = min(finite or evaluations, key=lambda row: row["val/loss"], default=None)
    final = summary["final"]["test/acc"]
    return Outcome(
        arch=trial.arch,
        settings=trial.settings,
        seed=trial.seed,
        parameters=summary["parameters"],
        first_loss=epochs[0]["train/loss"],
        last_loss=epochs[-1]["train/loss"],
        accuracy=final if best else epochs[-1].get("test/acc", final),
        validation=best["val/acc"] if best else None,
        collapsed=summary["collapsed"],
        seconds=sum(row["seconds"] for row in epochs),
        epochs=tuple(epochs),
        images=Images(
            Description.from_dict(summary["data"]["description"]),
            summary["data"]["test_images"],
            summary["collapsed_below"],
        ),
        data=(summary.get("manifest") or {}).get("data"),
    )


def compare(outcomes: Sequence[Outcome]) -> Comparison:
    """Compare the architectures among runs that have at most one setting for each.

    The architectures come in the order of the registry; of two, the later one is the first of a difference.
    """
    rows = tuple(_row(own) for own in by_arch(outcomes).values())
    return Comparison(outcomes[0].images, rows, (_read(outcomes, rows, "all"), _read(outcomes, rows, "trained")))


def sets_to_compare(outcomes: Sequence[Outcome], has_grid: bool) -> dict[str, list[Outcome]]:
    """The sets of runs to compare, by title: without a grid all; else each architecture at its own best setting.

    Without a validation split nothing may be chosen, so every setting is compared on its own.
    """
    if not has_grid:
        return {"": list(outcomes)}
    if all(outcome.validation is not None for outcome in outcomes):
        return {"Each network at its own best setting, chosen on validation images": best_settings(outcomes)}
    return {settings_name(settings): here for settings, here in by_settings(outcomes).items()}


def best_settings(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """The runs at each architecture's setting with the highest mean validation accuracy; the test set has no say."""

    def score(runs: list[Outcome]) -> tuple[float, Settings]:
        return mean_validation(runs), runs[0].settings

    best = [max(by_settings(own).values(), key=score) for own in by_arch(outcomes).values()]
    return [outcome for runs in best for outcome in runs]


def mean_validation(outcomes: Sequence[Outcome]) -> float:
    return float(np.mean([outcome.validation for outcome in outcomes]))


def by_arch(outcomes: Sequence[Outcome]) -> dict[str, list[Outcome]]:
    """The runs of each architecture, in the order in which they come."""
    return {arch: [one for one in outcomes if one.arch == arch] for arch in dict.fromkeys(one.arch for one in outcomes)}


def by_settings(outcomes: Sequence[Outcome]) -> dict[Settings, list[Outcome]]:
    """The runs at each setting, in the order in which they come."""
    found = dict.fromkeys(one.settings for one in outcomes)
    return {settings: [one for one in outcomes if one.settings == settings] for settings in found}


def _row(outcomes: Sequence[Outcome]) -> ArchitectureRow:
    collapsed = sum(outcome.collapsed for outcome in outcomes)
    return ArchitectureRow(
        arch=outcomes[0].arch,
        parameters=outcomes[0].parameters,
        first_loss=mean_interval(_finite(outcome.first_loss for outcome in outcomes)),
        last_loss=mean_interval(_finite(outcome.last_loss for outcome in outcomes)),
        accuracy=mean_interval([outcome.accuracy for outcome in outcomes]),
        median=float(np.median([outcome.accuracy for outcome in outcomes])),
        collapsed=collapsed,
        collapse_interval=wilson_interval(collapsed, len(outcomes)),
    )


def _read(outcomes: Sequence[Outcome], rows: Sequence[ArchitectureRow], pairs: Literal["all", "trained"]) -> Reading:
    kept = [outcome for outcome in outcomes if pairs == "all" or not outcome.collapsed]
    keys = [
        (metric, first.arch, second.arch) for metric in METRICS for first, second in combinations(reversed(rows), 2)
    ]
    samples = [_paired(kept, metric, first, second) for metric, first, second in keys]
    results = paired_differences(samples)
    differences = tuple(Difference(*key, result) for key, result in zip(keys, results, strict=True))
    return Reading(
        pairs=pairs,
        differences=differences,
        claims=_claims(rows, differences),
        smallest_n=min((len(first) for first, _ in samples), default=0),
        sufficient_n=sufficient_n(len(differences)),
    )


def _finite(values: Iterable[float]) -> list[float]:
    return [value for value in values if math.isfinite(value)]


def _paired(outcomes: Sequence[Outcome], metric: Metric, first: str, second: str) -> tuple[list[float], list[float]]:
    """The metric of both architectures for the seeds with which both have it, in the same order."""
    values = {(outcome.arch, outcome.seed): getattr(outcome, metric) for outcome in outcomes}
    values = {key: value for key, value in values.items() if math.isfinite(value)}
    seeds = [seed for arch, seed in values if arch == first and (second, seed) in values]
    return [values[first, seed] for seed in seeds], [values[second, seed] for seed in seeds]


def _claims(rows: Sequence[ArchitectureRow], differences: Sequence[Difference]) -> tuple[Claim, ...]:
    """The notebook's five claims, as far as the architectures that they name were run."""
    if not {"mlp", "maxpool", "batchnorm"} <= {row.arch for row in rows}:
        return ()
    both = (("maxpool", "mlp"), ("batchnorm", "mlp"))
    counts = [row.parameters for row in rows if row.arch in ("mlp", "maxpool", "batchnorm")]
    equal = max(counts) <= ROUGHLY_EQUAL * min(counts)
    return (
        Claim("The three networks have roughly equal numbers of parameters", _of(equal), ()),
        _claim("Both convolutional networks train faster than the MLP", differences, "first_loss", both, -1),
        _claim("Both convolutional networks converge to a lower loss", differences, "last_loss", both, -1),
        _claim("Both convolutional networks test better than the MLP", differences, "accuracy", both, +1),
        _claim("BatchNorm is much better than MaxPool", differences, "accuracy", (("batchnorm", "maxpool"),), +1),
    )


def _of(holds: bool) -> Verdict:
    return "supported" if holds else "not supported"


def _claim(
    text: str, differences: Sequence[Difference], metric: Metric, pairs: Sequence[tuple[str, str]], sign: int
) -> Claim:
    """A claim that in all these pairs the first is above (sign 1) or below (sign -1) the second."""
    evidence = tuple(one for one in differences if one.metric == metric and (one.first, one.second) in pairs)
    verdicts = [verdict(difference.result, sign) for difference in evidence]
    if all(one == "supported" for one in verdicts):
        return Claim(text, "supported", evidence)
    return Claim(text, "not supported" if "not supported" in verdicts else "undecided", evidence)


def verdict(result: PairedDifference | None, sign: int) -> Verdict:
    """Whether a difference has the claimed sign, has the other, or is not significant after Holm's correction."""
    if result is None or result.p_adjusted >= SIGNIFICANCE:
        return "undecided"
    return _of(result.difference.mean * sign > 0)
