"""Exact, preemptible resume for any Trainer, with the state that Lightning's checkpoints lack."""

from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

from lightning.fabric.utilities.types import _Stateful
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import (
    GradientAccumulationScheduler,
    ModelCheckpoint,
    StochasticWeightAveraging,
    Timer,
)
from lightning.pytorch.plugins.io import TorchCheckpointIO

from convblocks import wings
from convblocks.errors import Stopped
from convblocks.run import signals, slurm
from convblocks.run.checkpoints import AtomicCheckpointIO, check_optimizer_states
from convblocks.run.preemption import AgreedSignal
from convblocks.run.process_state import (
    Keeper,
    State,
    loaders_of,
    restore,
    restore_generators,
    state_of_all,
    state_of_process,
    steps_done,
)


class ExactResume(ModelCheckpoint):
    """Lets a training that is killed at any moment be resumed with bit-identical
    weights and metrics.

        >>> resume = ExactResume("run/last.ckpt")
        >>> trainer = Trainer(max_epochs=10, callbacks=[resume])
        >>> trainer.fit(model, datamodule=data, ckpt_path=resume.ckpt_path)

    It saves at the end of every epoch and, soon after SIGTERM or SIGUSR1, at the end of
    a batch, then ends the training (of all processes after the same batch); after
    SIGUSR1 it also requeues a Slurm job. A kill during a save leaves the previous
    checkpoint intact. In every checkpoint it keeps, beyond what Lightning does:

    - The random generators of torch, NumPy and Python in each process.
    - The sums of each process over the unfinished epoch: of torchmetrics, and of what
      the module logs.
    - The position of training loaders that have ``state_dict`` and ``load_state_dict``,
      as torchdata's StatefulDataLoader has. With others, such as torch's own
      DataLoader, a training resumes from an epoch's end.
    - What the wings keep: generators of loaders, plain attributes and buffers that
      change, finders' values.
    - State that some callbacks set up at the start of an epoch, which a resume in the
      middle of it would skip.
    - A pending update of a ReduceLROnPlateau: Lightning makes it after the checkpoint
      is written.
    - ``should_stop``, if a callback such as EarlyStopping had set it and the run was
      killed before it ended.

    Anything else that your module accumulates belongs in its ``on_save_checkpoint``.

    Args:
        path: The checkpoint.
        hint: The end of the message after a signal.

    Raises:
        Stopped: in ``fit``, after a signal.
    """

    _signal: AgreedSignal  # while training

    def __init__(self, path: str | Path, hint: str = "run it again to continue") -> None:
        self.path = Path(path).absolute()
        super().__init__(
            self.path.parent,
            self.path.stem,
            enable_version_counter=False,
            save_on_train_epoch_end=True,
        )
        self.hint = hint
        self.FILE_EXTENSION = self.path.suffix
        self._trainer: Trainer | None = None  # from the start of training on
        self._state: State = {}
        self._keepers: list[Keeper] = []
        self._due = (
            ""  # the interval, "step" or "epoch", of the schedules that Lightning will update next
        )
        self._saved_on = 0  # the number of the signal that it has saved for

    @cached_property
    def state_key(self) -> str:
        """Its name in checkpoints, for which Lightning asks at every step."""
        return super().state_key

    @property
    def ckpt_path(self) -> Path | None:
        """The checkpoint; None if there is none yet."""
        return self.path if self.path.is_file() else None

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        super().setup(trainer, pl_module, stage)
        self._trainer, self._saved_on = None, 0
        self._keepers = (
            list(wings.call("KEEPERS", "make_keeper", trainer)) if stage == "fit" else []
        )
        # Lightning does so only after loading a checkpoint, whose float64 weights would
        # be rounded to float32.
        trainer.precision_plugin.convert_module(pl_module)
        if type(trainer.strategy.checkpoint_io) is TorchCheckpointIO:
            trainer.strategy.checkpoint_io = AtomicCheckpointIO()
        # Otherwise, with max_steps, Lightning takes every resume to be in the middle of an epoch.
        trainer.fit_loop._iteration_based_training = lambda: False  # type: ignore[method-assign]
        # At each step all processes would wait for Lightning's broadcast of whether
        # rank 0 received SIGTERM.
        trainer.fit_loop.epoch_loop._broadcast_sigterm_tensor = lambda: None  # type: ignore[method-assign]

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._trainer = trainer
        if self._state:
            trainer.should_stop |= self._state["stopping"]
            trainer.num_sanity_val_steps = (
                0  # Lightning would check again, and some modules change in evaluations
            )

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        super().on_train_start(trainer, pl_module)
        # Lightning's own handlers save and broadcast wherever each process happens to
        # be, which can deadlock.
        signals.install()
        self._signal = AgreedSignal()
        if trainer.is_global_zero and (reason := self.lost_position(trainer)):
            print(f"This run can resume only at the end of an epoch. {reason}.")
        _after_own(
            pl_module, "on_train_start", lambda: self._begin(trainer, pl_module)
        )  # it may draw numbers

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        # Not at the epoch's end: its checkpoint is written after on_train_epoch_end.
        if trainer.current_epoch > 0 and (number := self._signal.now()):
            self._stop(trainer, number)

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        # Not right after saving: Lightning logs the metrics of a step after on_train_batch_end.
        if self._saved_on:
            self._stop(trainer, self._saved_on)
        self._due = (
            "step"  # for a callback that saves with this batch, before this one is called again
        )

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self._due = "step"
        if trainer.fit_loop.restarting:
            # Otherwise Lightning skips the update of a ReduceLROnPlateau at the end of
            # a resumed epoch.
            trainer.fit_loop.restarting = False
        # Not after an epoch's last batch: its evaluation and its checkpoint follow, and
        # the run stops after these. Not while gradients accumulate: they are not part
        # of a checkpoint.
        number = self._signal.after_step()
        stepped = (batch_idx + 1) % trainer.accumulate_grad_batches == 0
        if number and stepped and not trainer.is_last_batch:
            self._saved_on = number
            self.save_within_epoch(trainer, "on_train_batch_end")

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._due = ""  # on a resume from here Lightning itself makes the update of a step
        # In the middle of an epoch: save again, with the evaluation, which Lightning
        # would skip on a resume.
        if self._saved_on:
            self.save_within_epoch(trainer, "on_validation_end")

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._due = "epoch"
        self._last_global_step_saved = (
            -1
        )  # otherwise Lightning would save no epoch without a step of an optimizer
        super().on_train_epoch_end(trainer, pl_module)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        super().on_train_end(trainer, pl_module)
        self._signal.now()  # completes the pending all_reduce before the processes end

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._state:  # of a training that had ended already
            restore_generators(
                trainer,
                state_of_process(self._state["processes"], trainer.global_rank)["generators"],
            )
            trainer.callback_metrics.update(self._state["logged_metrics"])

    def state_dict(self) -> State:
        trainer = self._trainer
        if trainer is None:  # OnExceptionCheckpoint may save before, and finders do
            return super().state_dict()
        return super().state_dict() | {
            "processes": state_of_all(
                trainer, self._due != "epoch", self._keepers, not self.lost_position(trainer)
            ),
            "stopping": trainer.should_stop
            and not is_out_of_time(trainer),  # a Timer sets it again
            "logged_metrics": {
                name: value.clone() for name, value in trainer.callback_metrics.items()
            },
            "plateaus": self._updates_due(trainer),
        }

    def load_state_dict(self, state_dict: State) -> None:
        super().load_state_dict(state_dict | {"dirpath": self.dirpath})  # which may have been moved
        self._state = state_dict if "processes" in state_dict else {}
        for keeper in self._keepers if self._state else ():
            if kept := state_of_process(self._state["processes"], keeper.trainer.global_rank)[
                "wings"
            ].get(keeper.name):
                keeper.load(kept)

    def _begin(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Restore everything, after all other callbacks: Lightning calls checkpoints last."""
        if not self._state:
            for keeper in self._keepers:
                keeper.restore(None, within_epoch=False)
            return
        check_optimizer_states(trainer.ckpt_path, trainer.optimizers)
        state, self._state = self._state, {}
        within_epoch = trainer.fit_loop.restarted_mid_epoch
        restore(trainer, state["processes"], self._keepers, within_epoch)
        if within_epoch:
            for callback in callbacks_of(
                trainer, GradientAccumulationScheduler, StochasticWeightAveraging
            ):
                callback.on_train_epoch_start(trainer, pl_module)
        restore_generators(
            trainer, state_of_process(state["processes"], trainer.global_rank)["generators"]
        )
        trainer.callback_metrics.update(state["logged_metrics"])
        for number in state["plateaus"]:
            config = trainer.lr_scheduler_configs[number]
            pl_module.lr_scheduler_step(config.scheduler, trainer.callback_metrics[config.monitor])

    def _updates_due(self, trainer: Trainer) -> list[int]:
        """The indices of the schedules that Lightning will update by a metric right
        after the checkpoint.
        """
        done = (
            trainer.current_epoch if self._due == "epoch" else trainer.fit_loop.epoch_loop.batch_idx
        )
        return [
            number
            for number, config in enumerate(trainer.lr_scheduler_configs)
            if config.reduce_on_plateau
            and config.interval == self._due
            and (done + 1) % config.frequency == 0
            and config.monitor in trainer.callback_metrics
        ]

    def save_within_epoch(self, trainer: Trainer, hook: str) -> None:
        """Called in a hook within an epoch: save once the module's own has been called."""
        if not self.lost_position(trainer):
            _after_own(trainer.lightning_module, hook, lambda: trainer.save_checkpoint(self.path))

    def lost_position(self, trainer: Trainer) -> str:
        """Why training loaders cannot save and restore where they are: ours and
        torchdata's can, torch's cannot.
        """
        if not all(isinstance(loader, _Stateful) for loader in loaders_of(trainer)):
            return "To resume within one, use torchdata's StatefulDataLoader"
        return next((reason for keeper in self._keepers if (reason := keeper.lost_position())), "")

    def _stop(self, trainer: Trainer, number: int) -> None:
        if number == signals.REQUEUE and trainer.is_global_zero:
            slurm.requeue()
        signals.forget()
        where = ", from the end of an epoch" if self.lost_position(trainer) else ""
        message = f"stopped after step {steps_done(trainer)}: {self.hint}{where}"
        raise Stopped(number, message if trainer.is_global_zero else "")


def _after_own(module: LightningModule, hook: str, act: Callable[[], None]) -> None:
    """Called in a callback's hook: act once the module's own has been called, which
    comes after those of callbacks.
    """
    attributes, original = vars(module), getattr(module, hook)
    was_set = hook in attributes  # callbacks may have set it to None, for Lightning to skip it

    def original_then_act(*arguments: Any) -> None:
        attributes.pop(hook)
        if was_set:
            attributes[hook] = original
        if original is not None:
            original(*arguments)
        act()

    attributes[hook] = original_then_act


def is_out_of_time(trainer: Trainer) -> bool:
    """Whether the time of max_time or of a Timer is up."""
    return any(
        (left := timer.time_remaining()) is not None and left <= 0
        for timer in callbacks_of(trainer, Timer)
    )


def callbacks_of(trainer: Trainer, *classes: type) -> list[Any]:
    """A Trainer's callbacks of these classes."""
    callbacks = trainer.callbacks  # type: ignore[attr-defined]  # Lightning sets it at run time
    return [callback for callback in callbacks if isinstance(callback, classes)]
