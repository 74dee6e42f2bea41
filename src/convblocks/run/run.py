"""One run of any LightningModule: its parts, its start or resume, its training."""

from dataclasses import dataclass
from pathlib import Path

from lightning.pytorch import Trainer
from lightning.pytorch.loggers import TensorBoardLogger

from convblocks.console import echo
from convblocks.errors import DataError, UsageError
from convblocks.model.class_specs import CONSTANT, spans_the_run
from convblocks.model.classifier import ImageClassifier
from convblocks.model.networks import parameters_of
from convblocks.model.restore import read_resumable
from convblocks.record.directory import RunDirectory, first_change
from convblocks.record.judge import Judges
from convblocks.record.own_code import Code, code_of
from convblocks.record.provenance import note_start, read_origin
from convblocks.run.callbacks import BestCheckpoint, Divergence, RunCallback
from convblocks.run.metrics_log import MetricsLog
from convblocks.run.parts import Parts
from convblocks.settings.words import NO_LIMIT
from convblocks.text import Settings, as_shown, listed
from exact_resume.agreement import of_all_processes
from exact_resume.callback import ExactResume
from exact_resume.training import callbacks_of


@dataclass(eq=False)
class Run(Parts):
    """A run of a LightningModule. ``make_run`` makes it and writes nothing; then come
    ``prepare``, ``start``, which finds the checkpoint to resume from, and ``train``.

    A module may say how it is judged. Runs are compared by the metric of its ``judge``, such
    as ``"val/acc:max"``. The checkpoint is kept that is best by its ``monitor``, such as
    ``"val/loss:min"``, or by the judge if it has no monitor.

    Data may have a ``fingerprint``, by which a resume recognises them: such data are read
    before anything is written, in every process. They may say that their
    ``evaluation_split`` is ``test``: then no evaluation chooses a checkpoint. They may have
    ``notes``, lines to print.

    Args:
        judges: The metrics by which it is judged.
        directory: The run directory, in which it writes.
        log: The callback with the rows of ``metrics.csv``.
        divergence: The callback that knows whether it has diverged.
        best: The callback that keeps the best checkpoint; None if none is kept.
        trainer: The Trainer, with all callbacks.
        board: The TensorBoard logger, which ``start`` adds to the Trainer's and wings may
            change; None with ``--trainer.logger false``.
        tests_again: Set by a callback that changes the weights after the last evaluation.
    """

    judges: Judges
    directory: RunDirectory
    log: MetricsLog
    divergence: Divergence
    best: BestCheckpoint | None
    trainer: Trainer
    board: TensorBoardLogger | None = None
    tests_again: bool = False
    _checkpoint: Path | None = None  # the checkpoint to resume from

    @property
    def is_rank_zero(self) -> bool:
        """True in the process that prints and writes."""
        return self.trainer.is_global_zero

    @property
    def run_callbacks(self) -> list[RunCallback]:
        return callbacks_of(self.trainer, RunCallback)

    def refuse_conflict(self) -> None:
        """Refuse to overwrite an existing run, or to resume what is not a run."""
        if self.config.name is None or not self.directory.exists():
            return
        if self.config.resume:
            self.directory.read_config()  # raises an error if it is no run
        # Only rank 0 looks, since it may have made the folder before another process gets here.
        elif self.is_rank_zero:
            self.directory.refuse_existing()

    def replace_untrained(self) -> None:
        """Remove the files of a run of this name that has failed before it trained. Call it only
        while the run directory is locked.
        """
        self.refuse_conflict()  # it may have trained meanwhile
        if self.config.resume or not self.is_rank_zero:
            return
        if files := self.directory.untrained():
            echo(f"{as_shown(self.directory.path)} had not trained yet: this run takes its place")
        for file in files:
            file.unlink()

    def prepare(self) -> None:
        """Read data with a fingerprint, and refuse to resume on others than the run was begun
        with. Data without one are left to Lightning, since their ``setup`` may draw random
        numbers.

        Raises:
            DataError: the data cannot be read, or the run was begun with other data.
        """
        now = self.read_fingerprint()
        if now is None:
            return
        began = read_origin(self.directory.provenance).get("data") or now
        changed = [part for part in began | now if began.get(part) != now.get(part)]
        if changed:
            place = getattr(self.data, "root", type(self.data).__qualname__)
            raise DataError(
                f"{as_shown(self.directory.path)} was begun with another {listed(changed)} "
                f"than {place} holds: restore the data, or choose another --name"
            )

    def read_fingerprint(self) -> dict[str, str] | None:
        """Read the data and return their fingerprint; None for data without one, which are not
        read.
        """
        if self.data is None or not hasattr(self.data, "fingerprint"):
            return None
        self.data.prepare_data()
        self.data.setup("fit")
        found: dict[str, str] = self.data.fingerprint
        return found

    def start(self) -> None:
        """Find the checkpoint to resume from, if any, write settings and provenance to the run
        directory, make the TensorBoard logger, and call ``on_start`` of callbacks.

        Without ``--resume`` there is a checkpoint only where the run has gone back to it.

        Raises:
            UserError: the checkpoint is damaged, or the run was begun with other
                settings.
        """
        last = self.directory.last_checkpoint
        first_step = 0
        if checkpoint := read_resumable(last, self.config.weights_only):
            self._checkpoint = last
            self.refuse_change(checkpoint["callbacks"]["BegunWith"]["settings"])
            first_step = checkpoint["callbacks"]["MetricsLog"]["steps"]
        if self.is_rank_zero:
            if not checkpoint and self.config.resume and self.directory.config.is_file():
                echo(f"{as_shown(self.directory.path)} has no checkpoint: it begins at step 0")
            self._write_and_introduce(first_step)
        if self.settings["trainer"].get("logger") is not False:
            self.board = TensorBoardLogger(
                self.directory.logs,
                "",
                self.directory.name,
                default_hp_metric=False,
                purge_step=first_step,
            )
            self.trainer.loggers = [self.board, *self.trainer.loggers]
        for callback in self.run_callbacks:
            callback.on_start(self, checkpoint)

    def train(self) -> None:
        """Run the Trainer, from the checkpoint if there is one."""
        self.trainer.fit(
            self.module,
            datamodule=self.data,
            ckpt_path=self._checkpoint,
            weights_only=self.config.weights_only,
        )

    def go_back(self, reason: str) -> None:
        """Go back to the checkpoint of the end of the last epoch, or to step 0 if there is none,
        since within the epoch the run cannot go on exactly. The caller then makes the run anew.
        """
        (resume,) = callbacks_of(self.trainer, ExactResume)
        of_all_processes(None)  # wait until all processes have read the checkpoint
        if self.is_rank_zero:
            where = resume.epoch_end.go_back()
            echo(f"{reason}: the run goes on exactly from {where}")
        of_all_processes(None)  # wait until rank 0 has moved it

    def refuse_change(self, began: Settings, is_finished: bool = False) -> None:
        """Refuse to go on with other settings than those with which the run was begun. Allowed
        are another place of the data, other devices, nodes and strategy, and more epochs, unless
        the schedule of the learning rate spans the run.

        Args:
            began: The settings with which it was begun.
            is_finished: Allow any number of epochs, since nothing is left to do.

        Raises:
            UsageError: a setting differs.
        """
        began = self.config.effective(began)
        schedule = self.settings.get("lr_scheduler", CONSTANT)
        if isinstance(self.module, ImageClassifier):
            schedule = self.module.hparams["lr_scheduler"]
        before = began["trainer"]["max_epochs"]
        now = self.settings["trainer"]["max_epochs"]
        is_longer = before != NO_LIMIT and (now == NO_LIMIT or now > before)
        # The data may lie in another folder: their fingerprint tells whether they are the same.
        may_change = ["data.root"]
        # With more epochs a schedule over all steps would have been another one from the start.
        if is_finished or (is_longer and not spans_the_run(schedule)):
            may_change.append("trainer.max_epochs")
        if change := first_change(began, self.settings, may_change):
            raise UsageError(
                f"{as_shown(self.directory.path)} was begun with {change}: "
                "resume it with its own settings, or choose another --name"
            )

    @property
    def own_code(self) -> Code | None:
        """The user's own code that decides the numbers; None if a part of it has no file."""
        callbacks = callbacks_of(self.trainer, object)  # all of them
        return code_of([self.data, *self.module.modules(), *callbacks], self.settings)

    def _write_and_introduce(self, step: int) -> None:
        """Write settings and provenance; print notes on the data, and the line that says what
        is trained and where.
        """
        self.directory.write_config(self.settings)
        data = getattr(self.data, "fingerprint", {})
        for line in note_start(self.directory.provenance, data, self.own_code, step):
            echo(line)
        for note in getattr(self.data, "notes", ()):
            echo(note)
        parameters = parameters_of(self.module)
        size = f" · {parameters:,} parameters" if parameters else ""  # none if made in setup
        processes = self.trainer.world_size
        where = f" · {processes} processes" if processes > 1 else ""
        echo(
            f"{self.arch}{size} · {self.trainer.strategy.root_device}{where} "
            f"· seed {self.settings['seed']} -> {as_shown(self.directory.path)}"
        )
