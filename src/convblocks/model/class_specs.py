"""Optimizers, schedules, losses and a user's own classes, from class specs.

A class spec is a short name, the dotted name of a class, or a class with arguments as
jsonargparse and LightningCLI write it: ``{"class_path": "torch.optim.RAdam",
"init_args": {"weight_decay": 0.01}}``. In Python it may also be a class itself, and a
network or loss a function; a checkpoint then holds the name.

A name may come from a checkpoint, which must not decide which code runs. So ``resolve``
only looks into modules that are imported already, and ``instantiate`` only calls what
makes an object of the wanted kind: subclasses, and functions whose return type says so
and that a person has named, for ``import_class``.
"""

import importlib
import inspect
import sys
import typing
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import nn, optim
from torch.optim import Optimizer, lr_scheduler
from torch.optim.lr_scheduler import LRScheduler

from convblocks.errors import NotImportedError, UsageError, UserError

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

# Keys of a schedule that are for Lightning, not for its class.
FOR_LIGHTNING = ("interval", "frequency", "monitor", "strict")

_named_by_a_person: set[str] = set()


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


def resolve(named: Named) -> Callable[..., Any]:
    """A class or function, passed or by its dotted name.

    Raises:
        NotImportedError: its module is not imported, or it is local to a function.
        UsageError: the module has no such class or function.
    """
    if not isinstance(named, str):
        return named
    module, _, attribute = named.rpartition(".")
    if "<" in named or module not in sys.modules:
        how = "import its module first, or pass the class or function itself"
        raise NotImportedError(f"{named} is not imported: {how}")
    if not callable(called := getattr(sys.modules[module], attribute, None)):
        raise UsageError(f"{module} has no class or function {attribute!r}")
    return called  # type: ignore[no-any-return]  # of an unknown module


def import_class(name: str) -> Callable[..., Any]:
    """Like ``resolve``, but first import the module, from the current folder or an
    installed package.

    Raises:
        UsageError: there is no such module, class or function; other errors of the
            module are passed on.
    """
    module = name.rpartition(".")[0]
    if not module or not all(part.isidentifier() for part in name.split(".")):
        raise UsageError(
            f"{name!r} is not the name of a class with its module, such as module.Network"
        )
    see_current_folder()
    try:
        importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise UsageError(
            f"cannot import {name}: {error.msg} in the current folder, and none is installed"
        ) from error
    _named_by_a_person.add(name)
    return resolve(name)


def see_current_folder() -> None:
    """Let Python import modules from the current folder too, not only from the script's."""
    if "" not in sys.path:
        sys.path.append("")


def instantiate(kind: type, named: Named, /, *arguments: Any, **options: Any) -> Any:
    """Call a class or function, passed or by its dotted name, that makes an object of a kind.

    Raises:
        UsageError: it makes another kind, or refuses the arguments.
    """
    name, called = short_name(named), resolve(named)
    _check_kind(kind, named, called)
    try:
        made = called(*arguments, **options)
    except UserError:
        raise
    except Exception as error:  # from code that is not ours, about arguments that a person chose
        words = ", ".join(f"{key}={value!r}" for key, value in options.items()) or "no arguments"
        reason = " ".join((str(error) or repr(error)).split())
        raise UsageError(f"{kind.__name__} {name} cannot be made with {words}: {reason}") from error
    if not isinstance(made, kind):
        raise UsageError(f"{name} returns a {type(made).__name__}, not a {kind.__name__}")
    return made


def _check_kind(kind: type, named: Named, called: Callable[..., Any]) -> None:
    """Raise a UsageError unless it is a subclass, or a function: passed, or named by a
    person with its return type.
    """
    is_function = not isinstance(called, type)
    if is_function and not isinstance(named, str):
        return
    made: Any = called
    if is_function:
        with suppress(Exception):  # types that cannot be evaluated
            made = typing.get_type_hints(called).get("return")
    if not (isinstance(made, type) and issubclass(made, kind)):
        raise UsageError(
            f"{named} is not a subclass of {kind.__name__}, or a function that says it returns one"
        )
    if is_function and named not in _named_by_a_person:
        raise UsageError(
            f"{named} is a function, which a checkpoint alone must not call: pass the function itself"
        )


