"""Optimizers, schedules, losses and a user's own classes, from class specs.

A class spec is a short name, the dotted name of a class, or a class with arguments as jsonargparse and LightningCLI
write it: ``{"class_path": "torch.optim.RAdam", "init_args": {"weight_decay": 0.01}}``. In Python it may also be a class
or function itself, or a module already built; a checkpoint then holds its name.

A name may come from a checkpoint, which must not decide which code runs. So ``resolve`` only looks into modules that
are imported already, and ``instantiate`` only calls what makes an object of the wanted kind: subclasses, and functions
whose return type says so and that a person has named, for ``import_class``.
"""

import copy
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

if TYPE_CHECKING:  # also a class or function, or a module
    Named = str | Callable[..., Any]
    AnySpec = ClassSpec | Callable[..., Any]
else:  # by the types at run time Lightning may parse a checkpoint; for Callable it would import what is named there
    Named, AnySpec = str, ClassSpec

CONSTANT = "constant"

# Short names, and the package whose classes need no module.
OPTIMIZERS = {"adam": "Adam", "adamw": "AdamW", "sgd": "SGD"}
LOSSES = {"cross_entropy": "CrossEntropyLoss"}
SCHEDULES = {"onecycle": "OneCycleLR", "cosine": "CosineAnnealingLR"}  # both span the steps of the whole run
PACKAGES = {"optimizer": (OPTIMIZERS, optim), "lr_scheduler": (SCHEDULES, lr_scheduler), "loss": (LOSSES, nn)}

# Keys of a schedule that are for Lightning, not for its class.
FOR_LIGHTNING = ("interval", "frequency", "monitor", "strict")

_named_by_a_person: set[str] = set()


def plain_spec(spec: AnySpec) -> ClassSpec:
    """The spec in plain values, for a checkpoint: of an object that cannot be made by its name, a name in ``<>``."""
    if isinstance(spec, str | dict):
        return spec
    if isinstance(spec, nn.Module):
        return f"<{plain_spec(type(spec))} built outside>"
    return f"{spec.__module__}.{getattr(spec, '__qualname__', f'<{type(spec).__name__}>')}"  # a partial has no name


def short_name(spec: AnySpec) -> Any:
    """The name as given, short or dotted; of a module that of its class."""
    plain = plain_spec(type(spec) if isinstance(spec, nn.Module) else spec)
    return plain if isinstance(plain, str) else plain.get("class_path")


def arguments_of(spec: AnySpec) -> dict[str, Any]:
    """The arguments given for the class."""
    return dict(spec.get("init_args", {})) if isinstance(spec, dict) else {}


def named(option: str, spec: AnySpec) -> Named:
    """What an option's spec names or is: short names stand for dotted ones, as do those of torch's own classes.

    Raises:
        UsageError: it is not the name of a class.
    """
    if callable(spec):
        return spec
    name, (short, package) = short_name(spec), PACKAGES[option]
    if "." in str(name):
        return str(name)
    if isinstance(own := getattr(package, short.get(name, str(name)), None), type):
        return f"{package.__name__}.{own.__name__}"
    known = ", ".join([CONSTANT, *short] if option == "lr_scheduler" else short)
    raise UsageError(f"unknown {option} {name!r}: choose one of {known}, or a class, such as {package.__name__}.NAME")


def is_dotted(name: str) -> bool:
    """Whether a name may be that of a class in a module."""
    return "." in name and all(part.isidentifier() for part in name.split("."))


def is_imported(name: Named) -> bool:
    """Whether what is named is there; never for ``<locals>`` and ``<lambda>``."""
    return callable(name) or ("<" not in name and name.rpartition(".")[0] in sys.modules)


