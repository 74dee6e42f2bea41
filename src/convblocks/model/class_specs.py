"""Optimizers, schedules, losses and a user's own classes, from class specs.

A class spec is a short name, the dotted name of a class, or a class with arguments as jsonargparse and LightningCLI
write it: ``{"class_path": "torch.optim.RAdam", "init_args": {"weight_decay": 0.01}}``. In Python it may also be a class
or function itself, or a loss already built; a checkpoint then holds its name.

A name may come from a checkpoint, and a checkpoint must not decide which code runs. Therefore ``resolve`` and
``instantiate`` only look into modules that are already imported, and only call classes of the expected kind.
Functions are called only if a person has passed them, or has typed their names, for ``import_class``.
"""

import copy
import importlib
import inspect
import sys
import warnings
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer, lr_scheduler
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from convblocks.errors import UsageError

# Plain values, from a config or a checkpoint.
ClassSpec = str | dict[str, Any]

if TYPE_CHECKING:  # also a class or function, or a module
    Named = str | Callable[..., Any]
    AnySpec = ClassSpec | Callable[..., Any]
else:  # by the types at run time Lightning may parse a checkpoint; for Callable it would import what is named there
    Named, AnySpec = str, ClassSpec

OPTIMIZERS = {"adam": "torch.optim.Adam", "adamw": "torch.optim.AdamW", "sgd": "torch.optim.SGD"}
LOSSES = {"cross_entropy": "torch.nn.CrossEntropyLoss"}

CONSTANT = "constant"
# One cycle up and down, and a cosine down to 0, span the steps of the whole run.
SCHEDULES = {
    CONSTANT: "",
    "onecycle": "torch.optim.lr_scheduler.OneCycleLR",
    "cosine": "torch.optim.lr_scheduler.CosineAnnealingLR",
}

# The short names of each option, and the package of torch's own classes.
KINDS = {"optimizer": (OPTIMIZERS, torch.optim), "lr_scheduler": (SCHEDULES, lr_scheduler), "loss": (LOSSES, nn)}

# Replaces, in a checkpoint, the unknown arguments of a module that was passed to ImageClassifier.
BUILT_OUTSIDE = "built outside"

# Names that a person has typed, and those of classes and functions that a person has passed.
_typed: set[str] = set()


def plain_spec(spec: AnySpec) -> ClassSpec:
    """The spec in plain values, for a checkpoint: a class or function by module and name, a module by its class's."""
    if isinstance(spec, str | dict):
        return spec
    if isinstance(spec, nn.Module):
        return {"class_path": plain_spec(type(spec)), "init_args": BUILT_OUTSIDE}
    own_name = getattr(spec, "__qualname__", f"<{type(spec).__name__}>")  # a partial, for example, has no name
    return f"{spec.__module__}.{own_name}"


def short_name(spec: AnySpec) -> Any:
    """The name as given, short or dotted."""
    return plain if isinstance(plain := plain_spec(spec), str) else plain.get("class_path")


def arguments_of(spec: AnySpec) -> dict[str, Any]:
    """The arguments given for the class.

    Raises:
        UsageError: the spec comes from a checkpoint, and names a module that was passed, not built from arguments.
    """
    arguments = spec.get("init_args", {}) if isinstance(spec, dict) else {}
    if arguments == BUILT_OUTSIDE:
        name = short_name(spec)
        raise UsageError(f"the checkpoint does not say how its {name} was built: pass one to load_from_checkpoint")
    return dict(arguments)


def full_name(option: str, spec: AnySpec) -> str:
    """The dotted name of an option's class: short names stand for one, as do those of torch's own classes.

    Empty for a constant learning rate.

    Raises:
        UsageError: it is not the name of a class.
    """
    name, (short, package) = short_name(spec), KINDS[option]
    if name in short:
        return short[name]
    if "." in str(name):
        return str(name)
    prefix, some = f"{package.__name__}.", ", ".join(short)
    if isinstance(name, str) and inspect.isclass(getattr(package, name, None)):
        return prefix + name
    raise UsageError(f"unknown {option} {name!r}: choose one of {some}, or give a class, such as {prefix}NAME")


