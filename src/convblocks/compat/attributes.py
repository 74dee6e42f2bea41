"""Attributes that a user's module or callback changes in training, which Lightning's checkpoints do not hold."""

from collections import deque
from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Any

from lightning.fabric.utilities import move_data_to_device
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning_utilities.core.apply_func import apply_to_collection
from torch import Tensor, nn
from torchmetrics import Metric

from convblocks.run.process_state import Keeper, State
from convblocks.run.resume import callbacks_of

# What Lightning and torch set themselves.
NOT_OWN = {*vars(LightningModule()), "_hparams", "_hparams_name", "_hparams_initial", "_log_hyperparams"}

# Whether parts train, which finetuning sets, or a hook at the start of an epoch.
FLAGS = ("training", "requires_grad", "track_running_stats")

SCALARS = (int, float, str, type(None))


def make_keeper(trainer: Trainer) -> "Attributes":
    """For any training."""
    return Attributes(trainer)


class Attributes(Keeper):
    """Keeps attributes that have changed since a training began: numbers, words, tensors, and containers of these."""

    def __init__(self, trainer: Trainer) -> None:
        super().__init__(trainer)
        self._first: dict[tuple[str, str], Any] = {}  # marks, when training began
        self._held: list[Any] = []  # the values, otherwise others could get their ids

    def begin(self) -> None:
        for key, value in self._values():
            self._first[key] = mark(value)
            self._held.append(value)

    def state(self, within_epoch: bool) -> State:
        weights = {part.untyped_storage().data_ptr() for part in self._weights()}
        changed: dict[str, State] = {}
        for (owner, name), value in self._values():
            found = mark(value)
            if found is not None and found != self._first.get((owner, name)) and not _views(value, weights):
                changed.setdefault(owner, {})[name] = plain(value)
        return {"changed": changed, "flags": self._flags()}

    def restore(self, state: State, within_epoch: bool) -> None:
        device, owners = self.trainer.lightning_module.device, self._owners()
        for owner, values in state["changed"].items():
            for name, value in values.items() if owner in owners else ():
                put(vars(owners[owner]), name, move_data_to_device(value, device))
        for name, part in self._parts():
            for flag, value in state["flags"].get(name, {}).items():
                setattr(part, flag, value)

    def _owners(self) -> dict[str, Any]:
        """The module, its parts, and callbacks that do not come from Lightning's or this package's, by names."""
        found: dict[str, Any] = {f"module {name}": part for name, part in self.trainer.lightning_module.named_modules()}
        for number, callback in enumerate(callbacks_of(self.trainer, Callback)):
            kinds = type(callback).__mro__[: type(callback).__mro__.index(Callback)]  # Lightning's keep times
            if not any(kind.__module__.startswith(("lightning.", "convblocks.")) for kind in kinds):
                found[f"callback {number}"] = callback
        return found

    def _values(self) -> Iterator[tuple[tuple[str, str], Any]]:
        for owner, part in self._owners().items():
            skipped = NOT_OWN | (part._defaults.keys() if isinstance(part, Metric) else set())
            for name, value in vars(part).items():
                if name not in skipped and not (isinstance(part, Metric) and name.startswith("_")):
                    yield (owner, name), value

    def _weights(self) -> Iterator[Tensor]:
        return chain(self.trainer.lightning_module.parameters(), self.trainer.lightning_module.buffers())

    def _parts(self) -> Iterator[tuple[str, Any]]:
        module = self.trainer.lightning_module
        return chain(module.named_modules(prefix="module"), module.named_parameters(prefix="weight"))

    def _flags(self) -> dict[str, dict[str, bool]]:
        """In an evaluation, which sets some, as before it."""
        found = {
            name: {flag: getattr(part, flag) for flag in FLAGS if hasattr(part, flag)} for name, part in self._parts()
        }
        if self.trainer.validating:
            for name, is_training in self.trainer.fit_loop.epoch_loop.val_loop._module_mode.mode.items():
                found[f"module.{name}".rstrip(".")]["training"] = is_training
        return found


def mark(value: Any) -> Any:
    """What differs once a value has changed; None of what cannot be kept."""
    if isinstance(value, SCALARS):
        return type(value).__name__, value
    if isinstance(value, Tensor) and not isinstance(value, nn.Parameter):
        return id(value), value._version
    if isinstance(value, Mapping):
        parts = [*map(mark, value.keys()), *map(mark, value.values())]
    elif isinstance(value, list | tuple | deque):
        parts = [*map(mark, value)]
    else:
        return None
    return None if None in parts else (type(value).__name__, parts)


def plain(value: Any) -> Any:
    """As a checkpoint holds it."""
    if isinstance(value, Tensor):
        return value.detach().cpu().clone()
    if isinstance(value, Mapping):
        return {name: plain(part) for name, part in value.items()}
    if isinstance(value, tuple):
        return tuple(map(plain, value))
    return [*map(plain, value)] if isinstance(value, list | deque) else value


def put(attributes: dict[str, Any], name: str, value: Any) -> None:
    """Set an attribute; into a container that is there, which others may share."""
    there = attributes.get(name)
    if isinstance(there, dict) and isinstance(value, dict):
        there.clear()
        there.update(value)
    elif isinstance(there, list | deque) and isinstance(value, list):
        there.clear()
        there.extend(value)
    else:
        attributes[name] = value


def _views(value: Any, storages: set[int]) -> bool:
    """Whether a tensor in a value shares the memory of a weight, which changes with it."""
    found: list[int] = []
    apply_to_collection(value, Tensor, lambda tensor: found.append(tensor.untyped_storage().data_ptr()))
    return bool(storages & {*found} - {0})