def resolve(name: str) -> Callable[..., Any]:
    """The class or function with a dotted name.

    Raises:
        NotImportedError: its module is not imported.
        UsageError: the module has no such class or function.
    """
    module, _, own_name = name.rpartition(".")
    if "<" in name:
        raise NotImportedError(f"{name} cannot be found by its name: pass the class or function itself")
    if not is_imported(name):
        raise NotImportedError(f"{name} is not imported: put `import {module}` first, or pass the class itself")
    if not callable(found := getattr(sys.modules[module], own_name, None)):
        raise UsageError(f"{module} has no class or function {own_name!r}")
    return found  # type: ignore[no-any-return]  # of an unknown module


def import_class(name: str) -> Callable[..., Any]:
    """Like ``resolve``, but first import the module, from the current folder or an installed package.

    Raises:
        UsageError: there is no such module, class or function, or the module exits; its errors are passed on.
    """
    module = name.rpartition(".")[0]
    if not is_dotted(name):
        raise UsageError(f"{name!r} is not the name of a class with its module, such as module.Network")
    see_current_folder()
    try:
        importlib.import_module(module)
    except ModuleNotFoundError as error:
        reason = f"there is no module {error.name}, neither in the current folder nor installed"
        if not f"{module}.".startswith(f"{error.name}."):
            reason = f"{error.msg}, which its module imports"
        raise UsageError(f"cannot import {name}: {reason}") from error
    except SystemExit as error:
        hint = "guard what it does as a script by `if __name__ == '__main__'`"
        raise UsageError(f"cannot import {name}: its module calls sys.exit({error.code!r}): {hint}") from error
    _named_by_a_person.add(name)
    return resolve(name)


def see_current_folder() -> None:
    """Let Python import modules from the current folder too, not only from the script's."""
    if "" not in sys.path:
        sys.path.append("")


def instantiate(kind: type, given: Named, /, *arguments: Any, **options: Any) -> Any:
    """Call a class or function, passed or by its dotted name, that makes an object of a kind.

    Raises:
        UsageError: it makes another kind, or refuses the arguments.
    """
    name, called = short_name(given), resolve(given) if isinstance(given, str) else given
    if isinstance(given, str) or isinstance(called, type):
        _check_kind(kind, name, called)
    else:
        _named_by_a_person.add(name)
    try:
        made = called(*arguments, **options)
    except UserError:
        raise
    except Exception as error:  # from code that is not ours, about arguments that a person chose
        shown = ", ".join(f"{key}={value!r}" for key, value in options.items()) or "no arguments"
        reason = " ".join((str(error) or repr(error)).split())
        raise UsageError(f"{kind.__name__} {name} cannot be made with {shown}: {reason}") from error
    if not isinstance(made, kind):
        raise UsageError(f"{name} returns a {type(made).__name__}, not a {kind.__name__}")
    return made


def _check_kind(kind: type, name: str, called: Callable[..., Any]) -> None:
    """Raise a UsageError unless it is a subclass, or a function that a person named and whose return type is one."""
    made: Any = called
    if not isinstance(called, type):
        with suppress(Exception):  # types that cannot be evaluated
            made = typing.get_type_hints(called).get("return")
    if not (isinstance(made, type) and issubclass(made, kind)):
        hint = "" if isinstance(called, type) else f", or a function that says it returns one: `-> {kind.__name__}`"
        raise UsageError(f"{name} is not a subclass of {kind.__name__}{hint}")
    if made is not called and name not in _named_by_a_person:
        raise UsageError(f"{name} is a function, which a checkpoint alone must not call: pass the function itself")


def accepts(given: Named, parameter: str) -> bool:
    """Whether a class or function, passed or by its dotted name, has a parameter of this name."""
    with suppress(ValueError):  # some builtins have no signature
        return parameter in inspect.signature(resolve(given) if isinstance(given, str) else given).parameters
    return False


def spans_the_run(schedule: AnySpec) -> bool:
    """Whether a schedule depends on the number of steps of the run, so that the run cannot be extended."""
    return short_name(schedule) in SCHEDULES


