"""The objects whose attributes a training may change, here called owners: the module, its
parts and weights, callbacks, the data module and the Trainer.
"""

from collections.abc import Iterator
from typing import Any

from lightning.pytorch import Callback, LightningDataModule, LightningModule, Trainer
from torch import Tensor, nn
from torchmetrics import Metric

from exact_resume.keepers.classes import frameworks_names, is_frameworks
from exact_resume.lightning_private import MODES
from exact_resume.training import ByName, callbacks_of

# The name of an owner, and the name of one of its attributes.
Place = tuple[str, str]

# The attributes of the Trainer that a callback may set at the start of an epoch.
SETTINGS = (
    *("accumulate_grad_batches", "gradient_clip_val", "gradient_clip_algorithm"),
    *("limit_train_batches", "limit_val_batches", "check_val_every_n_epoch"),
    *("val_check_interval", "log_every_n_steps"),
)


def _framework_attributes(unused: Any) -> set[str]:
    """The names of the attributes that Lightning and torch set in a module or a data module
    of their own; save_hyperparameters adds the last of them.
    """
    unused.save_hyperparameters({"some": "name"})
    return {*vars(unused)} - {"training"}


OF_MODULES = _framework_attributes(LightningModule())
OF_DATA = _framework_attributes(LightningDataModule())


def owners_of(trainer: Trainer) -> ByName:
    """The owners whose attributes are kept, by names, and the dicts of their
    hyper-parameters.
    """
    module = trainer.lightning_module
    owners: ByName = dict(module.named_modules())
    owners |= module.named_parameters()
    others = [(type(callback).__name__, callback) for callback in callbacks_of(trainer, Callback)]
    data = trainer.datamodule  # type: ignore[attr-defined]  # Lightning sets it at run time
    others += [("datamodule", data)] if data is not None else []
    others.append(("Trainer", trainer))
    for name, other in others:
        if not _keeps_own_state(other):
            while name in owners:
                name += "'"
            owners[name] = other
    for name, owner in [*owners.items()]:
        has_hparams = isinstance(owner, LightningModule | LightningDataModule)
        if has_hparams and isinstance(owner.hparams, dict):
            owners[f"{name}.hparams".removeprefix(".")] = owner.hparams
    return owners


def attributes_of(trainer: Trainer) -> Iterator[tuple[Place, Any]]:
    """The attributes that are kept, by the owner's name and their own, with their values. In
    an evaluation, ``training`` of each part is what it was before.
    """
    val_loop = trainer.fit_loop.epoch_loop.val_loop
    modes = MODES.of(val_loop).mode if trainer.validating else {}
    for owner, part in owners_of(trainer).items():
        values = _values_of(part)
        if owner in modes:
            values["training"] = modes[owner]
        yield from (((owner, name), value) for name, value in values.items())


def _values_of(part: Any) -> ByName:
    if isinstance(part, dict):  # hyper-parameters
        return {name: value for name, value in part.items() if isinstance(name, str)}
    if isinstance(part, Trainer):
        return {name: getattr(part, name) for name in SETTINGS if hasattr(part, name)}
    values = dict(vars(part))
    if isinstance(part, Tensor):
        values["requires_grad"] = part.requires_grad
    left_out = _names_left_out(part)
    return {name: value for name, value in values.items() if name not in left_out}


def _names_left_out(part: Any) -> set[str]:
    """The names of an owner's attributes that are not kept: a framework sets them, or another
    keeper keeps them.
    """
    if isinstance(part, LightningDataModule):
        return OF_DATA
    kind: Any = type(part)
    if isinstance(part, Callback):
        is_derived = any(map(is_frameworks, {*kind.__mro__} - {*Callback.__mro__}))
        return {*frameworks_names(kind)} if is_derived else set()
    if isinstance(part, Metric):
        private = {name for name in frameworks_names(kind) if name.startswith("_")}
        return OF_MODULES | part.metric_state.keys() | private
    return OF_MODULES if isinstance(part, nn.Module) else set()


def set_value(part: Any, name: str, value: Any) -> None:
    """Give an owner an attribute, or a hyper-parameter."""
    if isinstance(part, dict):
        part[name] = value
    else:
        object.__setattr__(part, name, value)  # modules and metrics refuse some with their own


def _keeps_own_state(owner: Any) -> bool:
    """True for an owner whose attributes are not kept: Lightning's callbacks, some of which
    keep times, and objects that set ``keeps_own_state``.
    """
    is_lightnings = isinstance(owner, Callback) and is_frameworks(type(owner))
    return is_lightnings or getattr(owner, "keeps_own_state", False)
