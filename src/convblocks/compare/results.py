"""What a comparison reads from the results of several runs, and their lines in its CSV file."""

import math
from typing import Any

from convblocks.run.result import RunResult


def as_row(result: RunResult) -> dict[str, Any]:
    """The run's line of comparison.csv: options as they were given, plain numbers under plain names."""
    origin = result.provenance
    scores = {name: value for name, value in result.final.items() if name.startswith(("test", "val"))}
    scores |= {result.judge.measured_in(result.final): result.score}
    scores |= {} if result.validation is None else {result.judge.metric: result.validation}
    losses = {"train_loss_first": result.first_loss, "train_loss_last": result.last_loss}
    has_losses = "train/loss" in result.epochs[0]
    return {
        "arch": result.arch,
        "seed": result.seed,
        **dict(result.overrides),
        "parameters": result.parameters,
        **{name.replace("/", "_"): value for name, value in scores.items()},
        **(losses if has_losses else {}),
        "failed": result.failed,
        "seconds": result.seconds,
        **vars(origin) | {"data": " ".join(f"{name}={md5}" for name, md5 in (origin.data or {}).items())},
    }


def is_number(text: str) -> bool:
    """Whether an option's value is a finite number."""
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False