def build_optimizer(spec: AnySpec, parameters: Iterable[nn.Parameter], lr: float) -> Optimizer:
    """The optimizer, fused if torch has fused kernels for the device; ``sgd`` has momentum 0.9.

    Raises:
        UsageError: there is no such class, or it does not take the arguments, or a learning rate is among them.
    """
    given, arguments = named("optimizer", spec), arguments_of(spec)
    if "lr" in arguments:
        raise UsageError("--optimizer.lr is set with --lr")
    arguments = ({"momentum": 0.9} if short_name(spec) == "sgd" else {}) | arguments
    arguments |= {"lr": lr} if accepts(given, "lr") else {}
    build: Callable[..., Optimizer] = partial(instantiate, Optimizer, given, list(parameters))
    if short_name(given).startswith("torch.optim.") and accepts(given, "fused"):
        with suppress(UsageError):  # no fused kernels for this device, or not with these arguments
            return build(**({"fused": True} | arguments))
    return build(**arguments)


def build_schedule(spec: AnySpec, optimizer: Optimizer, lr: float, steps: Callable[[], int]) -> dict[str, Any] | None:
    """A schedule as Lightning takes it; None for a constant learning rate.

    Only those with short names use ``lr``, as their highest learning rate, and ``steps()``, the steps of the run.

    Raises:
        UsageError: there is no such class, or it does not take the arguments.
    """
    arguments = arguments_of(spec)
    if short_name(spec) == CONSTANT:
        if arguments:
            raise UsageError(f"a constant learning rate takes no arguments, but was given {', '.join(arguments)}")
        return None
    settings: dict[str, Any] = {key: arguments.pop(key) for key in FOR_LIGHTNING if key in arguments}
    if spans_the_run(spec):
        settings = {"interval": "step"} | settings
        own = {"max_lr": lr, "total_steps": steps()} if short_name(spec) == "onecycle" else {"T_max": steps()}
        arguments = own | arguments
    return {"scheduler": instantiate(LRScheduler, named("lr_scheduler", spec), optimizer, **arguments), **settings}


def build_loss(spec: AnySpec, classes: int) -> nn.Module:
    """A module from logits (B, classes) and targets (B,) to the losses (B,), or to their sum ().

    The sum if it has an option ``reduction``, as torch's losses do.

    Raises:
        UsageError: there is no such class, or it does not take the arguments, or it returns something else.
    """
    given, arguments = named("loss", spec), arguments_of(spec)
    if "reduction" in arguments:
        raise UsageError("--loss.reduction cannot be set: the loss is always the mean over all images")
    if isinstance(given, nn.Module):
        loss = copy.copy(given)
        vars(loss).update({"reduction": "sum"} if hasattr(given, "reduction") else {})
    else:
        own = {"reduction": "sum"} if accepts(given, "reduction") else {}
        loss = instantiate(nn.Module, given, **arguments, **own)
    if any(parameter.requires_grad for parameter in loss.parameters()):
        raise UsageError(f"the loss {short_name(given)} has trainable parameters, which no optimizer would update")
    _check_losses(short_name(given), loss, classes)
    return loss


def _check_losses(name: str, loss: nn.Module, classes: int) -> None:
    """Raise a UsageError unless it returns one loss for each image, or their sum: a mean would be divided again."""
    device = next(loss.buffers(), torch.empty(0)).device
    expected = () if hasattr(loss, "reduction") else (2,)
    try:
        losses = loss(torch.zeros(2, classes, device=device), torch.tensor([0, classes - 1], device=device))
    except Exception as error:  # from code that is not ours
        what = f"logits (2, {classes}) and targets (2,)"
        raise UsageError(f"the loss {name} does not take {what}: {' '.join(str(error).split())}") from error
    if (shape := tuple(getattr(losses, "shape", ()))) != expected:
        raise UsageError(f"the loss {name} returns {shape} for 2 images, not {expected}: one loss per image")
