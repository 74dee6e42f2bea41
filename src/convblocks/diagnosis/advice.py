"""Names what is wrong with a finished run: the evidence, and the settings to try next."""

import math
from collections.abc import Mapping
from typing import NamedTuple

from convblocks.diagnosis.collapse import chance_accuracy, has_enough_steps, is_falling
from convblocks.run.callbacks import Classification
from convblocks.run.directory import DEAD
from convblocks.run.result import RunResult
from convblocks.text import counted, listed

# Accuracies on training and test images this far apart, and by this many standard
# errors, mean overfitting.
LEAST_GAP, STANDARD_ERRORS = 0.1, 3

# From this share of dead units on, a layer is worth a sentence.
HALF_DEAD = 0.5


class Diagnosis(NamedTuple):
    """A sentence with the evidence, and options of fit to try next; none if it takes
    more than options.
    """

    sentence: str
    options: tuple[str, ...] = ()


def diagnose(run: Classification, result: RunResult, diverged_at: int | None) -> Diagnosis | None:
    """The first of these that a run shows: it diverged, collapsed, was too short,
    overfitted, or has dead units.

    Args:
        run: The finished run.
        result: Its result, with the facts ``images`` and ``chance``, and
            ``collapsed_in`` if it failed.
        diverged_at: The step after which its loss or a weight was no longer finite, if
            any.
    """
    lr, more = result.hparams["lr"], ("--epochs", str(4 * len(result.epochs)))
    if diverged_at is not None or not math.isfinite(result.final["test/loss"]):
        when = f"after step {diverged_at} " if diverged_at is not None else ""
        sentence = f"This run diverged: {when}its loss or a weight was not finite, and its last weights are useless."
        return Diagnosis(sentence, rate(lr / 10))
    # The weights are those of the last epoch or, with validation images, of the best evaluation.
    epoch = result.epochs[int((result.best_evaluation or result.epochs[-1])["epoch"]) - 1]
    accuracy, trained_on = result.final["test/acc"], epoch.get("train/acc", math.nan)
    known = (
        {"training": trained_on, "test": accuracy} if "train/acc" in epoch else {"test": accuracy}
    )
    both = listed([f"{whole_percent(share)} of the {name} images" for name, share in known.items()])
    dead = dead_units_in(result.final)
    if result.failed:
        whole = [relu for relu, share in dead.items() if share == 1]
        units = f"all units of {listed(whole)} are dead: they output 0 for every image, and no earlier layer learns."
        nothing = f"it gets {both} right, no better than chance."
        sentence = f"This run collapsed in epoch {result.facts['collapsed_in']}: {units if whole else nothing}"
        return Diagnosis(sentence, rate(lr / 3))
    is_short = not has_enough_steps(result, epoch["step"])
    after = f"after {counted(int(epoch['step']), 'step')} it gets {both} right"
    if not accuracy > result.facts["chance"] and not trained_on > chance_accuracy(
        run.data.train.labels
    ):
        if is_short:
            return Diagnosis(f"Too few steps: {after}.", more)
        if is_falling(result):
            return Diagnosis(f"It learns slowly: {after}, and its loss still falls.", rate(10 * lr))
        too_little = Diagnosis(f"It has learned next to nothing: {after}.", rate(lr / 3))
        return half_dead_layers(dead, lr) or too_little
    standard_error = math.sqrt(
        max(accuracy * (1 - accuracy), 1e-4) / max(result.facts["images"]["test"], 1)
    )
    if trained_on - accuracy > max(LEAST_GAP, STANDARD_ERRORS * standard_error):
        pixels = max(1, round(max(run.data.image_spec.shape[1:]) / 14))
        movements = (
            () if run.data.augmentation else ("--data.shift", str(pixels), "--data.rotation", "10")
        )
        return Diagnosis(
            f"It overfits: it gets {both} right.", (*(more if is_short else ()), *movements)
        )
    return half_dead_layers(dead, lr)


def half_dead_layers(dead: Mapping[str, float], lr: float) -> Diagnosis | None:
    """Names the layers in which half of the units or more are dead; None if there are none."""
    layers = [
        f"{whole_percent(share)} of {relu}'s" for relu, share in dead.items() if share >= HALF_DEAD
    ]
    if not layers:
        return None
    meaning = "they output 0 for every image, and get no gradient while they do. At a lower learning rate fewer die."
    return Diagnosis(f"{listed(layers)} units are dead: {meaning}", rate(lr / 3))


def rate(lr: float) -> tuple[str, str]:
    return "--lr", f"{lr:.1g}"


def dead_units_in(metrics: dict[str, float]) -> dict[str, float]:
    """The shares of dead units among these metrics, by the name of the ReLU."""
    return {
        name.removeprefix(DEAD): share for name, share in metrics.items() if name.startswith(DEAD)
    }


def whole_percent(share: float) -> str:
    """A share in whole per cent; 0 % and 100 % only where these are exact."""
    rounded = round(100 * share)
    return f"{min(max(rounded, 1), 99) if 0 < share < 1 else rounded} %"
