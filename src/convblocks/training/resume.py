"""What a resume needs, to be exact, beyond what Lightning keeps in a checkpoint."""

from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint, GradientAccumulationScheduler, StochasticWeightAveraging, Timer
from torch import Tensor

from convblocks.model.distributed import gather
from convblocks.training.quiet import silence_what_every_run_says


class ExactResume(Checkpoint):
    """Adds to every checkpoint what would be lost otherwise, and puts it back after all other callbacks.

    - The states of torch's random generators, of each process: for networks that draw random numbers, for dropout say.
    - Each process's sums over the unfinished epoch: a checkpoint has those of the first process.
    - What some callbacks set up at the start of an epoch, which a resume in its middle has behind it.
    - The update of a ReduceLROnPlateau that is due: Lightning makes it after the checkpoint is written.
    - The wish of a callback, EarlyStopping say, that the run end: it may have been killed before it could.
    - The number of threads, and the quiet, where Lightning has spawned this process.

    A ``Checkpoint``, since Lightning calls these last.

    Args:
        threads: CPU threads of each process.
    """

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self._trainer: Trainer | None = None
        self._state: dict[str, Any] = {}
        self._due = ""  # which schedules Lightning will update next: of a "step" or of an "epoch"

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        self._trainer = trainer
        torch.set_num_threads(self.threads)
        silence_what_every_run_says()
        # With max_steps Lightning takes every resume for one in the middle of an epoch.
        trainer.fit_loop._iteration_based_training = _never  # type: ignore[method-assign]

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._state.get("stopping"):
            trainer.should_stop = True

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        state, self._state = self._state, {}
        if not state:
            return
        own = trainer.global_rank
        torch.set_rng_state(_of_process(own, state["cpu"], trainer.world_size))
        for name, sums in state["train_sums"].items():
            joined = sums.min(dim=0).values if name == "finite" else sums.sum(dim=0) * (own == 0)
            mine = sums[own] if len(sums) == trainer.world_size else joined
            setattr(pl_module.train_metrics, name, mine.to(pl_module.device))
        if "cuda" in state and torch.cuda.is_available():
            torch.cuda.set_rng_state(_of_process(own, state["cuda"], trainer.world_size))
        if trainer.fit_loop.restarted_mid_epoch:
            for callback in callbacks_of(trainer, GradientAccumulationScheduler, StochasticWeightAveraging):
                callback.on_train_epoch_start(trainer, pl_module)
        trainer.callback_metrics.update(state["metrics"])
        for number in state["plateaus"]:
            config = trainer.lr_scheduler_configs[number]
            pl_module.lr_scheduler_step(config.scheduler, trainer.callback_metrics[config.monitor])

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self._due = "step"
        if trainer.fit_loop.restarting:
            # Or Lightning would leave out the update of a ReduceLROnPlateau at the end of an epoch that was resumed.
            trainer.fit_loop.restarting = False

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._due = ""  # of a step: on a resume from here Lightning makes it

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._due = "epoch"

    def state_dict(self) -> dict[str, Any]:
        trainer = self._trainer
        if trainer is None:  # OnExceptionCheckpoint saves before there is anything to keep
            return {}
        device = trainer.strategy.root_device
        metrics: Any = trainer.lightning_module.train_metrics
        state = {
            "cpu": gather(torch.get_rng_state().to(device)).cpu(),
            "train_sums": {
                name: gather(value.to(device)).cpu().clone() for name, value in metrics.metric_state.items()
            },
            "stopping": trainer.should_stop and not is_out_of_time(trainer),  # a Timer finds out for itself
            "metrics": {name: value.clone() for name, value in trainer.callback_metrics.items()},
            "plateaus": self._updates_due(trainer),
        }
        if torch.cuda.is_available() and torch.cuda.is_initialized():
            state["cuda"] = gather(torch.cuda.get_rng_state().to(device)).cpu()
        return state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._state = state_dict

    def _updates_due(self, trainer: Trainer) -> list[int]:
        """The schedules that Lightning updates by a metric right after the checkpoint."""
        done = trainer.current_epoch if self._due == "epoch" else trainer.fit_loop.epoch_loop.batch_idx
        return [
            number
            for number, config in enumerate(trainer.lr_scheduler_configs)
            if config.reduce_on_plateau
            and config.interval == self._due
            and (done + 1) % config.frequency == 0
            and config.monitor in trainer.callback_metrics
        ]


def _of_process(rank: int, states: Tensor, processes: int) -> Tensor:
    """The state of a random generator, or the first process's, where there were more or fewer processes."""
    # A copy: torch 2.13 crashes when it is given a part of a tensor.
    return states[rank if len(states) == processes else 0].clone()


def _never() -> bool:
    return False


def is_out_of_time(trainer: Trainer) -> bool:
    """Whether max_time, or a Timer, has run out."""
    return any((left := timer.time_remaining()) is not None and left <= 0 for timer in callbacks_of(trainer, Timer))


def callbacks_of(trainer: Trainer, *classes: type) -> list[Any]:
    """A Trainer's callbacks of these classes."""
    callbacks = trainer.callbacks  # type: ignore[attr-defined]  # Lightning sets it at run time
    return [callback for callback in callbacks if isinstance(callback, classes)]
