"""Made-up results of runs, alike enough to real ones to be reported and drawn."""

import os
from collections.abc import Mapping
from pathlib import Path
from random import Random
from typing import Any

from convblocks.data.images import MNIST, ImageSpec
from convblocks.record.judge import ACCURACY, Judge
from convblocks.record.result import EPOCHS, Overrides, Provenance, Row, RunResult

PARAMETERS = {"mlp": 79_510, "maxpool": 85_526, "batchnorm": 77_918}

MACHINE = "2 CPUs (AMD EPYC 9R45), Linux, python 3.11.2, torch 2.13.0"

CHANCE = 0.1135  # all ones

EXPECTED = Path(__file__).with_name("expected")


def assert_expected(name: str, text: str) -> None:
    """Compare a whole report with the file in ``tests/expected``, which ``REWRITE=1``
    writes again.
    """
    path = EXPECTED / name
    if "REWRITE" in os.environ:
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8")


def result(
    arch: str,
    seed: int,
    accuracy: float,
    overrides: Overrides = (),
    epochs: tuple[Row, ...] = (),
    validation: float | None = None,
    facts: Mapping[str, Any] | None = None,
    **changed: object,
) -> RunResult:
    """A run that ends with that accuracy on test images, and has collapsed if that is
    chance.

    It has five epochs unless others, such as those of ``course``, are given;
    ``validation`` is the accuracy on validation images after the last one; ``facts``
    are further ones, ``changed`` other fields.
    """
    overrides = tuple(({"epochs": "5"} | dict(overrides)).items())
    epochs = epochs or _five_epochs(accuracy, Random(f"{arch} {seed} {overrides[1:]}"))
    if validation is not None:
        epochs = (*epochs[:-1], epochs[-1] | {"val/loss": 1 - validation, "val/acc": validation})
    values: dict[str, object] = {
        "arch": arch,
        "seed": seed,
        "parameters": PARAMETERS.get(arch, 1000),
        "hparams": {"lr_scheduler": "constant"},
        "epochs": epochs,
        "final": {"test/acc": accuracy},
        "ended_by": EPOCHS,
        "judge": ACCURACY,
        "monitor": Judge("val/loss", "min"),
        "failed": accuracy <= 0.15,
        "facts": {
            "images": images(MNIST, train=60_000, test=10_000),
            "chance": 0.15,
            **(facts or {}),
        },
        "provenance": provenance(),
        "overrides": overrides,
    }
    return RunResult(**(values | changed))  # type: ignore[arg-type]  # the fields of a RunResult


def images(spec: ImageSpec, train: int, test: int) -> dict[str, Any]:
    """The fact of a run's images."""
    return {"spec": spec.as_dict(), "train": train, "test": test}


def provenance() -> Provenance:
    return Provenance(MACHINE, "abc1234", None, "cpu", processes=1, threads=1, code="")


def course(*accuracies: float, loss: float = 0.1) -> tuple[Row, ...]:
    """An epoch for each accuracy; the loss is that of the last one, and twice as high before it."""
    return tuple(
        {"epoch": number, "step": 938 * number, "test/acc": accuracy, "seconds": 10.0}
        | {"train/loss": loss * (len(accuracies) - number + 1)}
        for number, accuracy in enumerate(accuracies, start=1)
    )


def short(arch: str, seed: int, accuracy: float, loss: float = 0.1, **changed: object) -> RunResult:
    """A run of two epochs with the same accuracy; ``loss`` is that of its last, and
    half that of its first.
    """
    epochs = course(accuracy, accuracy, loss=loss)
    return result(arch, seed, accuracy, **({"epochs": epochs} | changed))  # type: ignore[arg-type]


# With a schedule the networks are compared by their time to 98 %.
COURSES = {
    "mlp": course(0.9, 0.97, 0.981),
    "maxpool": course(0.98, 0.99),
    "batchnorm": course(0.9, 0.985),
}


def as_claimed(seeds: int, collapsed: int = 0) -> list[RunResult]:
    """As the notebook claims: batchnorm above maxpool above mlp, except for maxpool's
    first runs.
    """
    levels = {"mlp": (0.95, 0.18, 3), "maxpool": (0.96, 0.14, 5), "batchnorm": (0.98, 0.04, 2)}
    return [
        short(arch, seed, CHANCE, 2.3)
        if arch == "maxpool" and seed < collapsed
        else short(
            arch, seed, base + 0.0001 * (seed * factor % 7), loss + 0.001 * (seed * factor % 5)
        )
        for arch, (base, loss, factor) in levels.items()
        for seed in range(seeds)
    ]


def _five_epochs(accuracy: float, random: Random) -> tuple[Row, ...]:
    collapsed = accuracy <= 0.15
    error = 1 - accuracy
    epochs = []
    for epoch in range(1, 6):
        still = error if collapsed else error * (6 - epoch) ** 0.6 * random.uniform(0.95, 1.05)
        row: Row = {
            "epoch": epoch,
            "step": 938 * epoch,
            "train/loss": 2.3 + random.uniform(-0.002, 0.002) if collapsed else 3 * still,
            "test/acc": accuracy if collapsed or epoch == 5 else 1 - min(still, 0.9),
            "seconds": random.uniform(20, 26),
        }
        epochs.append(row)
    return tuple(epochs)
