"""Class specs: how optimizers, schedules, losses and networks are named.

A class spec is a short name, the dotted name of a class, or a class with arguments as
jsonargparse and LightningCLI write it: ``{"class_path": "torch.optim.RAdam",
"init_args": {"weight_decay": 0.01}}``. In Python it may also be a class itself, and a
network or loss a function; a checkpoint then holds the name.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from torch import nn, optim
from torch.optim import lr_scheduler

from convblocks.errors import UsageError

# Plain values, from a config or a checkpoint.
ClassSpec = str | dict[str, Any]

if TYPE_CHECKING:  # also a class or function
    Named = str | Callable[..., Any]
    AnySpec = ClassSpec | Callable[..., Any]
# by the types at run time Lightning may parse a checkpoint; for Callable it would
# import what is named there
else:
    Named, AnySpec = str, ClassSpec

CONSTANT = "constant"

# Short names, and the package whose classes need no module.
OPTIMIZERS = {"adam": "Adam", "adamw": "AdamW", "sgd": "SGD"}
LOSSES = {"cross_entropy": "CrossEntropyLoss"}
SCHEDULES = {
    "onecycle": "OneCycleLR",
    "cosine": "CosineAnnealingLR",
}  # both span the steps of the whole run
PACKAGES = {
    "optimizer": (OPTIMIZERS, optim),
    "lr_scheduler": (SCHEDULES, lr_scheduler),
    "loss": (LOSSES, nn),
}


def short_name(spec: AnySpec) -> str:
    """The name as it was given, short or dotted; of an object that cannot be made by
    its name, one in ``<>``.
    """
    if isinstance(spec, str | dict):
        return spec if isinstance(spec, str) else str(spec.get("class_path"))
    # a partial has no name
    return f"{spec.__module__}.{getattr(spec, '__qualname__', f'<{type(spec).__name__}>')}"


def split(option: str, spec: AnySpec) -> tuple[Named, dict[str, Any]]:
    """An option's class, or its dotted name; and the arguments given for it.

    Raises:
        UsageError: it is not the name of a class.
    """
    if callable(spec):
        return spec, {}
    name, (short, package) = short_name(spec), PACKAGES[option]
    arguments = dict(spec.get("init_args", {})) if isinstance(spec, dict) else {}
    if "." in name:
        return name, arguments
    if not isinstance(torch_class := getattr(package, short.get(name, name), None), type):
        known = ", ".join([CONSTANT, *short] if option == "lr_scheduler" else short)
        example = f"{package.__name__}.NAME"
        raise UsageError(
            f"unknown {option} {name!r}: choose one of {known}, or a class, such as {example}"
        )
    return torch_class, arguments


def spans_the_run(schedule: ClassSpec) -> bool:
    """Whether a schedule depends on the number of steps of the run, so that the run
    cannot be extended.
    """
    return short_name(schedule) in SCHEDULES