def resolve(name: str) -> Callable[..., Any]:
    """The class or function with a dotted name.

    Raises:
        UsageError: its module is not imported, or has no such class or function.
    """
    module_name, _, own_name = name.rpartition(".")
    if not is_imported(name):
        if "<" in name:
            raise UsageError(f"{name} cannot be found by its name: pass the class or function itself")
        advice = f"put `import {module_name}` first" if module_name else "give its module too, as in module.Name"
        raise UsageError(f"{name} is not imported: {advice}")
    found = getattr(sys.modules[module_name], own_name, None)
    if not callable(found):
        raise UsageError(f"{module_name} has no class or function {own_name!r}")
    return found  # type: ignore[no-any-return]  # of an unknown module


def is_dotted(name: str) -> bool:
    """Whether a name may be that of a class in a module."""
    return "." in name and all(part.isidentifier() for part in name.split("."))


def is_imported(name: str) -> bool:
    """Whether the module of a dotted name is already imported; never for ``<locals>`` and ``<lambda>``."""
    return "<" not in name and name.rpartition(".")[0] in sys.modules


def import_class(name: str) -> Callable[..., Any]:
    """Like ``resolve``, but first import the module, from the current folder or an installed package.

    Raises:
        UsageError: there is no such class or function, or its module calls ``sys.exit``; its errors are passed on.
    """
    if "." not in name:
        return resolve(name)  # raises
    if not is_dotted(name):
        raise UsageError(f"{name!r} is not the name of a class, such as module.Network")
    module_name = name.rpartition(".")[0]
    see_current_folder()
    try:
        importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise UsageError(f"cannot import {name}: {error.msg}, which its module imports") from error
        where = "neither in the current folder nor installed"
        raise UsageError(f"cannot import {name}: there is no module {error.name}, {where}") from error
    except SystemExit as error:
        hint = "guard what it does as a script by `if __name__ == '__main__'`"
        raise UsageError(f"cannot import {name}: its module calls sys.exit({error.code!r}): {hint}") from error
    _typed.add(name)
    return resolve(name)


def see_current_folder() -> None:
    """Let Python import modules from the current folder too, not only from the script's."""
    if "" not in sys.path:
        sys.path.append("")


def instantiate(kind: type, given: Named, *arguments: Any, **named: Any) -> Any:
    """Call a class or function, passed or by its dotted name, and check that the result is of the expected kind.

    Raises:
        UsageError: the result is of another kind, or the arguments are refused.
    """
    if isinstance(given, str):
        name, called = given, resolve(given)
    else:
        name, called = short_name(given), given
        _typed.add(name)
    what = kind.__name__
    if isinstance(called, type) and not issubclass(called, kind):
        raise UsageError(f"the class {name} is not a subclass of {what}")
    if not isinstance(called, type) and name not in _typed:
        first = f"`class_specs.import_class({name!r})` first"
        raise UsageError(f"{name} is a function, which a checkpoint alone must not call: {first}")
    try:
        made = called(*arguments, **named)
    except (Exception, SystemExit) as error:  # from code that is not ours, about arguments that a person chose
        shown = ", ".join(f"{key}={value!r}" for key, value in named.items()) or "no arguments"
        reason = " ".join((str(error) or repr(error)).split())
        raise UsageError(f"{what} {name} cannot be made with {shown}: {reason}") from error
    if not isinstance(made, kind):
        raise UsageError(f"{name} returns a {type(made).__name__}, not a {what}")
    return made


def accepts(given: Named, parameter: str) -> bool:
    """Whether a class or function, passed or by its dotted name, has a parameter of this name."""
    return parameter in inspect.signature(resolve(given) if isinstance(given, str) else given).parameters


def spans_the_run(schedule: AnySpec) -> bool:
    """Whether a schedule depends on the number of steps of the run, so that the run cannot be extended."""
    return short_name(schedule) in SCHEDULES and short_name(schedule) != CONSTANT


def check_optimizer(optimizer: AnySpec, schedule: AnySpec, parameters: Iterable[nn.Parameter], lr: float) -> None:
    """Build both once, if their modules are imported: a checkpoint can be used without them.

    Raises:
        UsageError: there is no such class, or it does not take the arguments.
    """
    named = [(optimizer, full_name("optimizer", optimizer)), (schedule, full_name("lr_scheduler", schedule))]
    if all(callable(spec) or not name or is_imported(name) for spec, name in named):
        build_schedule(schedule, build_optimizer(optimizer, parameters, lr), lr, steps=lambda: 1000)


