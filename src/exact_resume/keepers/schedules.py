"""Schedules that Lightning updates by a metric right after the checkpoint."""

from collections.abc import Mapping
from typing import Any

from exact_resume.keeper import Keeper, Moment, State


class Schedules(Keeper):
    """Keeps which updates of a ReduceLROnPlateau are pending, and makes them.

    After an evaluation within an epoch Lightning itself makes them on a resume.
    """

    def state(self, moment: Moment) -> State:
        done = {
            Moment.EPOCH_END: ("epoch", self.trainer.current_epoch),
            Moment.WITHIN_EPOCH: ("step", self.trainer.fit_loop.batch_idx),
        }
        interval, number_done = done.get(moment, ("", 0))
        pending = [
            number
            for number, config in enumerate(self.trainer.lr_scheduler_configs)
            if config.reduce_on_plateau
            and config.interval == interval
            and (number_done + 1) % config.frequency == 0
            and config.monitor in self.trainer.callback_metrics
        ]
        return {"pending": pending}

    def restore(self, state: State) -> None:
        for number in state["pending"]:
            config = self.trainer.lr_scheduler_configs[number]
            metric = self.trainer.callback_metrics[config.monitor]
            self.module.lr_scheduler_step(config.scheduler, metric)

    def parts(self) -> Mapping[str, Any]:
        configs = self.trainer.lr_scheduler_configs
        return {f"schedule {i}": config.scheduler for i, config in enumerate(configs)}
