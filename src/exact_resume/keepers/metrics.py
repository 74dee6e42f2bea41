"""Keeps the states of torchmetrics' metrics: sums over an unfinished epoch, or over more
than one.
"""

from lightning.pytorch import Trainer
from torch import Tensor, nn
from torchmetrics import Metric
from torchmetrics.metric import CompositionalMetric

from exact_resume.keeper import Keeper, Moment, State
from exact_resume.keepers.values import plain, restored
from exact_resume.lightning_private import COMPUTED, TRAIN_RESULTS, UPDATES, VAL_RESULTS
from exact_resume.training import ByName, say


class Metrics(Keeper):
    """Keeps the states of the module's metrics, as sums of this process."""

    kind = "metric"

    def state(self, moment: Moment) -> State:
        reset = () if moment is Moment.WITHIN_EPOCH else names_of_reset(self.trainer)
        return {
            name: sums_of(metric)
            for name, metric in parts_of(self.module, Metric).items()
            # Lightning resets the parts of a composition, not the composition itself.
            if isinstance(metric, CompositionalMetric) or not f"{name}.".startswith(reset)
        }

    def restore(self, state: State) -> None:
        for name, metric in parts_of(self.module, Metric).items():
            if name in state:
                set_sums(metric, state[name])

    def restore_other_world_size(self, state: State) -> None:
        has_sums = any(sums[UPDATES.name] for sums in state.values())
        is_within = self.trainer.fit_loop.restarted_mid_epoch
        if has_sums or is_within:
            say(
                "the number of processes has changed: metric sums restart; this epoch's "
                "cover only its remaining batches"
            )


def names_of_reset(trainer: Trainer) -> tuple[str, ...]:
    """Prefixes of the names of the metrics that Lightning is about to reset, after an
    evaluation or an epoch, since they are logged.
    """
    loop = trainer.fit_loop.epoch_loop
    ended = VAL_RESULTS.of(loop.val_loop) if trainer.validating else TRAIN_RESULTS.of(loop)
    return tuple(
        f"{logged.meta.metric_attribute}." for logged in ended.values() if not logged.is_tensor
    )


def parts_of(module: nn.Module, kind: type) -> ByName:
    """The parts of a module that are of a kind, by names."""
    return {name: part for name, part in module.named_modules() if isinstance(part, kind)}


def sums_of(metric: Metric) -> State:
    """The states of a metric, copied to the CPU, and its other numbers, such as how
    many updates they hold.
    """
    numbers = {
        name: value
        for name, value in vars(metric).items()
        # The keeper of attributes keeps the value of `training` from before an evaluation.
        if isinstance(value, int | float | Tensor) and name != "training"
    }
    return dict(plain(numbers | metric.metric_state))


def set_sums(metric: Metric, sums: State) -> None:
    """Give a metric the sums of ``sums_of``."""
    for name, value in sums.items():
        setattr(metric, name, restored(value, metric.device))
    COMPUTED.replace(metric, None)
