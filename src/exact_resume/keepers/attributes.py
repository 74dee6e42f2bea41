"""What a module and its callbacks change in training though no checkpoint of
Lightning's holds it.
"""

from collections.abc import Iterator
from typing import Any

from lightning.fabric.utilities import move_data_to_device
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor, nn
from torchmetrics import Metric, MetricTracker

from exact_resume.keeper import Keeper, Moment, State
from exact_resume.keepers.metrics import parts_of
from exact_resume.keepers.values import mark, memory_of, plain, set_attribute
from exact_resume.lightning_private import MODES, NOT_PERSISTENT
from exact_resume.training import ByName, callbacks_of

# The name of an owner, and that of its attribute.
Place = tuple[str, str]

# A bare module shows which attributes are the framework's; save_hyperparameters adds the
# last of them.
UNUSED = LightningModule()
UNUSED.save_hyperparameters({"some": "name"})

# Attributes that Lightning and torch set themselves.
FRAMEWORK_ATTRIBUTES = vars(UNUSED).keys() - {"training"}


class Attributes(Keeper):
    """Keeps what has changed since a training began.

    - Attributes that hold numbers, strings, tensors, and containers of these: of the
      module, its parts, and callbacks. Those of Lightning keep times, and have a state
      of their own, as those have whose class sets ``keeps_own_state``.
    - Whether parts train, which finetuning sets, or a hook at the start of an epoch.
    - Buffers that are not persistent, and how many metrics a MetricTracker has.
    """

    def setup(self, trainer: Trainer) -> None:
        super().setup(trainer)
        # The marks of values when training began.
        self._at_start: dict[Place, Any] = {}

    def begin(self) -> None:
        for key, value in self._attributes():
            self._at_start[key] = mark(value)

    def state(self, moment: Moment) -> State:
        trackers = parts_of(self.module, MetricTracker)
        return {
            "changed": self._changed(),
            "buffers": plain(buffers_not_kept(self.module)),
            "trackers": {name: len(tracker) for name, tracker in trackers.items()},
        }

    def restore(self, state: State) -> None:
        for name, tracker in parts_of(self.module, MetricTracker).items():
            while len(tracker) < state["trackers"].get(name, 0):
                tracker.increment()
        owners = self._owners()
        on_device = move_data_to_device(state, self.module.device)
        for kind, put in (("changed", set_attribute), ("buffers", _set_buffer)):
            for (owner, name), value in on_device[kind].items():
                if owner in owners:
                    put(owners[owner], name, value)

    def parts(self) -> ByName:
        kinds = {"buffer": buffers_not_kept(self.module), "attribute": dict(self._attributes())}
        return {
            f"{kind} {owner}.{name}".replace(" .", " "): value
            for kind, values in kinds.items()
            for (owner, name), value in values.items()
        }

    def _changed(self) -> dict[Place, Any]:
        """By owner and name, what differs from when training began."""
        weights = memory_of([*self.module.parameters(), *self.module.buffers()])
        changed = {}
        for key, value in self._attributes():
            now = mark(value)
            has_changed = now is not None and now != self._at_start.get(key)
            # What shares memory with weights changes with them.
            if has_changed and not memory_of(value) & weights:
                changed[key] = plain(value)
        return changed

    def _owners(self) -> ByName:
        """The module's parts and weights, and the callbacks whose attributes are kept,
        by names.
        """
        owners: ByName = dict(self.module.named_modules())
        owners |= self.module.named_parameters()
        for callback in callbacks_of(self.trainer, Callback):
            if not _keeps_own_state(callback):
                name = type(callback).__name__
                while name in owners:
                    name += "'"
                owners[name] = callback
        return owners

    def _attributes(self) -> Iterator[tuple[Place, Any]]:
        """By owner and name; in an evaluation, which sets who trains, as before it."""
        val_loop = self.trainer.fit_loop.epoch_loop.val_loop
        modes = MODES.of(val_loop).mode if self.trainer.validating else {}
        for owner, part in self._owners().items():
            values = dict(vars(part))
            if isinstance(part, Tensor):
                values["requires_grad"] = part.requires_grad
            if owner in modes:
                values["training"] = modes[owner]
            is_metric = isinstance(part, Metric)
            sums = part.metric_state if is_metric else ()
            for name, value in values.items():
                is_private = is_metric and name.startswith("_")
                if not (is_private or name in sums or name in FRAMEWORK_ATTRIBUTES):
                    yield (owner, name), value


def _keeps_own_state(callback: Callback) -> bool:
    own_kinds = {*type(callback).__mro__} - {*Callback.__mro__}
    is_lightnings = any(kind.__module__.startswith("lightning.") for kind in own_kinds)
    return is_lightnings or getattr(callback, "keeps_own_state", False)


def buffers_not_kept(module: nn.Module) -> dict[Place, Tensor | None]:
    """The buffers that are not in the ``state_dict``, by part and name."""
    return {
        (owner, name): getattr(part, name)
        for owner, part in module.named_modules()
        for name in NOT_PERSISTENT.of(part)
    }


def _set_buffer(part: nn.Module, name: str, value: Tensor | None) -> None:
    buffer = getattr(part, name, None)
    if isinstance(buffer, Tensor) and value is not None:
        buffer.data = value.to(buffer.device)  # others may share it
    else:  # made in a step
        part.register_buffer(name, value, persistent=False)
