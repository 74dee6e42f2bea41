"""The sums of torchmetrics over an unfinished epoch, or over more than one."""

from lightning.fabric.utilities import move_data_to_device
from lightning.pytorch import Trainer
from torch import Tensor, nn
from torchmetrics import Metric

from exact_resume.keepers.keeper import Keeper, State
from exact_resume.keepers.values import plain
from exact_resume.lightning_private import COMPUTED, TRAIN_RESULTS, UPDATES, VAL_RESULTS
from exact_resume.moment import Moment


class Metrics(Keeper):
    """Keeps the states of the module's metrics, as sums of this process."""

    kind = "metric"

    def state(self, moment: Moment) -> State:
        reset = _names_of_reset(self.trainer, moment)
        return {
            name: sums_of(metric)
            for name, metric in metrics_in(self.trainer.lightning_module).items()
            if not f"{name}.".startswith(reset)
        }

    def restore(self, state: State, moment: Moment) -> None:
        for name, metric in metrics_in(self.trainer.lightning_module).items():
            if name in state:
                set_sums(metric, state[name])

    def restore_elsewhere(self, state: State, moment: Moment) -> None:
        has_sums = any(sums[UPDATES.name] for sums in state.values())
        if self.trainer.is_global_zero and (has_sums or moment is not Moment.EPOCH_END):
            print(
                "the number of processes has changed: metric sums restart; this epoch's "
                "cover only its remaining batches"
            )


def metrics_in(module: nn.Module) -> dict[str, Metric]:
    """The metrics among a module's parts, by names."""
    return {name: part for name, part in module.named_modules() if isinstance(part, Metric)}


def sums_of(metric: Metric) -> State:
    """The states of a metric, copied to the CPU, and its other numbers, such as how
    many updates they hold.
    """
    numbers = {
        name: value
        for name, value in vars(metric).items()
        if isinstance(value, int | float | Tensor)
    }
    sums: State = plain(numbers | metric.metric_state)
    return sums


def set_sums(metric: Metric, sums: State) -> None:
    """Give a metric the sums that it had."""
    for name, value in sums.items():
        setattr(metric, name, move_data_to_device(value, metric.device))
    COMPUTED.replace(metric, None)


def _names_of_reset(trainer: Trainer, moment: Moment) -> tuple[str, ...]:
    """Beginnings of the names of those that Lightning is about to reset, after an
    evaluation or an epoch, since they are logged.
    """
    loop = trainer.fit_loop.epoch_loop
    if moment is Moment.WITHIN_EPOCH:
        return ()
    ended = VAL_RESULTS.of(loop.val_loop) if trainer.validating else TRAIN_RESULTS.of(loop)
    return tuple(
        f"{logged.meta.metric_attribute}." for logged in ended.values() if not logged.is_tensor
    )
