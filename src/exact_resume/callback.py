"""The callback that makes a Trainer's trainings exact and preemptible."""

import signal
from collections.abc import Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint

from exact_resume import signals
from exact_resume.agreement import AgreedSignal, of_all_processes, world_size
from exact_resume.checkpoints import SAVE, AtomicCheckpointIO, check_optimizer_states, move_paths
from exact_resume.errors import ResumeError
from exact_resume.keeper import Keeper, Moment, State
from exact_resume.keepers.built_in import KEEPERS
from exact_resume.keepers.values import is_plain
from exact_resume.lightning_private import BEFORE_ITERATING, BY_STEPS, LAST_SAVED, SIGTERM
from exact_resume.stopping import stop
from exact_resume.training import after_own, callbacks_of, is_out_of_time, nothing, say, steps_done

# Of what a checkpoint keeps, raised by a change of the keepers' states.
VERSION = 4


class ExactResume(ModelCheckpoint):
    """Lets a training that is killed at any moment be resumed with bit-identical
    weights and metrics.

        >>> resume = ExactResume("run/last.ckpt")
        >>> trainer = Trainer(max_epochs=10, callbacks=[resume])
        >>> trainer.fit(model, datamodule=data, ckpt_path=resume.ckpt_path)

    It saves at the end of every epoch and, soon after Ctrl-C, SIGTERM, SIGUSR1 or when its
    terminal is closed, at the end of a batch, then ends the training (of all processes
    after the same batch); after SIGUSR1 it also requeues a Slurm job. A second Ctrl-C ends
    it at once. A kill during a save leaves the previous checkpoint intact. What it keeps
    beyond Lightning's checkpoints is in ``keepers/built_in.py``. Anything else that your
    module accumulates belongs in its ``on_save_checkpoint``.

    A training, hook by hook:

    - ``setup``: keepers prepare; the checkpoint is written atomically from now on. Ctrl-C
      is noted instead of ending the process, and the workers that loaders fork ignore it.
    - ``on_train_start``: so are the other signals. After the module's own hook, keepers
      ``begin``.
    - ``on_train_batch_end``: have all processes agreed on a signal? Then, after the
      module's own hook, the checkpoint is written: ``state_dict`` asks each keeper for
      the ``state`` of its process. It is written again after an evaluation that follows.
    - ``on_train_batch_start`` of the next batch: the training ends by ``Stopped``.
    - ``on_train_epoch_end``: the checkpoint is written, after all other callbacks and
      the module. A signal that came in the last batch ends the training at the next
      ``on_train_epoch_start``; Ctrl-C in the last epoch, at ``on_train_end``.

    A resume, hook by hook:

    - ``setup``, as above; then Lightning loads the weights.
    - ``load_state_dict``: keepers ``load`` what must be there before training starts.
      No sanity check again. Then Lightning restores optimizers, schedules, loops, and
      lets the loaders iterate.
    - ``on_train_start``: after the module's own hook, which may draw numbers, keepers
      ``begin`` and ``restore``, in their order.
    - ``on_fit_end``, if the training had ended already: keepers ``restore_end``.

    Args:
        path: The checkpoint.
        hint: The end of the message after a signal; by default it names the checkpoint.
        keepers: Additional keepers, restored after the built-in ones.

    Raises:
        ValueError: the path is not one of a disk, or two keepers have one name.
        Stopped: in ``fit``, after a signal.
    """

    def __init__(self, path: str | Path, hint: str = "", keepers: Sequence[Keeper] = ()) -> None:
        if "://" in str(path):
            raise ValueError(f"{path}: an exact checkpoint is on a disk, which can be locked")
        self.path = Path(path).absolute()
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
        # True from our own on_fit_start, which runs after those of finders, since
        # Lightning calls checkpoint callbacks last.
        self._has_started = False

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
        self._trainer = trainer
        self._has_started = False
        self._saved_signal = 0  # the number of the signal for which it has saved
        # What the checkpoint holds for each keeper, until it is restored: of this process,
        # or of the first if the number of processes has changed. An earlier training that
        # had ended already may have left some.
        self._states: dict[str, State] = {}
        self._moment = Moment.EPOCH_END  # of the checkpoint
        self._resumes_from: str | Path | None = None
        # Lightning does so only after loading a checkpoint, whose float64 weights would
        # be rounded to float32.
        trainer.precision_plugin.convert_module(pl_module)
        writer = trainer.strategy.checkpoint_io
        if not (isinstance(writer, AtomicCheckpointIO) and writer.path == self.path):
            writer = AtomicCheckpointIO(writer, self.path)
            trainer.strategy.checkpoint_io = writer
        writer.latest = ""
        self._writer = writer
        if stage == "fit":
            self._set_up_fit(trainer)
            self._note_interrupts("saving")

    def _set_up_fit(self, trainer: Trainer) -> None:
        for keeper in self.keepers:
            keeper.setup(trainer)
        # Last, so that its checkpoint has what the user's have noted of theirs. In a new
        # list: Lightning is iterating over the old one.
        callbacks = callbacks_of(trainer, object)
        callbacks.remove(self)
        trainer.callbacks = [*callbacks, self]  # type: ignore[attr-defined]  # set at run time
        BY_STEPS.reset(trainer.fit_loop)
        BEFORE_ITERATING.replace(trainer.fit_loop, self._before_iterating)
        SIGTERM.replace(trainer.fit_loop.epoch_loop, nothing)

    def on_fit_start(self, *_: Any) -> None:
        self._has_started = True
        if not self.path.is_file():
            # A training was killed before its first save. Not in setup: Lightning may load
            # one of the user's checkpoints after that.
            self._writer.begin_anew(keeps_others=self._resumes_from is not None)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        # Lightning's own handlers save and broadcast wherever each process happens to
        # be, which can deadlock.
        signals.install()
        self._signal = AgreedSignal()
        if trainer.is_global_zero and (reason := self.lost_position()):
            say(f"This run can resume only at the end of an epoch. {reason}.")
            self._note_interrupts("stopping")
        after_own(pl_module, "on_train_start", self._begin)

    def on_train_epoch_start(self, trainer: Trainer, *_: Any) -> None:
        # Not at the epoch's end: its checkpoint is written after on_train_epoch_end.
        if trainer.current_epoch > 0 and (number := self._signal.now()):
            self._stop(number)

    def on_train_batch_start(self, *_: Any) -> None:
        # Not right after saving: Lightning logs the metrics of a step after
        # on_train_batch_end.
        if self._saved_signal:
            self._stop(self._saved_signal)

    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        fit_loop = trainer.fit_loop
        if fit_loop.restarting:
            # Otherwise Lightning skips the update of a ReduceLROnPlateau at the end of
            # a resumed epoch. Only if it is set, since the setter walks all loops; with
            # max_steps it would set them all, and cut the next evaluation. (bool() is
            # False, and a Trainer that holds it can be pickled.)
            BY_STEPS.replace(fit_loop, bool)
            fit_loop.restarting = False
            BY_STEPS.reset(fit_loop)
        # Not after an epoch's last batch: its evaluation and its checkpoint follow, and
        # the run stops after these. Not while gradients accumulate: they are not part
        # of a checkpoint.
        number = self._signal.after_step()
        stepped = (fit_loop.batch_idx + 1) % trainer.accumulate_grad_batches == 0
        if number and stepped and not trainer.is_last_batch:
            self._saved_signal = number
            self.save_within_epoch("on_train_batch_end")

    def on_validation_end(self, *_: Any) -> None:
        # In the middle of an epoch: save again, with the evaluation, which Lightning
        # would skip on a resume.
        if self._saved_signal:
            self.save_within_epoch("on_validation_end")

    def on_train_epoch_end(self, *arguments: Any) -> None:
        LAST_SAVED.replace(self, -1)
        super().on_train_epoch_end(*arguments)

    def on_train_end(self, *_: Any) -> None:
        if self._has_started:  # not of a finder
            signals.raise_interrupts()
        # It also completes the pending all_reduce before the processes end.
        if self._signal.now() == signal.SIGINT:
            self._stop(signal.SIGINT)

    def on_exception(self, *arguments: Any) -> None:
        self.teardown()
        super().on_exception(*arguments)

    def teardown(self, *_: Any, **__: Any) -> None:
        signals.raise_interrupts()
        if signals.received() == signal.SIGINT:  # which nobody has answered
            signals.forget()

    def on_fit_end(self, *_: Any) -> None:
        for keeper, state in self._to_restore():
            keeper.restore_end(state)

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
            "processes": of_all_processes(own),
            # A Timer sets it again.
            "stopping": self._trainer.should_stop and not is_out_of_time(self._trainer),
        }

    def on_load_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: State
    ) -> None:
        move_paths(checkpoint, self, trainer)
        # A finder restores what it has saved itself a moment ago.
        if not trainer.training or trainer.ckpt_path == self._writer.latest:
            return
        self._resumes_from = trainer.ckpt_path
        if save := checkpoint.get(SAVE):
            self._writer.undo(save)

    def load_state_dict(self, state_dict: State) -> None:
        super().load_state_dict(state_dict)
        trainer, processes = self._trainer, state_dict.get("processes")
        if processes is None or not self._resumes_from:
            return
        if state_dict.get("version") != VERSION:
            raise ResumeError(
                "the checkpoint was written by another version of exact_resume: resume with that "
                "version, or start over"
            )
        if state_dict["stopping"]:
            trainer.should_stop = True
        # Lightning would check again, and some modules change in evaluations.
        trainer.num_sanity_val_steps = 0
        self._same_world_size = len(processes) == world_size()
        self._states = processes[trainer.global_rank if self._same_world_size else 0]
        self._moment = Moment(state_dict["moment"])
        if self._moment is Moment.EPOCH_END:
            BY_STEPS.replace(trainer.fit_loop, bool)
        for keeper, state in self._to_restore():
            keeper.load(state)

    def _to_restore(self) -> list[tuple[Keeper, State]]:
        """The keepers of which the checkpoint has a state."""
        return [
            (keeper, self._states[keeper.name])
            for keeper in self.keepers
            if keeper.name in self._states
        ]

    def _before_iterating(self) -> None:
        fit_loop = self._trainer.fit_loop
        for keeper in self.keepers:
            keeper.before_iterating(self._states.get(keeper.name, {}), self._moment)
        BEFORE_ITERATING.of(type(fit_loop))(fit_loop)

    def _begin(self) -> None:
        """Begin, and restore everything, after all other callbacks: Lightning calls
        checkpoints last.
        """
        trainer = self._trainer
        for keeper in self.keepers:
            keeper.begin()
        if self._states:
            check_optimizer_states(trainer)
        elif self._resumes_from:
            say(
                f"{self._resumes_from} has no state of exact_resume: the training goes on as "
                "Lightning resumes it, which is not exact"
            )
        for keeper, state in self._to_restore():
            restore = keeper.restore if self._same_world_size else keeper.restore_other_world_size
            restore(state)
        self._states = {}
        self._resumes_from = None
        BY_STEPS.reset(trainer.fit_loop)

    def save_within_epoch(self, hook: str) -> None:
        """Called in a hook within an epoch: save once the module's own has been called. Of
        all processes or none, since they wait for each other.
        """
        if not any(of_all_processes(self.lost_position())):
            save = partial(self._trainer.save_checkpoint, self.path)
            after_own(self._trainer.lightning_module, hook, save)

    def lost_position(self) -> str:
        """Why training loaders cannot save and restore where they are; empty if they can."""
        reasons = [keeper.lost_position() for keeper in self.keepers]
        return next(filter(None, reasons), "")

    def _note_interrupts(self, doing: str) -> None:
        says = f"{doing} at the end of this batch or evaluation; Ctrl-C again ends at once"
        signals.note_interrupts(says if self._trainer.is_global_zero else "")

    def _stop(self, number: int) -> None:
        trainer = self._trainer
        where = ", to resume from the end of an epoch" if self.lost_position() else ""
        message = f"stopped after step {steps_done(trainer)}{where}: {self.hint}"
        stop(number, message if trainer.is_global_zero else "")
