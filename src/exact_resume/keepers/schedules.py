"""Schedules that Lightning updates by a metric right after the checkpoint."""

from collections.abc import Mapping
from typing import Any

from exact_resume.keepers.keeper import Keeper, State
from exact_resume.moment import Moment


class Schedules(Keeper):
    """Keeps which updates of a ReduceLROnPlateau are pending, and makes them.

    After an evaluation within an epoch Lightning itself makes them on a resume.
    """

    def state(self, moment: Moment) -> State:
        loops = self.trainer.fit_loop
        if moment is Moment.EPOCH_END:
            interval, done = "epoch", self.trainer.current_epoch + 1
        elif moment is Moment.WITHIN_EPOCH:
            interval, done = "step", loops.epoch_loop.batch_idx + 1
        else:
            return {"pending": []}
        pending = [
            number
            for number, config in enumerate(self.trainer.lr_scheduler_configs)
            if config.reduce_on_plateau
            and config.interval == interval
            and done % config.frequency == 0
            and config.monitor in self.trainer.callback_metrics
        ]
        return {"pending": pending}

    def restore(self, state: State, moment: Moment) -> None:
        for number in state["pending"]:
            config = self.trainer.lr_scheduler_configs[number]
            metric = self.trainer.callback_metrics[config.monitor]
            self.trainer.lightning_module.lr_scheduler_step(config.scheduler, metric)

    def parts(self) -> Mapping[str, Any]:
        configs = self.trainer.lr_scheduler_configs
        return {f"schedule {i}": config.scheduler for i, config in enumerate(configs)}
