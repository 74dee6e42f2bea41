"""What a module and its callbacks change in training though no checkpoint of
Lightning's holds it.
"""

from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Any

from lightning.fabric.utilities import move_data_to_device
from lightning.pytorch import Callback, LightningModule
from torch import Tensor, nn
from torchmetrics import Metric, MetricTracker

from exact_resume.keepers.keeper import Keeper, State
from exact_resume.keepers.values import mark, memory_of, plain, put
from exact_resume.lightning_private import METRIC_STATES, MODES, NOT_PERSISTENT
from exact_resume.moment import Moment
from exact_resume.training import callbacks_of

# Whose attributes Lightning and torch set themselves.
UNUSED = LightningModule()
UNUSED.save_hyperparameters({"some": "name"})

# Whether parts train, which finetuning sets, or a hook at the start of an epoch.
FLAGS = ("training", "requires_grad", "track_running_stats")


class Attributes(Keeper):
    """Keeps what has changed since a training began.

    - Attributes that hold numbers, words, tensors, and containers of these: of the
      module, its parts, and callbacks. Those of Lightning keep times, and have a state
      of their own, as those have whose class sets ``keeps_own_state``.
    - Buffers that are not persistent, flags, and how many metrics a MetricTracker has.
    """

    def setup(self, trainer: Any) -> None:
        super().setup(trainer)
        self._marks: dict[tuple[str, str], Any] = {}  # when training began
        self._values_then: list[Any] = []  # otherwise others could get their ids

    def begin(self) -> None:
        for key, value in self._attributes():
            self._marks[key] = mark(value)
            self._values_then.append(value)

    def state(self, moment: Moment) -> State:
        module = self.trainer.lightning_module
        return {
            "changed": self._changed(),
            "buffers": {name: plain(buffer) for name, buffer in buffers_not_kept(module)},
            "flags": self._flags(),
            "trackers": {name: len(tracker) for name, tracker in _trackers(module)},
        }

    def restore(self, state: State, moment: Moment) -> None:
        module, owners = self.trainer.lightning_module, self._owners()
        for owner in owners.keys() & state["changed"].keys():
            for name, value in state["changed"][owner].items():
                put(vars(owners[owner]), name, move_data_to_device(value, module.device))
        for name, tracker in _trackers(module):
            while len(tracker) < state["trackers"].get(name, 0):
                tracker.increment()
        for name, value in state["buffers"].items():
            _set_buffer(module, name, value)
        for name, part in self._parts_with_flags():
            for flag, is_set in state["flags"].get(name, {}).items():
                setattr(part, flag, is_set)

    def parts(self) -> Mapping[str, Any]:
        owners = self._owners()
        attributes = {
            f"attribute {owner}.{name}".replace(" .", " "): value
            for (owner, name), value in self._attributes()
            if not isinstance(owners[owner], Metric)  # which is compared as a whole
        }
        buffers = buffers_not_kept(self.trainer.lightning_module)
        return {f"buffer {name}": buffer for name, buffer in buffers} | attributes

    def _changed(self) -> dict[str, State]:
        """By owner and name, what differs from when training began."""
        module = self.trainer.lightning_module
        weights = memory_of([*module.parameters(), *module.buffers()])
        changed: dict[str, State] = {}
        for (owner, name), value in self._attributes():
            now = mark(value)
            if now is None or now == self._marks.get((owner, name)):
                continue
            if not memory_of(value) & weights:  # otherwise it changes with them
                changed.setdefault(owner, {})[name] = plain(value)
        return changed

    def _owners(self) -> dict[str, Any]:
        """The module's parts and the callbacks whose attributes are kept, by names."""
        owners: dict[str, Any] = dict(self.trainer.lightning_module.named_modules())
        for callback in callbacks_of(self.trainer, Callback):
            if not _keeps_own_state(callback):
                name = type(callback).__name__
                while name in owners:
                    name += "'"
                owners[name] = callback
        return owners

    def _attributes(self) -> Iterator[tuple[tuple[str, str], Any]]:
        for owner, part in self._owners().items():
            is_metric = isinstance(part, Metric)
            skipped = {*vars(UNUSED)}
            if is_metric:
                skipped |= METRIC_STATES.of(part).keys()
            for name, value in vars(part).items():
                if name not in skipped and not (is_metric and name.startswith("_")):
                    yield (owner, name), value

    def _parts_with_flags(self) -> Iterator[tuple[str, Any]]:
        module = self.trainer.lightning_module
        return chain(
            module.named_modules(prefix="module"), module.named_parameters(prefix="weight")
        )

    def _flags(self) -> dict[str, dict[str, bool]]:
        """In an evaluation, which sets some, as before it."""
        flags = {
            name: {flag: getattr(part, flag) for flag in FLAGS if hasattr(part, flag)}
            for name, part in self._parts_with_flags()
        }
        if self.trainer.validating:
            modes = MODES.of(self.trainer.fit_loop.epoch_loop.val_loop).mode
            for name, is_training in modes.items():
                flags[f"module.{name}".rstrip(".")]["training"] = is_training
        return flags


def _keeps_own_state(callback: Callback) -> bool:
    kinds = type(callback).__mro__
    own = kinds[: kinds.index(Callback)]
    is_lightnings = any(kind.__module__.startswith("lightning.") for kind in own)
    return is_lightnings or getattr(callback, "keeps_own_state", False)


def _trackers(module: nn.Module) -> list[tuple[str, MetricTracker]]:
    parts = module.named_modules()
    return [(name, part) for name, part in parts if isinstance(part, MetricTracker)]


def buffers_not_kept(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """The buffers that are not in the ``state_dict``."""
    for prefix, part in module.named_modules():
        for name in NOT_PERSISTENT.of(part):
            if (buffer := getattr(part, name)) is not None:
                yield f"{prefix}.{name}".lstrip("."), buffer


def _set_buffer(module: LightningModule, name: str, value: Tensor) -> None:
    owner, _, attribute = name.rpartition(".")
    part = dict(module.named_modules()).get(owner)
    if part is None:
        return
    buffer = getattr(part, attribute, None)
    if isinstance(buffer, Tensor):
        buffer.data = value.to(buffer.device)  # others may share it
    else:  # made in a step
        part.register_buffer(attribute, value.to(module.device), persistent=False)
