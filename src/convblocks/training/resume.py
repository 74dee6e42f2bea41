"""Makes resuming exact, with the state that Lightning's checkpoints lack."""

from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint, GradientAccumulationScheduler, StochasticWeightAveraging, Timer
from torch import Tensor

from convblocks.model.distributed import gather


class ExactResume(Checkpoint):
    """Saves more state in every checkpoint, and restores it after all other callbacks have theirs.

    - The state of torch's random generators in each process, for networks with dropout, for example.
    - Each process's sums over the unfinished epoch: Lightning saves those of rank 0.
    - State that some callbacks set up at the start of an epoch, which a resume in the middle of it would skip.
    - A pending update of a ReduceLROnPlateau: Lightning makes it after the checkpoint is written.
    - ``should_stop``, if a callback such as EarlyStopping had set it and the run was killed before it ended.

    A ``Checkpoint``, since Lightning calls these last.
    """

    def __init__(self) -> None:
        self._trainer: Trainer | None = None
        self._state: dict[str, Any] = {}
        self._due = ""  # the interval, "step" or "epoch", of the schedules that Lightning will update next

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        self._trainer = trainer
        # Otherwise, with max_steps, Lightning takes every resume to be in the middle of an epoch.
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
            total = sums.min(dim=0).values if name == "finite" else sums.sum(dim=0) * (own == 0)
            restored = sums[own] if len(sums) == trainer.world_size else total
            setattr(pl_module.train_metrics, name, restored.to(pl_module.device))
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
            # Otherwise Lightning skips the update of a ReduceLROnPlateau at the end of a resumed epoch.
            trainer.fit_loop.restarting = False

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._due = ""  # on a resume from here Lightning itself makes the update of a step

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._due = "epoch"

    def state_dict(self) -> dict[str, Any]:
        trainer = self._trainer
        if trainer is None:  # OnExceptionCheckpoint may save before setup
            return {}
        device = trainer.strategy.root_device
        metrics: Any = trainer.lightning_module.train_metrics
        state = {
            "cpu": gather(torch.get_rng_state().to(device)).cpu(),
            "train_sums": {
                name: gather(value.to(device)).cpu().clone() for name, value in metrics.metric_state.items()
            },
            "stopping": trainer.should_stop and not is_out_of_time(trainer),  # a Timer sets it again
            "metrics": {name: value.clone() for name, value in trainer.callback_metrics.items()},
            "plateaus": self._updates_due(trainer),
        }
        if torch.cuda.is_available() and torch.cuda.is_initialized():
            state["cuda"] = gather(torch.cuda.get_rng_state().to(device)).cpu()
        return state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._state = state_dict

    def _updates_due(self, trainer: Trainer) -> list[int]:
        """The indices of the schedules that Lightning will update by a metric right after the checkpoint."""
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
    """A process's generator state; rank 0's if the number of processes has changed."""
    # A copy, since torch 2.13 crashes with a view.
    return states[rank if len(states) == processes else 0].clone()


def _never() -> bool:
    return False


def is_out_of_time(trainer: Trainer) -> bool:
    """Whether the time of max_time or of a Timer is up."""
    return any((left := timer.time_remaining()) is not None and left <= 0 for timer in callbacks_of(trainer, Timer))


def callbacks_of(trainer: Trainer, *classes: type) -> list[Any]:
    """A Trainer's callbacks of these classes."""
    callbacks = trainer.callbacks  # type: ignore[attr-defined]  # Lightning sets it at run time
    return [callback for callback in callbacks if isinstance(callback, classes)]
