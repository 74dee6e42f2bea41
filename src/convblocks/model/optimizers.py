"""Optimizers and learning rate schedules, from plain values that a config and a checkpoint can hold."""

import inspect
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer, lr_scheduler
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from convblocks.errors import UsageError
from convblocks.model import names
from convblocks.model.choices import Choice, full_name, given_arguments, short_name

OPTIMIZERS = {"adam": "torch.optim.Adam", "adamw": "torch.optim.AdamW", "sgd": "torch.optim.SGD"}

CONSTANT = "constant"

# One cycle up and down, or a cosine down to 0: both over the steps of the whole run.
SCHEDULES = {
    CONSTANT: "",
    "onecycle": "torch.optim.lr_scheduler.OneCycleLR",
    "cosine": "torch.optim.lr_scheduler.CosineAnnealingLR",
}

# What Lightning wants to know of a schedule, beside the schedule itself.
OF_LIGHTNING = ("interval", "frequency", "monitor", "strict")


def optimizer_name(choice: Choice) -> str:
    """The full name of the optimizer's class, or a UsageError."""
    return full_name("optimizer", choice, OPTIMIZERS, torch.optim)


def schedule_name(choice: Choice) -> str:
    """The full name of the schedule's class, empty for a constant learning rate, or a UsageError."""
    return full_name("lr_scheduler", choice, SCHEDULES, lr_scheduler)


def spans_the_run(choice: Choice) -> bool:
    """Whether a schedule is shaped by the number of steps of the run, which then cannot be made longer."""
    return short_name(choice) in SCHEDULES and short_name(choice) != CONSTANT


def check(optimizer: Choice, schedule: Choice, parameters: Iterable[nn.Parameter], lr: float) -> None:
    """Try both out, as far as their modules are imported: a checkpoint must be of use without them too.

    Raises:
        UsageError: there is no such class, or it does not take the arguments.
    """
    full_names = [optimizer_name(optimizer), schedule_name(schedule)]
    if all(names.is_imported(name) for name in full_names if name):
        build_schedule(schedule, build_optimizer(optimizer, parameters, lr), lr, steps=lambda: 1000)


def build_optimizer(choice: Choice, parameters: Iterable[nn.Parameter], lr: float) -> Optimizer:
    """The optimizer with that learning rate, fused where torch has it so for the device.

    Raises:
        UsageError: there is no such class, or it does not take the arguments.
    """
    name, arguments = optimizer_name(choice), _arguments(choice)
    if "lr" in inspect.signature(names.find(name)).parameters:
        arguments["lr"] = lr
    return _fused_if_possible(name, list(parameters), arguments)


def build_schedule(choice: Choice, optimizer: Optimizer, lr: float, steps: Callable[[], int]) -> dict[str, Any] | None:
    """A schedule as Lightning takes it; None for a constant learning rate.

    Args:
        choice: The schedule. One with a short name has ``lr`` as its highest learning rate.
        optimizer: Whose learning rate it is.
        lr: Learning rate.
        steps: Counts the steps of the run; called only for schedules with short names.

    Raises:
        UsageError: there is no such class, or it does not take the arguments.
    """
    name, arguments = schedule_name(choice), _arguments(choice)
    if not name:
        if arguments:
            raise UsageError(f"a constant learning rate takes no arguments, but was given {', '.join(arguments)}")
        return None
    settings = {key: arguments.pop(key) for key in OF_LIGHTNING if key in arguments}
    if short_name(choice) == "onecycle":
        arguments = {"max_lr": lr, "total_steps": steps()} | arguments
    elif short_name(choice) == "cosine":
        arguments = {"T_max": steps()} | arguments
    if short_name(choice) in SCHEDULES:
        settings = {"interval": "step"} | settings
    if settings.get("interval", "epoch") not in ("step", "epoch"):
        raise UsageError(f"--lr_scheduler.interval must be step or epoch, but is {settings['interval']}")
    if settings.get("frequency", 1) < 1:
        raise UsageError(f"--lr_scheduler.frequency must be at least 1, but is {settings['frequency']}")
    scheduler = names.call(LRScheduler, name, optimizer, **arguments)
    if isinstance(scheduler, ReduceLROnPlateau) and "monitor" not in settings:
        raise UsageError("ReduceLROnPlateau needs --lr_scheduler.monitor: a metric such as train/loss")
    return {"scheduler": scheduler, **settings}


def _arguments(choice: Choice) -> dict[str, Any]:
    return ({"momentum": 0.9} if short_name(choice) == "sgd" else {}) | given_arguments(choice)


def _fused_if_possible(name: str, parameters: list[nn.Parameter], arguments: dict[str, Any]) -> Optimizer:
    optimizer: Optimizer
    if name.startswith("torch.optim.") and "fused" in inspect.signature(names.find(name)).parameters:
        try:
            optimizer = names.call(Optimizer, name, parameters, **({"fused": True} | arguments))
            return optimizer
        except UsageError:  # no fused kernels for this device, or not with these arguments
            pass
    optimizer = names.call(Optimizer, name, parameters, **arguments)
    return optimizer
