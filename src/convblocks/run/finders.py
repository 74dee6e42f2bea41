"""Lightning's finders of learning rate and batch size search once: a resume keeps what they found."""

from collections.abc import Mapping
from typing import Any

from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import BatchSizeFinder, Callback, LearningRateFinder
from lightning.pytorch.tuner.lr_finder import _determine_lr_attr_name
from lightning.pytorch.utilities.parsing import lightning_getattr, lightning_setattr


def found_values(trainer: Trainer) -> dict[str, Any]:
    """What finders have changed in the module or its data, by the names of the attributes."""
    module, names = trainer.lightning_module, []
    for finder in _finders(trainer):
        if isinstance(finder, BatchSizeFinder):
            names.append(finder._batch_arg_name)
        elif finder._update_attr:
            names.append(_determine_lr_attr_name(module, finder._attr_name))
    return {name: lightning_getattr(module, name) for name in names}


def keep_found(trainer: Trainer, values: Mapping[str, Any]) -> None:
    """Set these values, if any, and let the finders not search when the training starts."""
    for name, value in values.items():
        lightning_setattr(trainer.lightning_module, name, value)
    for finder in _finders(trainer) if values else ():
        finder.on_fit_start = Callback().on_fit_start  # type: ignore[method-assign]  # it does nothing


def _finders(trainer: Trainer) -> list[LearningRateFinder | BatchSizeFinder]:
    callbacks = trainer.callbacks  # type: ignore[attr-defined]  # Lightning sets it at run time
    return [one for one in callbacks if isinstance(one, LearningRateFinder | BatchSizeFinder)]
