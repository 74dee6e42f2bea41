"""What a ``summary.json`` must hold to be believed: people edit such files, copy them, and cut them short."""

import math
from collections.abc import Mapping
from typing import Any

from convblocks.data.image_spec import MNIST, ImageSpec
from convblocks.errors import UsageError

# Each key that is always there, and what its value must be.
PARTS: dict[str, type | tuple[type, ...]] = {
    "arch": str,
    "parameters": int,
    "seed": int,
    "epochs": list,
    "evaluations": list,
    "final": dict,
    "collapsed": bool,
    "collapsed_in": (int, type(None)),
    "seconds": (int, float),
    "ended_by": str,
    "data": dict,
    "chance_threshold": (int, float),
}

# What must be a number in each row; anything else may be null for one that is not finite.
NUMBERS = ("epoch", "step", "seconds", "train/acc", "val/acc", "test/acc")

# The usual reason for which a run ends.
EPOCHS = "its epochs"

# What was always so before it was written down.
OF_LATER: dict[str, Any] = {
    "evaluations": [],
    "ended_by": EPOCHS,
    "collapsed_in": None,
    "data": {"test_images": 10_000, "image_spec": MNIST.as_dict()},
    "chance_threshold": 0.15,
}

Row = dict[str, float]


def check(summary: Any) -> dict[str, Any]:
    """A summary whose parts are there and make sense; in its rows of metrics, what is null stands for nan.

    Raises:
        ValueError: what is wrong with it.
    """
    if not isinstance(summary, dict):
        raise ValueError("it is no JSON object")
    parts: dict[str, Any] = OF_LATER | summary
    for key, kind in PARTS.items():
        value = parts.get(key)
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise ValueError(f"its {key!r} is missing, or is no {getattr(kind, '__name__', 'number')}")
    if not parts["epochs"]:
        raise ValueError("it has no epochs")
    rows: dict[str, Any] = {
        "epochs": [_row(row, "train/loss", "epoch", "step", "seconds") for row in parts["epochs"]],
        "evaluations": [_row(row) for row in parts["evaluations"]],
        "final": _row(parts["final"], "test/loss", "test/acc"),
    }
    if [row["epoch"] for row in rows["epochs"]] != list(range(1, len(rows["epochs"]) + 1)):
        raise ValueError("its epochs are not 1, 2, 3 and so on")
    _check_data(parts["data"])
    return parts | rows


def _check_data(data: Mapping[str, Any]) -> None:
    images = data.get("test_images")
    if not isinstance(images, int) or images < 1:
        raise ValueError(f"its number of test images is {images!r}")
    try:
        ImageSpec.from_dict(data.get("image_spec", {}))
    except UsageError as error:
        raise ValueError(str(error)) from error


def _row(row: Any, *needed: str) -> Row:
    if not isinstance(row, dict):
        raise ValueError(f"{row!r} is no row of metrics")
    if missing := [name for name in needed if name not in row]:
        raise ValueError(f"a row of metrics lacks {missing[0]!r}")
    return {name: _number(name, value, row) for name, value in row.items()}


def _number(name: str, value: Any, row: Mapping[str, Any]) -> float:
    if value is None and name not in NUMBERS:
        return math.nan
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{name} is {value!r} in the row of epoch {row.get('epoch', '?')}")
    if name in NUMBERS and not math.isfinite(value):
        raise ValueError(f"{name} is {value}")
    if name in NUMBERS and name.endswith("/acc") and not 0 <= value <= 1:
        raise ValueError(f"{name} is {value}, which is no accuracy")
    return value