def accepts(named: Named, parameter: str) -> bool:
    """Whether a class or function, passed or by its dotted name, has a parameter of this name."""
    with suppress(ValueError):  # some builtins have no signature
        return parameter in inspect.signature(resolve(named)).parameters
    return False


def spans_the_run(schedule: ClassSpec) -> bool:
    """Whether a schedule depends on the number of steps of the run, so that the run
    cannot be extended.
    """
    return short_name(schedule) in SCHEDULES


def build_optimizer(spec: ClassSpec, parameters: Iterable[nn.Parameter], lr: float) -> Optimizer:
    """The optimizer, fused if torch has fused kernels for the device; ``sgd`` has
    momentum 0.9.

    Raises:
        UsageError: there is no such class, or it does not take the arguments, or a
            learning rate is among them.
    """
    name, arguments = split("optimizer", spec)
    if "lr" in arguments:
        raise UsageError("--optimizer.lr is set with --lr")
    arguments = ({"momentum": 0.9} if short_name(spec) == "sgd" else {}) | arguments
    arguments |= {"lr": lr} if accepts(name, "lr") else {}
    build: Callable[..., Optimizer] = partial(instantiate, Optimizer, name, list(parameters))
    if short_name(name).startswith("torch.optim.") and accepts(name, "fused"):
        with suppress(UsageError):  # no fused kernels for this device, or not with these arguments
            return build(**({"fused": True} | arguments))
    return build(**arguments)


def build_schedule(
    spec: ClassSpec, optimizer: Optimizer, lr: float, steps: Callable[[], int]
) -> dict[str, Any] | None:
    """A schedule as Lightning takes it; None for a constant learning rate.

    Only those with short names use ``lr``, as their highest learning rate, and
    ``steps()``, the steps of the run.

    Raises:
        UsageError: there is no such class, or it does not take the arguments.
    """
    if short_name(spec) == CONSTANT:
        if isinstance(spec, dict) and (arguments := spec.get("init_args")):
            raise UsageError(
                f"a constant learning rate takes no arguments, but was given {', '.join(arguments)}"
            )
        return None
    name, arguments = split("lr_scheduler", spec)
    settings: dict[str, Any] = {
        key: arguments.pop(key) for key in FOR_LIGHTNING if key in arguments
    }
    if spans_the_run(spec):
        settings = {"interval": "step"} | settings
        span = (
            {"max_lr": lr, "total_steps": steps()}
            if short_name(spec) == "onecycle"
            else {"T_max": steps()}
        )
        arguments = span | arguments
    return {"scheduler": instantiate(LRScheduler, name, optimizer, **arguments), **settings}


def build_loss(spec: AnySpec, classes: int) -> nn.Module:
    """A module from logits (B, classes) and targets (B,) to the losses (B,), or to
    their sum ().

    The sum if it has an option ``reduction``, as torch's losses do.

    Raises:
        UsageError: there is no such class, or it does not take the arguments, or it
            returns something else.
    """
    named, arguments = split("loss", spec)
    if "reduction" in arguments:
        raise UsageError(
            "--loss.reduction cannot be set: the loss is always the mean over all images"
        )
    arguments |= {"reduction": "sum"} if accepts(named, "reduction") else {}
    loss: nn.Module = instantiate(nn.Module, named, **arguments)
    if any(parameter.requires_grad for parameter in loss.parameters()):
        raise UsageError(
            f"the loss {short_name(named)} has trainable parameters, which no optimizer would update"
        )
    _check_losses(short_name(named), loss, classes)
    return loss


def _check_losses(name: str, loss: nn.Module, classes: int) -> None:
    """Raise a UsageError unless it returns one loss for each image, or their sum: a
    mean would be divided again.
    """
    expected = () if hasattr(loss, "reduction") else (2,)
    losses = loss(torch.zeros(2, classes), torch.tensor([0, classes - 1]))
    if (shape := tuple(getattr(losses, "shape", ()))) != expected:
        raise UsageError(
            f"the loss {name} returns {shape} for 2 images, not {expected}: one loss per image"
        )
