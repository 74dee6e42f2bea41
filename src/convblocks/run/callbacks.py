"""Callbacks of every run, and what a callback of a wing may do and know beyond
Lightning's hooks.
"""

from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple
from zipfile import BadZipFile, ZipFile

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from torch import Tensor

from convblocks.errors import UsageError, UserError
from convblocks.record.judge import Judges, not_logged, refuse_other_spelling
from convblocks.record.result import RunResult
from convblocks.run.metrics_log import ends_logged_step
from convblocks.text import Settings
from exact_resume.callback import ExactResume
from exact_resume.checkpoints import SAVE, AtomicCheckpointIO
from exact_resume.journal import was_written_after
from exact_resume.keeper import State
from exact_resume.training import after_own, say, steps_done


class RunCallback(Callback):
    """A callback that takes part in the start and the end of a run, in the order of
    ``CALLBACKS`` in ``wings.py``.

    The ``run`` is the ``Run`` of ``run.py``, which imports this file.
    """

    keeps_own_state = True

    def on_start(self, run: Any, checkpoint: State | None) -> None:
        """Called in every process when the run directory is there, before the Trainer
        trains; it may change loggers.

        With the checkpoint that the run resumes from, if any.
        """

    def on_result(self, run: Any, result: RunResult) -> RunResult:
        """The result with what this callback knows of the run; called in process 0
        alone: collectives would hang.

        An error is raised once the others were called and summary.json is written.
        """
        return result

    def last_lines(self, run: Any, result: RunResult) -> Sequence[str]:
        """Lines and commands to print below the result, in process 0."""
        return ()


class Added(NamedTuple):
    """A callback, and arguments of the Trainer that it needs, in their types: plugins
    are added to others, and loggers are plain values.
    """

    callback: Callback
    arguments: Settings


# Names under which the loss of a validation is logged.
USUAL = ("val_loss", "val/loss")


class BestCheckpoint(ModelCheckpoint):
    """The checkpoint of the best evaluation, by the metric that the first one logs
    where nothing names any: one of ``USUAL``.

    Args:
        path: The file of the checkpoint.
        judges: The metrics by which the run is judged.

    Raises:
        UserError: in ``on_load_checkpoint``, the file is gone, or has other tensors than it
            had.
    """

    # The key of its state in checkpoints, which no ModelCheckpoint of a user has.
    state_key = "BestCheckpoint"
    keeps_own_state = True

    def __init__(self, path: Path, judges: Judges) -> None:
        monitor = judges.monitor
        super().__init__(
            path.parent,
            path.stem,
            monitor=monitor.metric if monitor else None,
            mode=monitor.direction if monitor else "min",
            enable_version_counter=False,
            save_on_train_epoch_end=False,
        )
        self.path = path
        self.judges = judges
        self.checksums: list[int] = []
        self._has_said = False

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.sanity_checking:
            return
        logged = trainer.callback_metrics
        if self.monitor is None:
            self.monitor = next((name for name in USUAL if name in logged), "")
        if self.monitor not in logged:
            if self.judges.is_asked:
                self._say_not_logged(self.monitor, logged)
            return
        # once the module's own hook, which may swap its weights, has been called
        after_own(pl_module, "on_validation_end", partial(self._save, trainer, pl_module))

    def _say_not_logged(self, monitor: str, logged: Collection[str]) -> None:
        """Some modules log a metric now and then: the run ends with an error if it never is."""
        refuse_other_spelling(monitor, logged)
        if not self._has_said:
            say(f"{not_logged(monitor, logged)} (so far; the run fails if it never is)")
        self._has_said = True

    def _save(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.checksums = []  # not in the file itself, which may take the place of the last one
        super().on_validation_end(trainer, pl_module)
        self.checksums = checksums_of_tensors(self.path)

    def state_dict(self) -> State:
        return super().state_dict() | {"checksums": self.checksums}

    def load_state_dict(self, state_dict: State) -> None:
        super().load_state_dict(state_dict)
        self.monitor = state_dict["monitor"]

    def on_load_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: State
    ) -> None:
        known = checkpoint["callbacks"].get(self.state_key, {}).get("checksums")
        self.checksums = checksums_of_tensors(self.path)
        if not known or self.checksums == known:
            return
        if not self.path.is_file():
            raise UserError(
                f"{self.path} is missing, which has this run's best weights so far: put a copy of "
                "it back, or choose another --name"
            )
        # A run that was killed may have written it since, and will write it again. A damaged
        # one is replaced by a better one, or refused at the end.
        writer = trainer.strategy.checkpoint_io
        assert isinstance(writer, AtomicCheckpointIO)
        saves = writer.journal.saves_since(checkpoint.get(SAVE, ""))
        if self.checksums and not was_written_after(saves, str(self.path)):
            raise UserError(
                f"{self.path} is not the best checkpoint of this run: put a copy of that back, "
                "or choose another --name"
            )


def checksums_of_tensors(path: Path) -> list[int]:
    """The checksums that torch.save has written, one for each tensor; none if the file is no
    checkpoint, or is damaged.
    """
    if not path.is_file():  # opening a pipe would wait
        return []
    with suppress(OSError, BadZipFile), ZipFile(path) as archive:
        return [part.CRC for part in archive.infolist() if "/data/" in part.filename]
    return []


class BegunWith(Callback):
    """Keeps the settings of a run in its checkpoints, so that a resume knows them from
    those of another one, and from a config.yaml that was changed.

    Raises:
        UsageError: in ``setup``, another ExactResume has taken the place of the run's,
            which writes these checkpoints.
    """

    keeps_own_state = True

    def __init__(self, settings: Settings, resume: ExactResume) -> None:
        self.settings = settings
        self._resume = resume

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if self._resume not in trainer.callbacks:  # type: ignore[attr-defined]  # set at run time
            raise UsageError(
                "configure_callbacks of the module makes an ExactResume: leave it out, "
                "since every run has one"
            )

    def state_dict(self) -> State:
        return {"settings": self.settings}


class Divergence(Callback):
    """Ends a run whose loss, at a step that the Trainer logs, or weights, at the end of
    an epoch, are infinite or nan.

    Not at every step: the CPU would wait for the device.

    Attributes:
        step: The step after which the run diverged; None if it has not.
    """

    keeps_own_state = True

    def __init__(self) -> None:
        self.step: int | None = None

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if ends_logged_step(trainer, batch_idx):
            self._stop_unless_finite(losses_of(outputs), trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._stop_unless_finite(pl_module.parameters(), trainer)

    def state_dict(self) -> State:
        return {"step": self.step}

    def load_state_dict(self, state_dict: State) -> None:
        self.step = state_dict["step"]

    def _stop_unless_finite(self, tensors: Iterable[Tensor], trainer: Trainer) -> None:
        diverged = not all(tensor.isfinite().all() for tensor in tensors)
        if trainer.strategy.reduce_boolean_decision(diverged, all=False) and self.step is None:
            self.step = steps_done(trainer)
            trainer.should_stop = True


def losses_of(outputs: Any) -> list[Tensor]:
    """The loss in what a training step returns; none with manual optimization."""
    loss = outputs.get("loss") if isinstance(outputs, dict) else outputs
    return [loss] if isinstance(loss, Tensor) else []
