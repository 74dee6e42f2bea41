"""Optimizers and learning rate schedules, from class specs."""

import inspect
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer, lr_scheduler
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from convblocks.errors import UsageError
from convblocks.model import names
from convblocks.model.names import ClassSpec, arguments_of, full_name, short_name

OPTIMIZERS = {"adam": "torch.optim.Adam", "adamw": "torch.optim.AdamW", "sgd": "torch.optim.SGD"}

CONSTANT = "constant"

# One cycle up and down, and a cosine down to 0, span the steps of the whole run.
SCHEDULES = {
    CONSTANT: "",
    "onecycle": "torch.optim.lr_scheduler.OneCycleLR",
    "cosine": "torch.optim.lr_scheduler.CosineAnnealingLR",
}

# Settings of a schedule that are for Lightning, not for the schedule's class.
LIGHTNING_SETTINGS = ("interval", "frequency", "monitor", "strict")


def optimizer_name(spec: ClassSpec) -> str:
    """The dotted name of the optimizer's class, or a UsageError."""
    return full_name("optimizer", spec, OPTIMIZERS, torch.optim)


def schedule_name(spec: ClassSpec) -> str:
    """The dotted name of the schedule's class, empty for a constant learning rate, or a UsageError."""
    return full_name("lr_scheduler", spec, SCHEDULES, lr_scheduler)


def spans_the_run(spec: ClassSpec) -> bool:
    """Whether a schedule depends on the number of steps of the run, so that the run cannot be extended."""
    return short_name(spec) in SCHEDULES and short_name(spec) != CONSTANT


def check(optimizer: ClassSpec, schedule: ClassSpec, parameters: Iterable[nn.Parameter], lr: float) -> None:
    """Build both once, if their modules are imported: a checkpoint can be used without them.

    Raises:
        UsageError: there is no such class, or it does not take the arguments.
    """
    full_names = [optimizer_name(optimizer), schedule_name(schedule)]
    if all(names.is_imported(name) for name in full_names if name):
        build_schedule(schedule, build_optimizer(optimizer, parameters, lr), lr, steps=lambda: 1000)


def build_optimizer(spec: ClassSpec, parameters: Iterable[nn.Parameter], lr: float) -> Optimizer:
    """The optimizer, fused if torch has fused kernels for the device.

    Raises:
        UsageError: there is no such class, or it does not take the arguments.
    """
    name, arguments = optimizer_name(spec), _arguments(spec)
    if "lr" in inspect.signature(names.resolve(name)).parameters:
        arguments["lr"] = lr
    return _fused_if_possible(name, list(parameters), arguments)


def build_schedule(spec: ClassSpec, optimizer: Optimizer, lr: float, steps: Callable[[], int]) -> dict[str, Any] | None:
    """A schedule as Lightning takes it; None for a constant learning rate.

    Args:
        spec: The schedule.
        optimizer: Its optimizer.
        lr: The highest learning rate, for schedules with short names.
        steps: Returns the number of steps of the run; called only for schedules with short names.

    Raises:
        UsageError: there is no such class, or it does not take the arguments.
    """
    name, arguments = schedule_name(spec), _arguments(spec)
    if not name:
        if arguments:
            raise UsageError(f"a constant learning rate takes no arguments, but was given {', '.join(arguments)}")
        return None
    settings = {key: arguments.pop(key) for key in LIGHTNING_SETTINGS if key in arguments}
    if short_name(spec) == "onecycle":
        arguments = {"max_lr": lr, "total_steps": steps()} | arguments
    elif short_name(spec) == "cosine":
        arguments = {"T_max": steps()} | arguments
    if short_name(spec) in SCHEDULES:
        settings = {"interval": "step"} | settings
    if settings.get("interval", "epoch") not in ("step", "epoch"):
        raise UsageError(f"--lr_scheduler.interval must be step or epoch, but is {settings['interval']}")
    if settings.get("frequency", 1) < 1:
        raise UsageError(f"--lr_scheduler.frequency must be at least 1, but is {settings['frequency']}")
    scheduler = names.instantiate(LRScheduler, name, optimizer, **arguments)
    if isinstance(scheduler, ReduceLROnPlateau) and "monitor" not in settings:
        raise UsageError("ReduceLROnPlateau needs --lr_scheduler.monitor: a metric such as train/loss")
    return {"scheduler": scheduler, **settings}


def _arguments(spec: ClassSpec) -> dict[str, Any]:
    return ({"momentum": 0.9} if short_name(spec) == "sgd" else {}) | arguments_of(spec)


def _fused_if_possible(name: str, parameters: list[nn.Parameter], arguments: dict[str, Any]) -> Optimizer:
    optimizer: Optimizer
    if name.startswith("torch.optim.") and "fused" in inspect.signature(names.resolve(name)).parameters:
        try:
            optimizer = names.instantiate(Optimizer, name, parameters, **({"fused": True} | arguments))
            return optimizer
        except UsageError:  # no fused kernels for this device, or not with these arguments
            pass
    optimizer = names.instantiate(Optimizer, name, parameters, **arguments)
    return optimizer
