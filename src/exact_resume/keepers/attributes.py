"""Keeps the attributes that a module, its callbacks and its data module change in
training, and that are in no checkpoint of Lightning's.
"""

import sys
from typing import Any

import numpy as np
from lightning.fabric.utilities import move_data_to_device
from lightning.pytorch import Callback, Trainer
from torch import Tensor, nn
from torchmetrics import Metric, MetricTracker

from exact_resume.keeper import Keeper, Moment, State
from exact_resume.keepers.classes import is_frameworks
from exact_resume.keepers.marks import mark
from exact_resume.keepers.metrics import names_of_reset, parts_of
from exact_resume.keepers.owners import Place, attributes_of, owners_of, set_value
from exact_resume.keepers.values import (
    CONTAINERS,
    Copies,
    Restoring,
    Way,
    memory_of,
    objects_in,
    plain,
)
from exact_resume.lightning_private import NOT_PERSISTENT
from exact_resume.training import ByName

# The most objects in an attribute that are restored in place, since others may hold them too.
MOST = 1000

# Values that hooks at the start have made are kept up to the size of the weights, and so many
# bytes more.
SMALL = 2**20

# The attribute in which an object was when training began, and the way to it from there.
Origin = tuple[Place, Way]


class Attributes(Keeper):
    """Keeps the attributes that have changed since a training began.

    - Attributes that hold numbers, strings, tensors, arrays, and containers of these: of
      the module, its parts, callbacks, the data module, and some of the Trainer's; also
      hyper-parameters. Left out are Lightning's own callbacks, which keep times and have a
      state of their own, and callbacks whose class sets ``keeps_own_state``; but what a
      class that is derived from one of Lightning's adds is kept.
    - Tensors, arrays and floats that hooks at the start have made, such as a copy of the
      first weights: on a resume the hook would copy later ones.
    - Whether each part is in training mode, and each weight is trained, which finetuning or
      a hook may change.
    - Buffers that are not persistent, and how many metrics a MetricTracker has.
    """

    def setup(self, trainer: Trainer) -> None:
        super().setup(trainer)
        # The marks of values, by attribute: before the hooks at the start, and when training began.
        self._before_start: dict[Place, Any] = {}
        self._at_start: dict[Place, Any] = {}
        # The objects in attributes when training began, by their place; and the first place of
        # each, by its id.
        self._objects: dict[Origin, Any] = {}
        self._origins: dict[int, Origin] = {}
        # Attributes that are always kept: those that hooks at the start have made, and those that
        # a resume has restored.
        self._made: set[Place] = set()
        self._restored: set[Place] = set()
        self._mark_before_start(callbacks=True)

    def fit_starts(self) -> None:
        self._mark_before_start(callbacks=False)

    def _mark_before_start(self, callbacks: bool) -> None:
        """Mark attributes before hooks at the start may change them.

        Args:
            callbacks: Whether to mark those of callbacks; otherwise those of everything else,
                which the module's hook may change.
        """
        owners = owners_of(self.trainer)
        for key, value in attributes_of(self.trainer):
            if isinstance(owners[key[0]], Callback) == callbacks:
                self._before_start[key] = mark(value)

    def begin(self) -> None:
        left = SMALL + _size_of([*self.module.parameters()])
        weights = self._memory_of_weights()
        for key, value in attributes_of(self.trainer):
            now = mark(value)
            # setdefault, since a finder may have begun a training before.
            self._at_start.setdefault(key, now)
            for way, thing in objects_in(value, MOST):
                origin = key, way
                self._objects.setdefault(origin, thing)
                self._origins.setdefault(id(thing), origin)
            is_made = now is not None and now != self._before_start.get(key)
            if is_made and _holds_numbers(value) and not memory_of(value) & weights:
                size = _size_of(value)
                if size <= left:
                    left -= size
                    self._made.add(key)

    def state(self, moment: Moment) -> State:
        trackers = parts_of(self.module, MetricTracker)
        copies: Copies = {}
        changed = {key: plain(value, copies) for key, value in self.changed().items()}
        origins = [
            (copy, self._origins[name])
            for name, (thing, copy) in copies.items()
            if name in self._origins and self._objects[self._origins[name]] is thing
        ]
        return {
            "changed": changed,
            "origins": origins,
            "buffers": {
                key: plain(buffer) for key, buffer in buffers_not_kept(self.module).items()
            },
            "trackers": {name: len(tracker) for name, tracker in trackers.items()},
            "reset": self._to_reset(moment),
        }

    def _to_reset(self, moment: Moment) -> list[str]:
        """The metrics with a ``reset`` of their own that Lightning is about to call."""
        begins = () if moment is Moment.WITHIN_EPOCH else names_of_reset(self.trainer)
        return [
            name
            for name, metric in parts_of(self.module, Metric).items()
            if f"{name}.".startswith(begins) and not is_frameworks(type(metric).reset)
        ]

    def restore(self, state: State) -> None:
        for name, tracker in parts_of(self.module, MetricTracker).items():
            while len(tracker) < state["trackers"].get(name, 0):
                tracker.increment()
        owners = owners_of(self.trainer)
        restoring = Restoring(self.module.device)
        for kept, origin in state["origins"]:
            if origin in self._objects:
                restoring.into(kept, self._objects[origin])
        for (owner, name), kept in state["changed"].items():
            if owner in owners:
                set_value(owners[owner], name, restoring.value(kept))
        self._restored |= state["changed"].keys()
        buffers = move_data_to_device(state["buffers"], self.module.device)
        for (owner, name), value in buffers.items():
            if owner in owners:
                _set_buffer(owners[owner], name, value)
        metrics = parts_of(self.module, Metric)
        for name in state["reset"]:
            if name in metrics:
                metrics[name].reset()

    def parts(self) -> ByName:
        attributes = dict(attributes_of(self.trainer))
        kinds = {"buffer": buffers_not_kept(self.module), "attribute": attributes}
        return {
            f"{kind} {owner}.{name}".replace(" .", " "): value
            for kind, values in kinds.items()
            for (owner, name), value in values.items()
        }

    def changed(self) -> dict[Place, Any]:
        """The values of attributes, by owner and name, that have changed since training began, or
        that a resume would not have by itself: hooks at the start made them, or an earlier
        resume restored them.
        """
        weights = self._memory_of_weights()
        always = self._made | self._restored
        changed = {}
        for key, value in attributes_of(self.trainer):
            now = mark(value)
            has_changed = now is not None and (key in always or now != self._at_start.get(key))
            # A tensor that shares memory with weights changes with them.
            if has_changed and not memory_of(value) & weights:
                changed[key] = value
        return changed

    def _memory_of_weights(self) -> set[int]:
        return memory_of([*self.module.parameters(), *self.module.buffers()])


