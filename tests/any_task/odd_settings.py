"""Modules with parameters whose defaults no YAML stands for, or whose types it lacks."""

import enum
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning import LightningModule
from torch import nn


class Colour(enum.Enum):
    RED = 1
    BLUE = 2


@dataclass
class Layer:
    units: int = 3


class Odd(LightningModule):
    judge = "val/loss:min"
    x: Any

    def training_step(self, *_: Any) -> None: ...

    def configure_optimizers(self) -> None: ...


def module(annotation: Any, *default: Any) -> type[Odd]:
    """A module with a parameter ``x`` of a type, with a default if there is one."""

    def with_default(self: Odd, x: Any = default[0] if default else None) -> None:
        Odd.__init__(self)
        self.x = x

    def required(self: Odd, x: Any) -> None:
        Odd.__init__(self)
        self.x = x

    init = with_default if default else required
    init.__annotations__["x"] = annotation
    return type("Odd", (Odd,), {"__init__": init, "__module__": __name__})


# Types, and a default or none.
MODULES: dict[str, type[Odd]] = {
    "Sentinel": module(Any, object()),
    "Activation": module(Any, nn.ReLU()),
    "Function": module(Any, lambda x: x),
    "Partial": module(Any, partial(max, 1)),
    "Tensor": module(Any, torch.ones(2)),
    "TupleInDict": module(Any, {"a": (1, 2)}),
    "NumpyFloat": module(Any, np.float64(0.5)),
    "NumpyInt": module(int, np.int64(3)),
    "BoolZero": module(bool, 0),
    "IntTrue": module(int, True),
    "Nan": module(float, float("nan")),
    "Set": module(set[int]),
    "FrozenSet": module(frozenset[str], frozenset({"a"})),
    "Bytes": module(bytes, b"a"),
    "Device": module(torch.device, torch.device("cpu")),
    "Deque": module(deque, deque([1])),
    "Layers": module(list[Layer], [Layer()]),
    "Layer": module(Layer, Layer()),
    "Colours": module(dict[Colour, int], {Colour.RED: 1}),
    "Colour": module(Colour, Colour.RED),
    "OptionalPath": module(Path | None, None),
    "Pair": module(tuple[int, int], (1, 2)),
    "Kind": module(type[nn.Module], nn.ReLU),
    "Called": module(Callable, torch.relu),
    "Number": module(int | float, 1.0),
    "Text": module(str, "1"),
    "Something": module(Any, None),
}
for name, made in MODULES.items():
    made.__qualname__ = made.__name__ = name
    globals()[f"{name}Odd"] = made
    made.__qualname__ = made.__name__ = f"{name}Odd"
