"""Losses, from plain values that a config and a checkpoint can hold."""

import inspect

import torch
from torch import Tensor, nn

from convblocks.errors import UsageError
from convblocks.model import names
from convblocks.model.choices import Choice, full_name, given_arguments

LOSSES = {"cross_entropy": "torch.nn.CrossEntropyLoss"}


def loss_name(choice: Choice) -> str:
    """The full name of the loss's class, or a UsageError."""
    return full_name("loss", choice, LOSSES, nn)


def build_loss(choice: Choice, classes: int) -> nn.Module:
    """A module that takes logits (B, classes) and targets (B,), and gives their losses (B,), or the sum of these ().

    The latter where the class takes ``reduction``, as torch's do.

    Raises:
        UsageError: there is no such class, it does not take the arguments, or gives something else.
    """
    name, arguments = loss_name(choice), given_arguments(choice)
    if "reduction" in arguments:
        raise UsageError("--loss.reduction is not for you to choose: batches are weighed by their images")
    sums = "reduction" in inspect.signature(names.find(name)).parameters
    loss: nn.Module = names.call(nn.Module, name, **arguments, **({"reduction": "sum"} if sums else {}))
    if any(parameter.requires_grad for parameter in loss.parameters()):
        raise UsageError(f"the loss {name} has parameters of its own, which nothing would train")
    _check(name, loss, classes, () if sums else (2,))
    return loss


@torch.no_grad()
def _check(name: str, loss: nn.Module, classes: int, expected: tuple[int, ...]) -> None:
    logits, targets = torch.zeros(2, classes), torch.tensor([0, classes - 1])
    try:
        given = loss(logits, targets)
    except Exception as error:  # of code that is not ours
        what = f"logits (2, {classes}) and targets (2,)"
        raise UsageError(f"the loss {name} does not take {what}: {' '.join(str(error).split())}") from error
    shape = tuple(given.shape) if isinstance(given, Tensor) else type(given).__name__
    if shape != expected:
        raise UsageError(f"the loss {name} gives {shape} for 2 images, not {expected}: a loss for each image")