def _holds_numbers(value: Any) -> bool:
    """True for a value with tensors, arrays or floats in it."""
    things = [value, *(thing for _, thing in objects_in(value, MOST))]
    parts = [part for thing in things for part in _parts_of(thing)]
    return any(isinstance(part, Tensor | float | np.ndarray | np.generic) for part in parts)


def _parts_of(thing: Any) -> list[Any]:
    parts = thing.values() if isinstance(thing, dict) else thing
    return [thing, *(parts if isinstance(thing, CONTAINERS) else ())]


def _size_of(value: Any) -> int:
    """At most the bytes of all that is in a value: an object without a known size counts as 8
    bytes for each part.
    """
    things = [thing for _, thing in objects_in(value, sys.maxsize)]
    counted = [getattr(thing, "nbytes", 8 * len(_parts_of(thing))) for thing in things]
    return sum(counted)


def buffers_not_kept(module: nn.Module) -> dict[Place, Tensor | None]:
    """The buffers that the module's ``state_dict`` lacks, by the name of their part and their
    own.
    """
    return {
        (owner, name): getattr(part, name)
        for owner, part in module.named_modules()
        for name in NOT_PERSISTENT.of(part)
    }


def _set_buffer(part: nn.Module, name: str, value: Tensor | None) -> None:
    buffer = getattr(part, name, None)
    if isinstance(buffer, Tensor) and value is not None:
        buffer.data = value.to(buffer.device)  # in place, since others may hold the buffer
    else:  # a step of the training has made the buffer
        part.register_buffer(name, value, persistent=False)
