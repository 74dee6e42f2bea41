"""What a module and its callbacks change in training though no checkpoint of
Lightning's holds it.
"""

from collections import deque
from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Any

from lightning.fabric.utilities import move_data_to_device
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import BatchSizeFinder, LearningRateFinder
from lightning.pytorch.tuner.lr_finder import _determine_lr_attr_name
from lightning.pytorch.utilities.parsing import lightning_getattr, lightning_setattr
from lightning_utilities.core.apply_func import apply_to_collection
from torch import Tensor, nn
from torchmetrics import Metric, MetricTracker

from convblocks.run.process_state import Keeper, State
from convblocks.run.resume import callbacks_of

# What Lightning and torch set themselves.
SET_BY_LIGHTNING = {
    *vars(LightningModule()),
    "_hparams",
    "_hparams_name",
    "_hparams_initial",
    "_log_hyperparams",
}

# Whether parts train, which finetuning sets, or a hook at the start of an epoch.
FLAGS = ("training", "requires_grad", "track_running_stats")

SCALARS = (int, float, str, type(None))


class ModuleState(Keeper):
    """Keeps what has changed since a training began.

    - Attributes that hold numbers, words, tensors, and containers of these.
    - Buffers that are not persistent, flags, and how many metrics a MetricTracker has.
    - The values that Lightning's finders of learning rate and batch size chose: they
      would search again.
    """

    def __init__(self, trainer: Trainer) -> None:
        super().__init__(trainer)
        self._first: dict[tuple[str, str], Any] = {}  # marks, when training began
        self._values_then: list[Any] = []  # otherwise others could get their ids

    def state(self, within_epoch: bool) -> State:
        module = self.trainer.lightning_module
        weights = {
            weight.untyped_storage().data_ptr()
            for weight in chain(module.parameters(), module.buffers())
        }
        changed: dict[str, State] = {}
        for (owner, name), value in self._attributes():
            now = mark(value)
            if (
                now is not None
                and now != self._first.get((owner, name))
                and not _views(value, weights)
            ):
                changed.setdefault(owner, {})[name] = plain(value)
        return {
            "changed": changed,
            "buffers": {name: plain(buffer) for name, buffer in _buffers(module)},
            "flags": self._flags(),
            "trackers": {name: len(tracker) for name, tracker in _trackers(module)},
            "found": {name: lightning_getattr(module, name) for name in self._names_of_finders()},
        }

    def load(self, state: State) -> None:
        for name, value in state["found"].items():
            lightning_setattr(self.trainer.lightning_module, name, value)
        for finder in callbacks_of(self.trainer, LearningRateFinder, BatchSizeFinder):
            finder.on_fit_start = Callback().on_fit_start  # it does nothing

    def restore(self, state: State | None, within_epoch: bool) -> None:
        for key, value in self._attributes():
            self._first[key] = mark(value)
            self._values_then.append(value)
        if state is None:
            return
        module, owners = self.trainer.lightning_module, self._owners()
        for owner, values in state["changed"].items():
            for name, value in values.items() if owner in owners else ():
                put(vars(owners[owner]), name, move_data_to_device(value, module.device))
        for name, tracker in _trackers(module):
            while len(tracker) < state["trackers"].get(name, 0):
                tracker.increment()
        parts = dict(module.named_modules())
        for name, value in state["buffers"].items():
            owner, _, attribute = name.rpartition(".")
            if owner in parts and (buffer := parts[owner]._buffers.get(attribute)) is not None:
                buffer.data = value.to(buffer.device)  # others may share it
            elif owner in parts:  # made in a step
                parts[owner].register_buffer(attribute, value.to(module.device), persistent=False)
        for name, part in self._parts():
            for flag, is_set in state["flags"].get(name, {}).items():
                setattr(part, flag, is_set)

    def _owners(self) -> dict[str, Any]:
        """The module, its parts, and callbacks that do not come from Lightning's or
        this package's, by names.
        """
        module = self.trainer.lightning_module
        owners: dict[str, Any] = {f"module {name}": part for name, part in module.named_modules()}
        for number, callback in enumerate(callbacks_of(self.trainer, Callback)):
            kinds = type(callback).__mro__[
                : type(callback).__mro__.index(Callback)
            ]  # Lightning's keep times
            if not any(kind.__module__.startswith(("lightning.", "convblocks.")) for kind in kinds):
                owners[f"callback {number}"] = callback
        return owners

    def _attributes(self) -> Iterator[tuple[tuple[str, str], Any]]:
        for owner, part in self._owners().items():
            skipped = SET_BY_LIGHTNING | (
                part._defaults.keys() if isinstance(part, Metric) else set()
            )
            for name, value in vars(part).items():
                if name not in skipped and not (isinstance(part, Metric) and name.startswith("_")):
                    yield (owner, name), value

    def _parts(self) -> Iterator[tuple[str, Any]]:
        module = self.trainer.lightning_module
        return chain(
            module.named_modules(prefix="module"), module.named_parameters(prefix="weight")
        )

    def _flags(self) -> dict[str, dict[str, bool]]:
        """In an evaluation, which sets some, as before it."""
        flags = {
            name: {flag: getattr(part, flag) for flag in FLAGS if hasattr(part, flag)}
            for name, part in self._parts()
        }
        if self.trainer.validating:
            for (
                name,
                is_training,
            ) in self.trainer.fit_loop.epoch_loop.val_loop._module_mode.mode.items():
                flags[f"module.{name}".rstrip(".")]["training"] = is_training
        return flags

    def _names_of_finders(self) -> list[str]:
        """The attributes that finders change."""
        module = self.trainer.lightning_module
        sizes = [finder._batch_arg_name for finder in callbacks_of(self.trainer, BatchSizeFinder)]
        finders = callbacks_of(self.trainer, LearningRateFinder)
        return sizes + [
            _determine_lr_attr_name(module, finder._attr_name)
            for finder in finders
            if finder._update_attr
        ]


make_keeper = ModuleState  # for any training


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
        there |= value
    elif isinstance(there, list | deque) and isinstance(value, list):
        there.clear()
        there.extend(value)
    else:
        attributes[name] = value


def _views(value: Any, storages: set[int]) -> bool:
    """Whether a tensor in a value shares the memory of a weight, which changes with it."""
    pointers: list[int] = []
    apply_to_collection(
        value, Tensor, lambda tensor: pointers.append(tensor.untyped_storage().data_ptr())
    )
    return bool(storages & {*pointers} - {0})


def _trackers(module: nn.Module) -> list[tuple[str, MetricTracker]]:
    return [
        (name, part) for name, part in module.named_modules() if isinstance(part, MetricTracker)
    ]


def _buffers(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """The buffers that are not in the ``state_dict``."""
    for prefix, part in module.named_modules():
        for name in part._non_persistent_buffers_set:
            if (buffer := part._buffers.get(name)) is not None:
                yield f"{prefix}.{name}".lstrip("."), buffer
