"""Keeps the updates of learning rates that Lightning makes right after the checkpoint."""

from exact_resume.keeper import Keeper, Moment, State


class Schedules(Keeper):
    """Keeps which schedules of the kind ReduceLROnPlateau were still to be updated when the
    checkpoint was written, and updates them on a resume.

    After an evaluation within an epoch Lightning itself does so on a resume.
    """

    def state(self, moment: Moment) -> State:
        if moment is Moment.IN_EVALUATION:
            return {"pending": []}
        if moment is Moment.EPOCH_END:
            interval, done = "epoch", self.trainer.current_epoch + 1
        else:
            interval, done = "step", self.trainer.fit_loop.batch_idx + 1
        return {
            "pending": [
                number
                for number, config in enumerate(self.trainer.lr_scheduler_configs)
                if config.reduce_on_plateau
                and config.interval == interval
                and done % config.frequency == 0
                and config.monitor in self.trainer.callback_metrics
            ]
        }

    def restore(self, state: State) -> None:
        for number in state["pending"]:
            config = self.trainer.lr_scheduler_configs[number]
            metric = self.trainer.callback_metrics[config.monitor]
            self.module.lr_scheduler_step(config.scheduler, metric)
