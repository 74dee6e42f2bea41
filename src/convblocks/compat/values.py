"""What a module and its data change in training though no checkpoint holds it."""

from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import BatchSizeFinder, Callback, LearningRateFinder
from lightning.pytorch.tuner.lr_finder import _determine_lr_attr_name
from lightning.pytorch.utilities.parsing import lightning_getattr, lightning_setattr
from torch import Tensor, nn
from torchmetrics import MetricTracker

from convblocks.run.process_state import Keeper, State
from convblocks.run.resume import callbacks_of


def make_keeper(trainer: Trainer) -> "Values":
    """For any training."""
    return Values(trainer)


class Values(Keeper):
    """Keeps buffers that are not persistent, how many metrics a MetricTracker has, and the values that finders chose.

    Lightning's finders of learning rate and batch size would search again on each resume.
    """

    def state(self, within_epoch: bool) -> State:
        module = self.trainer.lightning_module
        return {
            "buffers": {name: buffer.detach().cpu().clone() for name, buffer in _buffers(module).items()},
            "trackers": {name: len(tracker) for name, tracker in _trackers(module).items()},
            "found": {name: lightning_getattr(module, name) for name in self._names()},
        }

    def load(self, state: State) -> None:
        for name, value in state["found"].items():
            lightning_setattr(self.trainer.lightning_module, name, value)
        for finder in callbacks_of(self.trainer, LearningRateFinder, BatchSizeFinder):
            finder.on_fit_start = Callback().on_fit_start  # it does nothing

    def restore(self, state: State, within_epoch: bool) -> None:
        module = self.trainer.lightning_module
        for name, tracker in _trackers(module).items():
            while len(tracker) < state["trackers"].get(name, 0):
                tracker.increment()
        parts = dict(module.named_modules())
        for name, value in state["buffers"].items():
            owner, _, attribute = name.rpartition(".")
            if (part := parts.get(owner)) is None:
                continue
            if (buffer := part._buffers.get(attribute)) is not None:
                buffer.data = value.to(buffer.device)  # others may share it
            else:  # made in a step
                part.register_buffer(attribute, value.to(module.device), persistent=False)

    def _names(self) -> list[str]:
        """The attributes that finders change."""
        module = self.trainer.lightning_module
        of_sizes = [finder._batch_arg_name for finder in callbacks_of(self.trainer, BatchSizeFinder)]
        finders = callbacks_of(self.trainer, LearningRateFinder)
        of_rates = [finder._attr_name for finder in finders if finder._update_attr]
        return of_sizes + [_determine_lr_attr_name(module, name) for name in of_rates]


def _trackers(module: nn.Module) -> dict[str, MetricTracker]:
    return {name: part for name, part in module.named_modules() if isinstance(part, MetricTracker)}


def _buffers(module: nn.Module) -> dict[str, Tensor]:
    """The buffers that are not in the ``state_dict``."""
    return {
        f"{name}.{own}".lstrip("."): buffer
        for name, part in module.named_modules()
        for own, buffer in part._buffers.items()
        if own in part._non_persistent_buffers_set and buffer is not None
    }
