"""What a comparison reads from the results of several runs, and their lines in its CSV file."""

import math
from collections.abc import Iterable, Sequence
from typing import Any

from convblocks.figures.grouping import grouped
from convblocks.run.result import Overrides, RunResult


def by_overrides(results: Iterable[RunResult]) -> dict[Overrides, list[RunResult]]:
    """The runs at each setting, in their order."""
    return grouped(results, lambda result: result.overrides)


def as_row(result: RunResult) -> dict[str, Any]:
    """The run's line of comparison.csv: options as they were given, plain numbers under plain names."""
    origin = result.provenance
    scores = {name: value for name, value in result.final.items() if name.startswith(("test", "val"))}
    scores |= {result.judge.measured_in(result.final): result.score}
    scores |= {} if result.validation is None else {result.judge.metric: result.validation}
    losses = {"train_loss_first": result.first_loss, "train_loss_last": result.last_loss}
    return {
        "arch": result.arch,
        "seed": result.seed,
        **dict(result.overrides),
        "parameters": result.parameters,
        **{name.replace("/", "_"): value for name, value in scores.items()},
        **(losses if has_losses([result]) else {}),
        "failed": result.failed,
        "seconds": result.seconds,
        "machine": origin.machine,
        "commit": origin.commit,
        "device": origin.device,
        "processes": origin.processes,
        "threads": origin.threads,
        "data": " ".join(f"{name}={md5}" for name, md5 in (origin.data or {}).items()),
    }


def has_losses(results: Sequence[RunResult]) -> bool:
    """Whether training losses are shown too: those of classifiers, whose accuracies are written in per cent."""
    return all(run.judge.in_percent and all("train/loss" in row for row in run.epochs) for run in results)


def is_number(text: str) -> bool:
    """Whether an option's value is a finite number."""
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False
