"""The callback that makes a Trainer's trainings exact and preemptible."""

import signal
from collections.abc import Sequence
from datetime import timedelta
from functools import cached_property
from math import inf
from pathlib import Path
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint

from exact_resume import signals
from exact_resume.agreement import AgreedSignal, of_all_processes
from exact_resume.checkpoints import SAVE, AtomicCheckpointIO, move_paths
from exact_resume.epoch_end import EpochEnd
from exact_resume.errors import NotRepeated, ReadingStopped, ResumeError
from exact_resume.keeper import Keeper, Moment, State, left_out
from exact_resume.keepers.built_in import KEEPERS
from exact_resume.keepers.values import is_plain
from exact_resume.lightning_private import (
    BEFORE_ITERATING,
    BY_STEPS,
    FETCHER,
    IS_EVALUATED,
    LAST_SAVED,
    SIGTERM,
)
from exact_resume.restoration import VERSION, Restoration
from exact_resume.stopping import stop
from exact_resume.training import after_own, callbacks_of, is_out_of_time, nothing, say, steps_done
from exact_resume.unkept import Unkept

# Printed at the first Ctrl-C of a training.
SAVING = "saving at the end of this batch or evaluation"


class ExactResume(ModelCheckpoint):
    """Lets a training that is killed at any moment be resumed with bit-identical
    weights and metrics.

        >>> resume = ExactResume("run/last.ckpt")
        >>> trainer = Trainer(max_epochs=10, callbacks=[resume])
        >>> trainer.fit(model, datamodule=data, ckpt_path=resume.ckpt_path)

    It saves at the end of every epoch, and within one as often as you say. Soon after Ctrl-C,
    SIGTERM, SIGUSR1 or the closing of its terminal it saves at the end of a batch and ends the
    training, in all processes after the same batch; after SIGUSR1 it also requeues a Slurm
    job. A second Ctrl-C ends it at once. A kill during a save leaves the previous checkpoint
    intact. ``keepers/built_in.py`` lists what it keeps beyond Lightning's checkpoints. Anything
    else that your module accumulates belongs in its ``on_save_checkpoint``.

    A training, hook by hook:

    - ``setup``: keepers prepare; the checkpoint is written atomically from now on. Ctrl-C
      is noted instead of ending the process, and the workers that loaders fork ignore it.
    - ``on_fit_start``: keepers note the attributes that hooks may change from now on
      (``fit_starts``). Before the loaders iterate, keepers are told (``before_iterating``).
    - ``on_train_start``: the other signals are noted too. After the module's own hook,
      keepers ``begin``.
    - ``on_train_batch_end``: have all processes agreed on a signal? Then, after the
      module's own hook, the checkpoint is written: ``state_dict`` asks each keeper for
      the ``state`` of its process. If an evaluation follows, the checkpoint is written in
      ``on_validation_end``, with the results; after a signal, at both places.
    - ``on_train_batch_start`` of the next batch: the training ends by ``Stopped``.
    - ``on_train_epoch_end``: the checkpoint is written, after all other callbacks and
      the module. A signal that came in the last batch ends the training at the next
      ``on_train_epoch_start``; Ctrl-C in the last epoch, at ``on_train_end``.

    A resume, hook by hook:

    - ``setup``, as above; then Lightning loads the weights.
    - ``load_state_dict``: keepers ``load`` what must be there before training starts.
      The sanity check is left out. Then Lightning restores optimizers, schedules, loops,
      and lets the loaders iterate.
    - ``on_train_start``: after the module's own hook, which may draw numbers, keepers
      ``begin`` and ``restore``, in their order.
    - ``on_fit_end``, if the training had ended already: keepers ``restore_end``.

    Args:
        path: The checkpoint.
        hint: The end of the message after a signal; by default it names the checkpoint.
        keepers: Additional keepers, restored after the built-in ones.
        every_n_train_steps: Save within an epoch too, after every so many optimizer steps;
            0 for no such saves.
        train_time_interval: Save within an epoch too, at the end of the batch in which this
            time since the last save is up.

    Raises:
        NotRepeated: in ``fit``, a resume within an epoch cannot be exact, since the loaders do
            not give again what they gave; it names the checkpoint of the epoch's end.
        ValueError: the path is not one of a file on a disk, an interval is wrong, or two
            keepers have one name.
        Stopped: in ``fit``, after a signal.
    """

    def __init__(
        self,
        path: str | Path,
        hint: str = "",
        keepers: Sequence[Keeper] = (),
        every_n_train_steps: int = 0,
        train_time_interval: timedelta | None = None,
    ) -> None:
        if "://" in str(path):
            raise ValueError(
                f"{path}: an exact checkpoint must be on a disk, where it can be locked"
            )
        self.path = Path(path).absolute()
        _refuse_wrong(self.path, every_n_train_steps, train_time_interval)
        super().__init__(
            self.path.parent,
            self.path.stem,
            enable_version_counter=False,
            save_on_train_epoch_end=True,
        )
        self.hint = hint or f"run it again with ckpt_path={str(path)!r} to continue"
        self.FILE_EXTENSION = self.path.suffix
        self.keepers = [*(make() for make in KEEPERS), *keepers]
        if len({keeper.name for keeper in self.keepers}) < len(self.keepers):
            raise ValueError("two keepers have the same name, the key of their state")
        # Not ModelCheckpoint's attributes every_n_train_steps and train_time_interval: these are
        # part of the key by which a checkpoint knows the callback.
        self._steps_between = every_n_train_steps
        interval = train_time_interval
        self._seconds_between = inf if interval is None else interval.total_seconds()
        # False until our on_fit_start, which Lightning calls after that of other callbacks: in
        # theirs, finders of a learning rate or a batch size try out some steps.
        self._has_started = False

    @cached_property
    def state_key(self) -> str:
        """The key of this callback in checkpoints; cached, as Lightning asks at every step."""
        return super().state_key

    @property
    def epoch_end(self) -> EpochEnd:
        """The checkpoint of the last epoch's end, beside one within an epoch."""
        return EpochEnd(self.path)

    @property
    def ckpt_path(self) -> Path | None:
        """The path of the checkpoint; None if it has not been written yet."""
        return self.path if self.path.is_file() else None

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        super().setup(trainer, pl_module, stage)
        self._trainer = trainer
        self._has_started = False
        self._saved_signal = 0  # the number of the signal for which it has saved
        self._is_saving = False
        self._saves_evaluation = False  # whether to save once the next evaluation has ended
        self._is_of_epoch_end = False  # whether the checkpoint at our path is
        self._restoration = Restoration(trainer, self.keepers)
        # Lightning gives the module its precision only after it has loaded a checkpoint: float64
        # weights would be rounded to float32.
        trainer.precision_plugin.convert_module(pl_module)
        writer = trainer.strategy.checkpoint_io
        if not (isinstance(writer, AtomicCheckpointIO) and writer.path == self.path):
            writer = AtomicCheckpointIO(writer, self.path)
            trainer.strategy.checkpoint_io = writer
        writer.latest = ""
        self._writer = writer
        if stage == "fit":
            self._set_up_fit(trainer)
            self._note_interrupts(SAVING)

    def _set_up_fit(self, trainer: Trainer) -> None:
        for keeper in self.keepers:
            keeper.setup(trainer)
        # Move this callback to the end, so that its checkpoint holds what the user's own
        # ModelCheckpoints know of their files. A new list, since Lightning iterates over the old.
        callbacks = callbacks_of(trainer, object)
        callbacks.remove(self)
        trainer.callbacks = [*callbacks, self]  # type: ignore[attr-defined]  # set at run time
        # An earlier resume with this Trainer may have failed before it reset this.
        BY_STEPS.reset(trainer.fit_loop)
        # Keepers get their states before the loaders iterate.
        BEFORE_ITERATING.replace(trainer.fit_loop, self._restoration.before_iterating)
        # At each step Lightning would let all processes wait for rank 0, to hear of its SIGTERM.
        SIGTERM.replace(trainer.fit_loop.epoch_loop, nothing)

    def on_fit_start(self, *_: Any) -> None:
        self._has_started = True
        for keeper in self.keepers:
            keeper.fit_starts()
        path = self._restoration.path
        if path is None and self.path.is_file():
            say(
                f"{self.path} is there, but this training begins anew and will replace it: pass "
                "ckpt_path=resume.ckpt_path to fit to go on from it"
            )
        if path not in (self.path, self.epoch_end.path):
            self.epoch_end.drop()  # it belongs to another training
        if not self.path.is_file():
            # An earlier training was killed before its first save. Its files are removed here and
            # not in setup, after which Lightning may load one of the user's checkpoints.
            self._writer.begin_anew(keeps_others=path is not None)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        # These replace Lightning's handlers, which save and broadcast wherever each process happens
        # to be: that can deadlock.
        signals.install()
        self._signal = AgreedSignal(self._seconds_between)
        after_own(pl_module, "on_train_start", self._begin)

    def on_train_epoch_start(self, trainer: Trainer, *_: Any) -> None:
        # A signal of the last batch is answered here, since the checkpoint of the epoch's end is
        # written after the other hooks of that end.
        if trainer.current_epoch > 0 and (number := self._signal.now()):
            self._stop(number)

    def on_train_batch_start(self, *_: Any) -> None:
        # The training ends here and not right after the save, since Lightning logs the metrics
        # of a step after on_train_batch_end.
        if self._saved_signal:
            self._stop(self._saved_signal)

    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        fit_loop = trainer.fit_loop
        if fit_loop.restarting:
            # While this is True, Lightning skips the update of a ReduceLROnPlateau at the end of a
            # resumed epoch. (Setting it walks all loops, so it is not done at each batch.) With
            # max_steps the setter would set True in all loops even now, which cuts the next
            # evaluation short: for this call let BY_STEPS, which the setter asks, return False.
            # (`bool` does, and unlike a lambda it can be pickled with the Trainer.)
            BY_STEPS.replace(fit_loop, bool)
            fit_loop.restarting = False
            BY_STEPS.reset(fit_loop)
        # Do not save after an epoch's last batch: its evaluation and its checkpoint follow, and
        # the training ends after these. Nor while gradients accumulate, which are not part of a
        # checkpoint.
        number = self._signal.after_step()
        stepped = (fit_loop.batch_idx + 1) % trainer.accumulate_grad_batches == 0
        if not stepped or trainer.is_last_batch:
            return
        if number:
            self._saved_signal = number
            self.save_within_epoch("on_train_batch_end")
        elif self._is_due():
            self._saves_evaluation = IS_EVALUATED.of(fit_loop.epoch_loop)(FETCHER.of(fit_loop))
            if not self._saves_evaluation:
                self.save_within_epoch("on_train_batch_end")

    def _is_due(self) -> bool:
        steps = self._steps_between
        return self._signal.is_due or bool(steps and self._trainer.global_step % steps == 0)

    def on_validation_end(self, *_: Any) -> None:
        # Save after an evaluation within an epoch, with its results: resumed from a checkpoint
        # from before it, Lightning would skip the evaluation.
        if self._saved_signal or self._saves_evaluation:
            self._saves_evaluation = False
            self.save_within_epoch("on_validation_end")

    def on_train_epoch_end(self, *arguments: Any) -> None:
        LAST_SAVED.replace(self, -1)  # else ModelCheckpoint saves no step a second time
        self._writer.keeps_earlier = False
        super().on_train_epoch_end(*arguments)
        self._is_of_epoch_end = True
        self.epoch_end.drop()
        self._signal.note_save()

    def on_train_end(self, *_: Any) -> None:
        if self._has_started:  # else a finder has tried out some steps
            signals.raise_interrupts()
        # Processes exchange their signals without waiting. Asking also completes the exchange that
        # is under way, before they end.
        if self._signal.now() == signal.SIGINT:
            self._stop(signal.SIGINT)

    def on_exception(self, *arguments: Any) -> None:
        self.teardown()
        super().on_exception(*arguments)

    def teardown(self, *_: Any, **__: Any) -> None:
        signals.raise_interrupts()
        if signals.received() == signal.SIGINT:  # a Ctrl-C that nobody has answered
            signals.forget()

    def on_fit_end(self, *_: Any) -> None:
        self._restoration.restore_end()

    def state_dict(self) -> State:
        # OnExceptionCheckpoint may save before a training starts, and finders do.
        if not self._has_started:
            return super().state_dict()
        moment = Moment.of(self._trainer)
        own = {keeper.name: keeper.state(moment) for keeper in self.keepers}
        for keeper in self.keepers[len(KEEPERS) :]:
            if not is_plain(own[keeper.name]):
                raise ResumeError(
                    f"the state of the keeper {keeper.name} has more than tensors and plain values"
                )
        return super().state_dict() | {
            "version": VERSION,
            "moment": moment.value,
            # Our own saves within an epoch come after the module's hook, so they leave none out.
            "left out": "" if self._is_saving else left_out(self._trainer, moment),
            "processes": of_all_processes(own),
            # Not where time is up: on a resume a Timer finds that out by itself.
            "stopping": self._trainer.should_stop and not is_out_of_time(self._trainer),
        }

    def on_load_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: State
    ) -> None:
        move_paths(checkpoint, self, trainer)
        # A finder loads the checkpoint that it has saved a moment ago, which is no resume.
        if not trainer.training or trainer.ckpt_path == self._writer.latest:
            return
        self._restoration.path = Path(str(trainer.ckpt_path)).absolute()
        if save := checkpoint.get(SAVE):
            self._writer.undo(save)

    def load_state_dict(self, state_dict: State) -> None:
        super().load_state_dict(state_dict)
        restoration = self._restoration
        if "processes" in state_dict and restoration.path:
            restoration.load(state_dict)
            is_end = restoration.moment is Moment.EPOCH_END
            self._is_of_epoch_end = is_end and restoration.path == self.path

    def _begin(self) -> None:
        """Let keepers begin and, on a resume, restore what they have kept. This comes after
        the hooks of all other callbacks and of the module.
        """
        for keeper in self.keepers:
            keeper.begin()
        self._note_interrupts("stopping")
        try:
            self._restoration.restore({self.path, self.epoch_end.path})
        except NotRepeated as error:
            raise NotRepeated(error.reason, self._way_back()) from None
        except ReadingStopped as stopped:
            message = f"stopped before step {steps_done(self._trainer) + 1}: {self.hint}"
            stop(stopped.number, message if self._trainer.is_global_zero else "")
        self._note_interrupts(SAVING)
        unkept = Unkept(self.keepers)
        unkept.begin()
        self._writer.look = unkept.look

    def _way_back(self) -> str:
        """The end of a message: what the user can do if a resume within an epoch is not exact."""
        if not self.epoch_end.path.is_file():
            return f"no epoch has ended, delete {self.path} and begin again"
        return (
            f"move {self.epoch_end.path} to {self.path} and run it again, to go on exactly from "
            "the end of the epoch before"
        )

    def save_within_epoch(self, hook: str) -> None:
        """Save once the module's own hook of this name has been called, too.

        Args:
            hook: The hook, of a moment within an epoch, in which this is called.
        """
        after_own(self._trainer.lightning_module, hook, self._save_within_epoch)

    def _save_within_epoch(self) -> None:
        # A resume within this epoch may find that it is not exact, and then go back to its start.
        if self._is_of_epoch_end and any(keeper.may_differ for keeper in self.keepers):
            self.epoch_end.keep()
        self._is_of_epoch_end = False
        self._writer.keeps_earlier = self.epoch_end.path.is_file()
        self._is_saving = True
        # weights_only is passed as ModelCheckpoint does: Lightning prints a hint without it.
        self._trainer.save_checkpoint(self.path, weights_only=False)
        self._is_saving = False
        self._signal.note_save()

    def _note_interrupts(self, doing: str) -> None:
        says = f"{doing}; Ctrl-C again ends at once"
        signals.note_interrupts(says if self._trainer.is_global_zero else "")

    def _stop(self, number: int) -> None:
        trainer = self._trainer
        message = f"stopped after step {steps_done(trainer)}: {self.hint}"
        stop(number, message if trainer.is_global_zero else "")


def _refuse_wrong(path: Path, steps: int, interval: timedelta | None) -> None:
    """Raise a ValueError for arguments that would otherwise fail only at the first save."""
    if path.is_dir():
        raise ValueError(f"{path} is a folder: name a file in it, such as last.ckpt")
    if not isinstance(steps, int) or steps < 0:
        raise ValueError(f"every_n_train_steps is a number of steps, or 0, not {steps!r}")
    is_time = isinstance(interval, timedelta) and interval >= timedelta()
    if not (interval is None or is_time):
        raise ValueError(f"train_time_interval is a datetime.timedelta, not {interval!r}")