def build_optimizer(spec: AnySpec, parameters: Iterable[nn.Parameter], lr: float) -> Optimizer:
    """The optimizer, fused if torch has fused kernels for the device.

    Raises:
        UsageError: there is no such class, or it does not take the arguments.
    """
    name, arguments = full_name("optimizer", spec), arguments_of(spec)
    given = spec if callable(spec) else name
    if short_name(spec) == "sgd":
        arguments = {"momentum": 0.9} | arguments
    if accepts(given, "lr"):
        arguments["lr"] = lr
    build: Callable[..., Optimizer] = partial(instantiate, Optimizer, given, list(parameters))
    if name.startswith("torch.optim.") and accepts(given, "fused"):
        with suppress(UsageError):  # no fused kernels for this device, or not with these arguments
            return build(**({"fused": True} | arguments))
    return build(**arguments)


def build_schedule(spec: AnySpec, optimizer: Optimizer, lr: float, steps: Callable[[], int]) -> dict[str, Any] | None:
    """A schedule as Lightning takes it; None for a constant learning rate.

    Only those with short names use ``lr``, as their highest learning rate, and ``steps()``, the steps of the run.

    Raises:
        UsageError: there is no such class, or it does not take the arguments.
    """
    name, arguments = full_name("lr_scheduler", spec), arguments_of(spec)
    if not name:
        if arguments:
            raise UsageError(f"a constant learning rate takes no arguments, but was given {', '.join(arguments)}")
        return None
    for_lightning = ("interval", "frequency", "monitor", "strict")  # not for the schedule's class
    settings: dict[str, Any] = {key: arguments.pop(key) for key in for_lightning if key in arguments}
    if spans_the_run(spec):
        settings = {"interval": "step"} | settings
        own = {"max_lr": lr, "total_steps": steps()} if short_name(spec) == "onecycle" else {"T_max": steps()}
        arguments = own | arguments
    if settings.get("interval", "epoch") not in ("step", "epoch"):
        raise UsageError(f"--lr_scheduler.interval must be step or epoch, but is {settings['interval']}")
    if settings.get("frequency", 1) < 1:
        raise UsageError(f"--lr_scheduler.frequency must be at least 1, but is {settings['frequency']}")
    scheduler = instantiate(LRScheduler, spec if callable(spec) else name, optimizer, **arguments)
    if isinstance(scheduler, ReduceLROnPlateau) and "monitor" not in settings:
        raise UsageError("ReduceLROnPlateau needs --lr_scheduler.monitor: a metric such as train/loss")
    return {"scheduler": scheduler, **settings}


def build_loss(spec: AnySpec, classes: int) -> nn.Module:
    """A module from logits (B, classes) and targets (B,) to the losses (B,), or to their sum ().

    The sum if it has an option ``reduction``, as torch's losses do.

    Raises:
        UsageError: there is no such class, or it does not take the arguments, or it returns something else.
    """
    name, arguments = full_name("loss", spec), arguments_of(spec)
    if "reduction" in arguments:
        raise UsageError("--loss.reduction cannot be set: the loss is always the mean over all images")
    if isinstance(spec, nn.Module):
        loss, sums = copy.copy(spec), hasattr(spec, "reduction")
        vars(loss).update({"reduction": "sum"} if sums else {})
    else:
        given = spec if callable(spec) else name
        sums = accepts(given, "reduction")
        loss = instantiate(nn.Module, given, **arguments, **({"reduction": "sum"} if sums else {}))
    if any(parameter.requires_grad for parameter in loss.parameters()):
        raise UsageError(f"the loss {name} has trainable parameters, which no optimizer would update")
    _check_loss(name, loss, classes, () if sums else (2,))
    return loss


def _check_loss(name: str, loss: nn.Module, classes: int, expected: tuple[int, ...]) -> None:
    device = next(loss.buffers(), torch.empty(0)).device
    logits = torch.zeros(2, classes, device=device, requires_grad=True)
    targets = torch.tensor([0, classes - 1], device=device)
    try:
        with torch.enable_grad(), warnings.catch_warnings(action="ignore"):
            given = loss(logits, targets)
    except Exception as error:  # from code that is not ours
        what = f"logits (2, {classes}) and targets (2,)"
        raise UsageError(f"the loss {name} does not take {what}: {' '.join(str(error).split())}") from error
    if (shape := tuple(given.shape) if isinstance(given, Tensor) else type(given).__name__) != expected:
        raise UsageError(f"the loss {name} returns {shape} for 2 images, not {expected}: one loss per image")
    if not given.requires_grad:
        raise UsageError(f"the loss {name} has no gradient with respect to the logits: nothing would be learned")
