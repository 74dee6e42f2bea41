"""Losses, from class specs."""

import inspect

import torch
from torch import Tensor, nn

from convblocks.errors import UsageError
from convblocks.model import names
from convblocks.model.names import ClassSpec, arguments_of, full_name

LOSSES = {"cross_entropy": "torch.nn.CrossEntropyLoss"}


def loss_name(spec: ClassSpec) -> str:
    """The dotted name of the loss's class, or a UsageError."""
    return full_name("loss", spec, LOSSES, nn)


def build_loss(spec: ClassSpec, classes: int) -> nn.Module:
    """A module from logits (B, classes) and targets (B,) to the losses (B,), or to their sum ().

    The sum if the class has an argument ``reduction``, as torch's losses do.

    Raises:
        UsageError: there is no such class, or it does not take the arguments, or it returns something else.
    """
    name, arguments = loss_name(spec), arguments_of(spec)
    if "reduction" in arguments:
        raise UsageError("--loss.reduction cannot be set: the loss is always the mean over all images")
    sums = "reduction" in inspect.signature(names.resolve(name)).parameters
    loss: nn.Module = names.instantiate(nn.Module, name, **arguments, **({"reduction": "sum"} if sums else {}))
    if any(parameter.requires_grad for parameter in loss.parameters()):
        raise UsageError(f"the loss {name} has trainable parameters, which no optimizer would update")
    _check(name, loss, classes, () if sums else (2,))
    return loss


@torch.no_grad()
def _check(name: str, loss: nn.Module, classes: int, expected: tuple[int, ...]) -> None:
    logits, targets = torch.zeros(2, classes), torch.tensor([0, classes - 1])
    try:
        given = loss(logits, targets)
    except Exception as error:  # from code that is not ours
        what = f"logits (2, {classes}) and targets (2,)"
        raise UsageError(f"the loss {name} does not take {what}: {' '.join(str(error).split())}") from error
    shape = tuple(given.shape) if isinstance(given, Tensor) else type(given).__name__
    if shape != expected:
        raise UsageError(f"the loss {name} returns {shape} for 2 images, not {expected}: one loss per image")
