"""Names what is wrong with a finished run: the evidence, and the settings to try next."""

import math
from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch.nn.modules.batchnorm import _BatchNorm

from convblocks.diagnosis.collapse import chance_accuracy, has_enough_steps, is_falling
from convblocks.errors import NotFiniteError
from convblocks.run.directory import DEAD
from convblocks.run.final_evaluation import Classification
from convblocks.run.result import Row, RunResult
from convblocks.text import counted, listed

# Accuracies on training and other images that are so far apart, and by so many standard errors, are a finding.
LEAST_GAP, STANDARD_ERRORS = 0.1, 3

# A share of dead units that is no longer good for a network at chance.
MANY_DEAD = 0.9

# A share of dead units that is worth a word, however well the network does.
HALF_DEAD = 0.5

# Training images on which the final weights are evaluated.
IMAGES = 1000


class Diagnosis(NamedTuple):
    """A sentence with the evidence, and options of fit to try next; none if it takes more than options."""

    sentence: str
    options: tuple[str, ...] = ()


def diagnose(run: Classification, result: RunResult, diverged_at: int | None) -> Diagnosis | None:
    """The first of these that a run shows: it diverged, collapsed, was too short, overfitted, or has dead units.

    Args:
        run: The finished run.
        result: Its result, with the facts ``images`` and ``chance``, and ``collapsed_in`` if it failed.
        diverged_at: The step after which its loss or a weight was no longer finite, if any.
    """
    lr, chance, images = result.hparams["lr"], result.facts["chance"], result.facts["images"]
    if diverged_at is not None or not math.isfinite(result.final["test/loss"]):
        where = "its loss on the test images is not finite"
        if diverged_at is not None:
            where = f"after step {diverged_at} its loss or a weight was not finite"
        return Diagnosis(f"This run diverged: {where}, and its last weights are useless.", option("--lr", lr / 10))
    epoch, accuracy = best_epoch(result), result.final["test/acc"]
    trained_on = epoch.get("train/acc", math.nan)
    shares = {"training": trained_on, "test": accuracy}
    both = listed([f"{whole_percent(one)} of the {name} images" for name, one in shares.items() if not math.isnan(one)])
    dead = dead_units_in(result.final)
    if result.failed:
        whole = [relu for relu, share in dead.items() if share == 1]
        units = f"all units of {listed(whole)} are dead: they output 0 for every image, and no layer before learns."
        nothing = f"it classifies {both}, no better than chance."
        sentence = f"This run collapsed in epoch {result.facts['collapsed_in']}: {units if whole else nothing}"
        return Diagnosis(sentence, option("--lr", lr / 3))
    steps = int(epoch["step"])
    is_short = not has_enough_steps(steps, len(images["spec"]["classes"]))
    after = f"after {counted(steps, 'step')} it classifies {both}"
    if not accuracy > chance and not trained_on > chance_accuracy(run.data.train.labels):
        if most := [f"{whole_percent(share)} of {relu}'s" for relu, share in dead.items() if share > MANY_DEAD]:
            return Diagnosis(f"Most units are dead, {listed(most)}: {after}.", option("--lr", lr / 10))
        if is_short:
            return Diagnosis(f"Too few steps: {after}.", option("--epochs", 4 * len(result.epochs)))
        if is_falling([row["train/loss"] for row in result.epochs]):
            return Diagnosis(f"It learns slowly: {after}, and its loss still falls.", option("--lr", 10 * lr))
        return Diagnosis(f"It has learned next to nothing: {after}.", option("--lr", lr / 3))
    standard_error = math.sqrt(max(accuracy * (1 - accuracy), 1e-4) / max(images["test"], 1))
    if not trained_on - accuracy > max(LEAST_GAP, STANDARD_ERRORS * standard_error):
        return half_dead_layers(dead, lr)
    if (known := accuracy_on_training_images(run)) is not None and trained_on - known > LEAST_GAP:
        return Diagnosis(
            f"The averages of batch normalisation lag behind: it classified {whole_percent(trained_on)} of the "
            f"training images while it was trained on them, and with its averages {whole_percent(known)}.",
            option("--epochs", 4 * len(result.epochs)),
        )
    more = option("--epochs", 4 * len(result.epochs)) if is_short else ()
    return Diagnosis(f"It overfits: it classifies {both}.", (*more, *movements(run)))


def best_epoch(result: RunResult) -> Row:
    """The metrics of the epoch whose weights are the final ones: with validation images that of the best evaluation."""
    return result.epochs[int((result.best_evaluation or result.epochs[-1])["epoch"]) - 1]


def half_dead_layers(dead: Mapping[str, float], lr: float) -> Diagnosis | None:
    """What it means that layers of a network that learns have lost half of their units or more, if any have."""
    layers = [f"{whole_percent(share)} of {relu}'s" for relu, share in dead.items() if share >= HALF_DEAD]
    if not layers:
        return None
    meaning = "they output 0 for every image, and get no gradient while they do. At a lower learning rate fewer die."
    return Diagnosis(f"{listed(layers)} units are dead: {meaning}", option("--lr", lr / 3))


def option(name: str, value: float) -> tuple[str, str]:
    return name, f"{value:.1g}" if isinstance(value, float) else str(value)


def movements(run: Classification) -> tuple[str, ...]:
    """Options that move the training images at random, unless they are moved already."""
    if run.data.augmentation:
        return ()
    pixels = max(1, round(max(run.data.image_spec.shape[1:]) / 14))
    return ("--data.shift", str(pixels), "--data.rotation", "10")


def accuracy_on_training_images(run: Classification) -> float | None:
    """The accuracy of the final weights in evaluation mode; None without averages of batch normalisation."""
    if not any(isinstance(one, _BatchNorm) and one.track_running_stats for one in run.module.network.modules()):
        return None
    images = run.data.train
    some = images[torch.linspace(0, len(images.labels) - 1, min(IMAGES, len(images.labels))).long()]
    try:
        return run.trained.evaluate(some).accuracy
    except NotFiniteError:
        return None


def dead_units_in(metrics: dict[str, float]) -> dict[str, float]:
    """The shares of dead units among these metrics, by the name of the ReLU."""
    return {name.removeprefix(DEAD): share for name, share in metrics.items() if name.startswith(DEAD)}


def whole_percent(share: float) -> str:
    """A share in whole per cent; 0 % and 100 % only where these are exact."""
    rounded = round(100 * share)
    return f"{min(max(rounded, 1), 99) if 0 < share < 1 else rounded} %"
