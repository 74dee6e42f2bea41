"""The state of a training between two steps, as a digest of each of its parts."""

import hashlib
import random
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from types import FunctionType, MethodType
from typing import Any

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from torchmetrics import Metric

from convblocks.run.process_state import generators
from convblocks.run.resume import callbacks_of

# Digests by (kind, name).
State = dict[tuple[str, str], str]

# How deep attributes are looked into: an object may hold a deque of tuples of tensors.
DEPTH = 4

# What nobody sets on purpose: attributes of any LightningModule, and what metrics compute anew from their states.
NOT_OWN = {*vars(LightningModule()), "_computed", "_cache", "_to_sync", "_should_unsync", "_is_synced"}


def state_of(trainer: Trainer, module: LightningModule, batch: Any) -> State:
    """All that decides what the training does next, with the batch it will take, and what it has logged."""
    parts = {
        "random": generators().items(),
        "buffer": _buffers(module),
        "weight": module.state_dict().items(),
        "optimizer": _optimizers(trainer, module),
        "schedule": ((str(i), config.scheduler.state_dict()) for i, config in enumerate(trainer.lr_scheduler_configs)),
        "metric": ((name, part) for name, part in module.named_modules() if isinstance(part, Metric)),
        "batch": [("", batch)],
        "logged": ((name, value.double()) for name, value in trainer.callback_metrics.items()),
        "attribute": _attributes(trainer, module),
        "gradient": _gradients(module),
    }
    return {(kind, name): digest(value) for kind, named in parts.items() for name, value in named}


def digest(value: Any) -> str:
    """A hash of tensors, plain values and whatever holds them: numbers by their value, lists and tuples alike."""
    hashed = hashlib.blake2b(digest_size=16)
    for part in _bytes_of(value, DEPTH):
        hashed.update(part)
    return hashed.hexdigest()


def _bytes_of(value: Any, depth: int) -> Iterator[bytes]:
    if isinstance(value, Tensor):
        tensor = value.detach().cpu()
        yield f"{tensor.dtype} {tuple(tensor.shape)}".encode()
        dense = tensor.clone() if tensor.layout == torch.strided else tensor.to_dense()  # numpy() would pin its size
        yield dense.reshape(-1).view(torch.uint8).numpy().tobytes()
    elif isinstance(value, np.ndarray):
        yield f"{value.dtype} {value.shape}".encode()
        yield from _bytes_of(value.tolist(), depth) if value.dtype.hasobject else [value.tobytes()]
    elif isinstance(value, bool | str | bytes | complex | None):
        yield repr(value).encode()
    elif isinstance(value, int | float | np.number):
        number = value.item() if isinstance(value, np.number) else value
        yield repr(int(number) if isinstance(number, float) and number.is_integer() else number).encode()
    elif depth:
        yield b"sequence" if isinstance(value, list | tuple) else type(value).__name__.encode()
        for name, part in _inner(value):
            yield f"({name}".encode()
            yield from _bytes_of(part, depth - 1)


def _inner(value: Any) -> Iterable[tuple[Any, Any]]:
    """The parts of a value, by name; of one that is changed elsewhere, such as a module's Trainer, none."""
    match value:
        case Metric():
            return [item for item in _own(value) if not item[0].startswith("_")] + [("updates", value._update_count)]
        case LightningModule() | Trainer() | Callback() | type() | FunctionType() | MethodType():
            return ()
        case Optimizer() | LRScheduler():
            return value.state_dict().items()
        case nn.Module():
            return [*value.state_dict().items(), *_buffers(value)]
        case torch.Generator():
            return [("state", value.get_state())]
        case np.random.Generator():
            return [("state", value.bit_generator.state)]
        case random.Random():
            return [("state", value.getstate())]
        case Mapping():
            return [(name, part) for name, part in value.items()]
        case set() | frozenset():
            return enumerate(sorted(map(digest, value)))
        case list() | tuple() | deque():
            return enumerate(value)
        case _:
            return getattr(value, "__dict__", {}).items()


def _buffers(module: nn.Module) -> list[tuple[str, Tensor]]:
    """Those that no checkpoint holds."""
    held = module.state_dict().keys()
    return [(name, buffer) for name, buffer in module.named_buffers() if name not in held]


def _gradients(module: LightningModule) -> Iterator[tuple[str, Any]]:
    """Those that the module itself may accumulate."""
    if not module.automatic_optimization:
        yield from ((name, weight.grad) for name, weight in module.named_parameters())


def _optimizers(trainer: Trainer, module: LightningModule) -> Iterator[tuple[str, Any]]:
    names: dict[Tensor, str] = {parameter: name for name, parameter in module.named_parameters()}
    for number, optimizer in enumerate(trainer.optimizers):
        for group, options in enumerate(optimizer.param_groups):
            yield f"of group {number}.{group}", {name: value for name, value in options.items() if name != "params"}
        for parameter, state in optimizer.state.items():
            yield f"of {names.get(parameter, 'a parameter')}", state


def _own(part: Any) -> list[tuple[str, Any]]:
    items = vars(part).items()
    return [(name, value) for name, value in items if name not in NOT_OWN and not isinstance(value, MethodType)]


def _attributes(trainer: Trainer, module: LightningModule) -> Iterator[tuple[str, Any]]:
    """Attributes of the module, of its parts and of callbacks, which Lightning neither saves nor restores."""
    for prefix, part in module.named_modules():
        if not isinstance(part, Metric):
            yield from ((f"{prefix}.{name}".lstrip("."), value) for name, value in _own(part))
    for callback in callbacks_of(trainer, Callback):
        if not type(callback).__module__.startswith(("lightning.", "convblocks.")):
            yield from ((f"{type(callback).__name__}.{name}", value) for name, value in vars(callback).items())
