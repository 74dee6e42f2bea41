"""The results of finished runs, as a comparison needs them."""

import math
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from convblocks.comparison.trials import Settings, Trial
from convblocks.data.image_spec import ImageSpec
from convblocks.model.names import short_name
from convblocks.model.optimizers import CONSTANT

Item = TypeVar("Item")
Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True)
class Images:
    """The images of a run; it has collapsed if its final accuracy is at most ``chance_threshold``."""

    image_spec: ImageSpec
    test_images: int
    chance_threshold: float


@dataclass(frozen=True)
class Provenance:
    """What a run ran on: machine and versions in one line, threads, processes, and the commit of the code."""

    machine: str
    threads: int
    processes: int
    commit: str | None


@dataclass(frozen=True)
class RunResult:
    """The results of one finished run. Losses are means over an epoch's training images, accuracies in 0..1.

    A run that diverged has collapsed; a loss that it has no more is nan. ``epochs`` has the rows of metrics.csv:
    ``train/loss``, ``test/acc`` or ``val/acc``, ``seconds``, and ``dead/<layer>``, the share of silent units.
    ``mistakes`` has the numbers of the test images that it got wrong, None where the run does not tell; ``data`` the
    MD5 of each part of the data; ``schedule`` is the short name of the learning rate's.
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
    provenance: Provenance
    mistakes: tuple[int, ...] | None = None
    data: dict[str, str] | None = None
    schedule: str = CONSTANT


def read_outcome(trial: Trial) -> RunResult:
    """The outcome of a trial that is done.

    Raises:
        UserError: its summary is missing or damaged, or its mistakes are.
    """
    summary: dict[str, Any] = trial.run.read_summary()
    epochs = summary["epochs"][: trial.epochs] if trial.epochs > 0 else summary["epochs"]
    evaluations = [row for row in [*epochs, *summary.get("evaluations", [])] if "val/loss" in row]
    finite = [row for row in evaluations if math.isfinite(row["val/loss"])]
    best = min(finite or evaluations, key=lambda row: row["val/loss"], default=None)
    final = summary["final"]["test/acc"]
    # Otherwise the run went on after the epochs that count here, and what it says of its end is of other weights.
    is_final = best is not None or len(epochs) == len(summary["epochs"])
    accuracy = final if is_final else epochs[-1].get("test/acc", final)
    mistakes = trial.run.read_mistakes() if is_final else None
    manifest = summary.get("manifest") or {}
    return RunResult(
        arch=trial.arch,
        settings=trial.settings,
        seed=trial.seed,
        parameters=summary["parameters"],
        first_loss=epochs[0]["train/loss"],
        last_loss=epochs[-1]["train/loss"],
        accuracy=accuracy,
        validation=best["val/acc"] if best else None,
        collapsed=summary["collapsed"]
        if is_final
        else accuracy <= summary["chance_threshold"] or not math.isfinite(epochs[-1]["train/loss"]),
        seconds=sum(row["seconds"] for row in epochs),
        epochs=tuple(epochs),
        images=Images(
            ImageSpec.from_dict(summary["data"]["image_spec"]),
            summary["data"]["test_images"],
            summary["chance_threshold"],
        ),
        provenance=Provenance(
            summary.get("machine", "unknown"),
            summary.get("threads", 0),
            summary.get("processes", 1),
            manifest.get("git_commit"),
        ),
        mistakes=None if mistakes is None else tuple(mistake.image for mistake in mistakes),
        data=manifest.get("data"),
        schedule=short_name(trial.run.read_config()["lr_scheduler"]),
    )


def time_to(outcome: RunResult, accuracy: float) -> tuple[int, float] | None:
    """After how many epochs, and seconds of training and evaluation, a run had that accuracy; None if it never had."""
    seconds = 0.0
    for number, (row, reached) in enumerate(zip(outcome.epochs, accuracies(outcome), strict=True), start=1):
        seconds += row["seconds"]
        if reached >= accuracy:
            return number, seconds
    return None


def died_in(outcome: RunResult) -> int | None:
    """The epoch in which a run that had learned something lost it for good; None for any other."""
    learned = learned_in(outcome)
    return learned[-1] + 1 if outcome.collapsed and learned and learned[-1] < len(outcome.epochs) else None


def learned_in(outcome: RunResult) -> list[int]:
    """The epochs after which a run was better than one that has collapsed."""
    return [number for number, one in enumerate(accuracies(outcome), start=1) if one > outcome.images.chance_threshold]


def accuracies(outcome: RunResult) -> list[float]:
    """The accuracy after each epoch, on validation images where there are any; nan where it was not measured."""
    return [row.get("val/acc", row.get("test/acc", math.nan)) for row in outcome.epochs]


def best_settings(outcomes: Sequence[RunResult]) -> list[RunResult]:
    """The runs at each architecture's setting with the highest mean validation accuracy; the test set has no say."""

    def score(runs: list[RunResult]) -> tuple[float, Settings]:
        return mean_validation(runs), runs[0].settings

    best = [max(by_settings(own).values(), key=score) for own in by_arch(outcomes).values()]
    return [outcome for runs in best for outcome in runs]


def mean_validation(outcomes: Sequence[RunResult]) -> float:
    return float(np.mean([outcome.validation for outcome in outcomes]))


def by_arch(outcomes: Sequence[RunResult]) -> dict[str, list[RunResult]]:
    """The runs of each architecture, in the order in which they come."""
    return grouped(outcomes, lambda one: one.arch)


def by_settings(outcomes: Sequence[RunResult]) -> dict[Settings, list[RunResult]]:
    """The runs at each setting, in the order in which they come."""
    return grouped(outcomes, lambda one: one.settings)


def grouped(items: Iterable[Item], key: Callable[[Item], Key]) -> dict[Key, list[Item]]:
    """Whatever has the same key together, in the order in which it comes."""
    found: dict[Key, list[Item]] = {}
    for one in items:
        found.setdefault(key(one), []).append(one)
    return found
