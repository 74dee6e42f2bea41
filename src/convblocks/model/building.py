"""Optimizers, schedules and losses, built from their class specs."""

import warnings
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from convblocks.errors import UsageError
from convblocks.model.class_specs import CONSTANT, SCHEDULES, AnySpec, ClassSpec, short_name, split
from convblocks.model.trust import accepts, instantiate

# Keys of a schedule that are for Lightning, not for its class.
FOR_LIGHTNING = ("interval", "frequency", "monitor", "strict")


def configure(
    module: LightningModule,
    optimizer: ClassSpec,
    lr_scheduler: ClassSpec = CONSTANT,
    lr: float | None = None,
    is_trial: bool = False,
) -> Any:
    """An optimizer of all weights, with a schedule unless that is constant, in the form in
    which ``configure_optimizers`` returns them.

    Args:
        module: The module, which has a Trainer unless this is a trial.
        optimizer: As for ``build_optimizer``.
        lr_scheduler: As for ``build_schedule``.
        lr: Learning rate, if it is not among the arguments of the optimizer.
        is_trial: Whether only to see that the arguments are right.

    Raises:
        UsageError: there is no such class, or it does not take the arguments.
    """
    # A module may make its weights later, in setup: then one weight stands for them.
    weights = [*module.parameters()] or [nn.Parameter(torch.zeros(1, 1))]
    built = build_optimizer(optimizer, weights, lr)
    schedule = build_schedule(
        lr_scheduler,
        built,
        built.param_groups[0].get("lr", lr),
        lambda: 1000 if is_trial else int(module.trainer.estimated_stepping_batches),
    )
    return {"optimizer": built, "lr_scheduler": schedule} if schedule else built


def build_optimizer(
    spec: ClassSpec, parameters: Iterable[nn.Parameter], lr: float | None
) -> Optimizer:
    """The optimizer, fused if torch has fused kernels for the device; ``sgd`` has
    momentum 0.9. Without ``lr``, the learning rate is one of its arguments.

    Raises:
        UsageError: there is no such class, or it does not take the arguments, or a
            second learning rate is among them.
    """
    named, arguments = split("optimizer", spec)
    if short_name(spec) == "sgd":
        arguments = {"momentum": 0.9} | arguments
    if lr is not None:
        if "lr" in arguments:
            raise UsageError("--optimizer.lr is set with --lr")
        if accepts(named, "lr"):
            arguments["lr"] = lr
    build: Callable[..., Optimizer] = partial(instantiate, Optimizer, named, list(parameters))
    if short_name(named).startswith("torch.optim.") and accepts(named, "fused"):
        # There may be no fused kernels for this device, or not with these arguments.
        with suppress(UsageError):
            return build(**({"fused": True} | arguments))
    return build(**arguments)


def build_schedule(
    spec: ClassSpec, optimizer: Optimizer, lr: float | None, steps: Callable[[], int]
) -> dict[str, Any] | None:
    """A schedule as Lightning takes it; None for a constant learning rate.

    Only those with short names use ``lr``, as their highest learning rate, and
    ``steps()``, the steps of the run.

    Raises:
        UsageError: there is no such class, or it does not take the arguments.
    """
    if short_name(spec) == CONSTANT:
        given = spec.get("init_args") if isinstance(spec, dict) else None
        if given:
            raise UsageError(
                f"a constant learning rate takes no arguments, but was given {', '.join(given)}"
            )
        return None
    named, arguments = split("lr_scheduler", spec)
    for key in ("frequency", "step_size"):
        if arguments.get(key) == 0:
            raise UsageError(f"--lr_scheduler.{key} must be above 0, but is 0")
    settings = {key: arguments.pop(key) for key in FOR_LIGHTNING if key in arguments}
    if short_name(named).endswith(".ReduceLROnPlateau"):
        if "monitor" not in settings:
            raise UsageError(
                "--lr_scheduler ReduceLROnPlateau needs the metric that it watches: "
                "give, for example, --lr_scheduler.monitor val/loss"
            )
        if accepts(named, "monitor"):  # LightningCLI's
            arguments["monitor"] = settings["monitor"]
    if schedule := SCHEDULES.get(short_name(spec)):
        settings = {"interval": "step"} | settings
        arguments = schedule.arguments(lr, steps()) | arguments
    return {"scheduler": instantiate(LRScheduler, named, optimizer, **arguments), **settings}


def build_loss(spec: AnySpec, classes: int) -> nn.Module:
    """A module from logits (B, classes) and targets (B,) to the losses (B,), or to
    their sum ().

    The sum if it takes an argument ``reduction``, as torch's losses do.

    Raises:
        UsageError: there is no such class, or it does not take the arguments, or it
            returns something else.
    """
    named, arguments = split("loss", spec)
    if "reduction" in arguments:
        raise UsageError(
            "--loss.reduction cannot be set: the loss is always the mean over all images"
        )
    if accepts(named, "reduction"):
        arguments["reduction"] = "sum"
    loss: nn.Module = instantiate(nn.Module, named, **arguments)
    name = short_name(named)
    if any(parameter.requires_grad for parameter in loss.parameters()):
        raise UsageError(
            f"the loss {name} has trainable parameters, which no optimizer would update"
        )
    _check_losses(name, loss, classes, is_sum="reduction" in arguments)
    return loss


def _check_losses(name: str, loss: nn.Module, classes: int, is_sum: bool) -> None:
    """Raise a UsageError unless it returns the sum of the losses of all images, or else
    one loss for each: a mean would be divided again.
    """
    expected = () if is_sum else (2,)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns of shapes, which are refused here
        losses = loss(torch.zeros(2, classes), torch.tensor([0, classes - 1]))
    shape = tuple(getattr(losses, "shape", ()))
    if shape != expected:
        raise UsageError(
            f"the loss {name} returns {shape} for 2 images, not {expected}: one loss per image"
        )
