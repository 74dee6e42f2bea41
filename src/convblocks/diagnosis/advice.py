"""Names what is wrong with a finished run: the evidence, and the settings to try next."""

import math
from typing import NamedTuple

from convblocks.data.module import ImageDataModule
from convblocks.diagnosis.collapse import (
    chance_accuracy,
    dead_units_in,
    has_enough_steps,
    is_falling,
)
from convblocks.record.result import RunResult
from convblocks.text import counted, listed

# Accuracies on training and test images this far apart, and by this many standard
# errors, mean overfitting.
LEAST_GAP, STANDARD_ERRORS = 0.1, 3

# The share of dead units from which on a layer is worth a sentence.
HALF_DEAD = 0.5


class Diagnosis(NamedTuple):
    """A sentence with the evidence, and options of fit to try next; none if it takes
    more than options.
    """

    sentence: str
    options: tuple[str, ...] = ()


def diagnose(data: ImageDataModule, result: RunResult, diverged_at: int | None) -> Diagnosis | None:
    """The first of these that a run shows: it diverged, collapsed, was too short,
    overfitted, or has dead units.

    Args:
        data: The data of the finished run.
        result: The result of the run, with the facts ``images`` and ``chance``, and
            ``collapsed_in`` if it failed.
        diverged_at: The step after which its loss or a weight was no longer finite, if
            any.
    """
    if diverged_at is not None or not math.isfinite(result.final["test/loss"]):
        when = "" if diverged_at is None else f"after step {diverged_at} "
        return Diagnosis(
            f"This run diverged: {when}its loss or a weight was not finite, "
            "and its last weights are useless.",
            _lower_rate(result, by=10),
        )
    # The weights are those of the last epoch or, with validation images, of the best
    # evaluation.
    tested = result.best_evaluation or result.epochs[-1]
    epoch = result.epochs[int(tested["epoch"]) - 1]
    accuracy = result.final["test/acc"]
    right = f"{whole_percent(accuracy)} of the test images"
    trained_on = epoch.get("train/acc", math.nan)
    if "train/acc" in epoch:
        right = f"{whole_percent(trained_on)} of the training images and {right}"
    if result.failed:
        return _collapse(result, right)
    learns_training_images = trained_on > chance_accuracy(data.train.labels)
    if not (learns_training_images or accuracy > result.facts["chance"]):
        return _nothing_learned(result, int(epoch["step"]), right)
    variance = max(accuracy * (1 - accuracy), 1e-4)
    standard_error = math.sqrt(variance / max(result.facts["images"]["test"], 1))
    if trained_on - accuracy > max(LEAST_GAP, STANDARD_ERRORS * standard_error):
        options = _movements(data)
        if not has_enough_steps(result, epoch["step"]):
            options = _more_epochs(result) + options
        return Diagnosis(f"It overfits: it gets {right} right.", options)
    return _half_dead_layers(result)


def _movements(data: ImageDataModule) -> tuple[str, ...]:
    """Options for augmentation, unless there is some already."""
    if data.augmentation:
        return ()
    pixels = max(1, round(max(data.image_spec.shape[1:]) / 14))
    return "--data.shift", str(pixels), "--data.rotation", "10"


def _collapse(result: RunResult, right: str) -> Diagnosis:
    why = f"it gets {right} right, no better than chance."
    whole = [layer for layer, share in dead_units_in(result).items() if share == 1]
    if whole:
        why = (
            f"all units of {listed(whole)} are dead: "
            "they output 0 for every image tried, and no earlier layer learns."
        )
    return Diagnosis(
        f"This run collapsed in epoch {result.facts['collapsed_in']}: {why}", _lower_rate(result)
    )


def _nothing_learned(result: RunResult, steps: int, right: str) -> Diagnosis:
    after = f"after {counted(steps, 'step')} it gets {right} right"
    if not has_enough_steps(result, steps):
        return Diagnosis(f"Too few steps: {after}.", _more_epochs(result))
    if is_falling(result):
        return Diagnosis(
            f"It learns slowly: {after}, and its loss still falls.",
            ("--lr", f"{10 * result.hparams['lr']:.1g}"),
        )
    nothing = Diagnosis(f"It has learned next to nothing: {after}.", _lower_rate(result))
    return _half_dead_layers(result) or nothing


def _half_dead_layers(result: RunResult) -> Diagnosis | None:
    """Names the layers in which half of the units or more are dead; None if there are none."""
    layers = [
        f"{whole_percent(share)} of {layer}'s"
        for layer, share in dead_units_in(result).items()
        if share >= HALF_DEAD
    ]
    if not layers:
        return None
    return Diagnosis(
        f"{listed(layers)} units are dead: they output 0 for every image tried, and get "
        "no gradient while they do. At a lower learning rate fewer die.",
        _lower_rate(result),
    )


def _lower_rate(result: RunResult, by: int = 3) -> tuple[str, ...]:
    return "--lr", f"{result.hparams['lr'] / by:.1g}"


def _more_epochs(result: RunResult) -> tuple[str, ...]:
    return "--epochs", str(4 * len(result.epochs))


def whole_percent(share: float) -> str:
    """A share in whole per cent; 0 % and 100 % only where these are exact."""
    rounded = round(100 * share)
    if 0 < share < 1:
        rounded = min(max(rounded, 1), 99)
    return f"{rounded} %"
