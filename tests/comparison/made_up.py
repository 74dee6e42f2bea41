"""Outcomes of runs that never were, alike enough to real ones to be written and drawn."""

import math
from random import Random

from convblocks.comparison.outcomes import Images, Provenance, RunResult

from convblocks.comparison.trials import Settings
from convblocks.data.image_spec import MNIST

PARAMETERS = {"mlp": 79_510, "maxpool": 85_526, "batchnorm": 77_918}

# Per network: its best learning rate and its test error there, in powers of ten; collapsed runs begin at the last one.
CHARACTERS = {"mlp": (-3.0, -1.68, 1e-2), "maxpool": (-2.9, -2.15, 1e-2), "batchnorm": (-2.3, -2.0, 1.0)}

LAYERS = {"mlp": ("1",), "maxpool": ("block 1", "block 2", "block 3"), "batchnorm": ("block 1", "block 2", "block 3")}

MACHINE = "2 CPUs (AMD EPYC 9R45), Linux, python 3.11.2, torch 2.13.0"

CHANCE = 0.1135  # all ones


def outcome(arch: str, seed: int, accuracy: float, settings: Settings = (), **changed: object) -> RunResult:
    """A run of five epochs that ends with that accuracy, and has collapsed where that is chance."""
    random = Random(f"{arch} {seed} {settings}")
    collapsed = accuracy <= 0.15
    error = 1 - accuracy
    epochs = []
    for epoch in range(1, 6):
        still = error if collapsed else error * (6 - epoch) ** 0.6 * random.uniform(0.95, 1.05)
        row = {
            "epoch": epoch,
            "step": 938 * epoch,
            "train/loss": 2.3 + random.uniform(-0.002, 0.002) if collapsed else 3 * still,
            "test/acc": accuracy if collapsed or epoch == 5 else 1 - min(still, 0.9),
            "seconds": random.uniform(20, 26),
        }
        for number, layer in enumerate(LAYERS.get(arch, ())):
            silent = 0.0 if arch == "batchnorm" else min(1.0, 0.3 * number + 0.05 * epoch)
            row[f"dead/{layer}"] = 1.0 if collapsed and number else round(silent * random.uniform(0.9, 1.0), 2)
        epochs.append(row)
    values: dict[str, object] = {
        "arch": arch,
        "settings": (("epochs", "5"), *settings),
        "seed": seed,
        "parameters": PARAMETERS.get(arch, 1000),
        "first_loss": epochs[0]["train/loss"],
        "last_loss": epochs[-1]["train/loss"],
        "accuracy": accuracy,
        "validation": None,
        "collapsed": collapsed,
        "seconds": sum(row["seconds"] for row in epochs),
        "epochs": tuple(epochs),
        "images": Images(MNIST, test_images=10_000, chance_threshold=0.15),
        "provenance": Provenance(MACHINE, threads=1, processes=1, commit="abc1234"),
    }
    return RunResult(**(values | changed))  # type: ignore[arg-type]  # the fields of an RunResult


def swept(
    rates: tuple[str, ...] = ("1e-4", "3e-4", "1e-3", "3e-3", "1e-2", "3e-2"),
    schedules: tuple[str, ...] = ("constant", "onecycle"),
    seeds: int = 3,
) -> list[RunResult]:
    """The three networks over learning rates and schedules; at high rates many runs of two of them collapse."""
    found = []
    for arch, (best, error, collapses_from) in CHARACTERS.items():
        for schedule in schedules:
            gain = 0.25 if schedule == "onecycle" else 0.0
            for rate in rates:
                for seed in range(seeds):
                    random = Random(f"{arch} {schedule} {rate} {seed}")
                    logarithm = math.log10(float(rate))
                    wrong = 10 ** (error - gain + 0.25 * (logarithm - best - gain) ** 2 + random.gauss(0, 0.03))
                    collapsed = float(rate) >= collapses_from and random.random() < 60 * float(rate) / (2 + 4 * gain)
                    accuracy = CHANCE if collapsed else round(1 - wrong, 4)
                    settings = (("lr", rate), ("lr_scheduler", schedule))
                    found.append(outcome(arch, seed, accuracy, settings))
    return found


def same_setting(seeds: int = 10) -> list[RunResult]:
    """The three networks at one setting, at which two runs of maxpool collapse."""
    found = []
    for arch, accuracy in {"mlp": 0.948, "maxpool": 0.968, "batchnorm": 0.983}.items():
        for seed in range(seeds):
            collapsed = arch == "maxpool" and seed in (2, 7)
            of_seed = round(accuracy + Random(f"{arch} {seed}").gauss(0, 0.004), 4)
            found.append(outcome(arch, seed, CHANCE if collapsed else of_seed))
    return found
