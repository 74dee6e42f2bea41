"""Class specs: how optimizers, schedules, losses and networks are named.

A class spec is a short name, the dotted name of a class, or a class with arguments as
jsonargparse and LightningCLI write it: ``{"class_path": "torch.optim.RAdam",
"init_args": {"weight_decay": 0.01}}``. In Python it may also be a class itself, and a
network or loss a function; a checkpoint then holds the name.
"""

from collections.abc import Callable
from itertools import chain
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple

from torch import nn, optim

from convblocks.errors import UsageError, did_you_mean

# Plain values, from a config or a checkpoint.
ClassSpec = str | dict[str, Any]

# A class, or a function that makes an object.
Factory = Callable[..., Any]

# The types of parameters that take a class or function, or its name. At run time they are names
# only: jsonargparse, by which Lightning reads checkpoints, would import what a Callable names.
# parser.py finds such parameters by ``annotation == ClassSpec``.
if TYPE_CHECKING:
    Named = str | Factory
    AnySpec = ClassSpec | Factory
else:
    Named, AnySpec = str, ClassSpec

CONSTANT = "constant"


class Schedule(NamedTuple):
    """A schedule over all steps of the run, by a short name.

    Attributes:
        class_name: The name of torch's class.
        arguments: The arguments that the run gives it, from its highest learning rate and
            its number of steps.
    """

    class_name: str
    arguments: Callable[[float | None, int], dict[str, Any]]


SCHEDULES = {
    "onecycle": Schedule("OneCycleLR", lambda lr, steps: {"max_lr": lr, "total_steps": steps}),
    "cosine": Schedule("CosineAnnealingLR", lambda lr, steps: {"T_max": steps}),
}

# The options that take a class, each with its short names, and with the package whose classes may
# be named without their module.
PACKAGES = {
    "optimizer": ({"adam": "Adam", "adamw": "AdamW", "sgd": "SGD"}, optim),
    "lr_scheduler": (
        {name: schedule.class_name for name, schedule in SCHEDULES.items()},
        optim.lr_scheduler,
    ),
    "loss": ({"cross_entropy": "CrossEntropyLoss"}, nn),
}


def short_name(spec: AnySpec) -> str:
    """The name as it was given, short or dotted; of an object that cannot be made by
    its name, one in ``<>``.
    """
    if isinstance(spec, str):
        return spec
    if isinstance(spec, dict):
        return str(spec.get("class_path"))
    # A partial has no name.
    name = getattr(spec, "__qualname__", f"<{type(spec).__name__}>")
    return f"{spec.__module__}.{name}"


def split(option: str, spec: AnySpec) -> tuple[Named, dict[str, Any]]:
    """An option's class, or its dotted name; and the arguments given for it.

    Raises:
        UsageError: it is not the name of a class.
    """
    if callable(spec):
        return spec, {}
    name = short_name(spec)
    arguments = dict(spec.get("init_args", {})) if isinstance(spec, dict) else {}
    if "." in name:
        return name, arguments
    short, package = PACKAGES[option]
    torch_class = getattr(package, short.get(name, name), None)
    if not isinstance(torch_class, type):
        known = [CONSTANT, *short] if option == "lr_scheduler" else [*short]
        choices = f"{', '.join(known)}, or a class, such as {package.__name__}.NAME"
        hint = did_you_mean(name, [*known, *classes_of(package)]) or f": choose one of {choices}"
        raise UsageError(f"unknown {option} {name!r}{hint}")
    return torch_class, arguments


def classes_of(*modules: ModuleType) -> list[str]:
    """The names of the classes in modules."""
    parts = chain.from_iterable(vars(module).items() for module in modules)
    return [name for name, part in parts if isinstance(part, type)]


def spans_the_run(schedule: ClassSpec) -> bool:
    """True for a schedule that depends on the number of steps of the run, which so cannot be
    extended.
    """
    return short_name(schedule) in SCHEDULES
