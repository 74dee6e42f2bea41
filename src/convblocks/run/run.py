"""One training run of any LightningModule: its parts, its start or resume, its training."""

import os
from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path

import torch
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_only
from lightning.pytorch.utilities.model_helpers import is_overridden

from convblocks import wings
from convblocks.console import echo
from convblocks.errors import DataError, UsageError
from convblocks.model.batch_norm import synchronize_batch_norm
from convblocks.model.class_specs import CONSTANT, short_name, spans_the_run
from convblocks.model.classifier import ImageClassifier
from convblocks.model.networks import parameters_of
from convblocks.model.restore import read_resumable
from convblocks.run.callbacks import BegunWith, BestCheckpoint, Divergence, RunCallback
from convblocks.run.config import Config
from convblocks.run.directory import RunDirectory, first_change, next_version
from convblocks.run.judge import Judge
from convblocks.run.metrics_log import MetricsLog, printed_columns
from convblocks.run.parser import NO_LIMIT
from convblocks.run.provenance import note_start, read_origin
from convblocks.run.trainer import make_trainer
from convblocks.text import Settings, as_shown, listed
from exact_resume.callback import ExactResume
from exact_resume.checkpoints import AtomicCheckpointIO
from exact_resume.keeper import Keeper
from exact_resume.training import callbacks_of

# The end of what a run says that has been stopped.
RESUME_HINT = "continue with --resume"


class Run:
    """A run of a LightningModule: ``prepare``, ``start`` (which resumes if there is a
    checkpoint) and ``train``.

    Making one builds all parts and writes nothing. ``is_rank_zero`` is true in the
    process that prints and writes.

    A module may say how it is judged: by ``judge = "val/acc:max"`` runs are compared,
    and the checkpoint is kept that is best by ``monitor = "val/loss:min"``, the same
    without it. Data may have a ``fingerprint``, by which a resume recognises them:
    these are read before anything is written, in every process. They may also say that
    their ``evaluation_split`` is ``test``, which then never chooses a checkpoint, and
    have ``notes``, lines to print.

    Args:
        config: The configuration.
        callbacks: Further ones, called behind the metrics log and before those of
            wings.

    Raises:
        UsageError: invalid or incompatible options.
    """

    def __init__(self, config: Config, callbacks: Sequence[Callback] = ()) -> None:
        self.config = config
        self.settings = config.settings
        torch.set_num_threads(self.settings["threads"])
        self.data = config.make_data()
        self.module = config.make_module(self.data)
        arch = getattr(self.module, "arch", None)
        # for people
        self.arch = arch if isinstance(arch, str) else short_name(self.settings["model"])
        self.evaluation_split = getattr(self.data, "evaluation_split", "val")
        self.judge, self.monitor = self._judges()
        by_test = self.judge.is_of_test or self.monitor.is_of_test
        self.keeps_best = self.evaluation_split != "test" and not by_test
        if config.name is None:
            self.directory = next_version(self.arch, config.root)
        else:
            self.directory = RunDirectory(config.name, config.root)
        columns = printed_columns(self.judge, self.monitor, self.evaluation_split)
        self.log = MetricsLog(self.directory.metrics, columns)
        self.divergence = Divergence()
        # A callback that changes the weights after the last evaluation sets it.
        self.tests_again = False
        # Wings may change these. The loggers are those that the user adds, in plain values.
        self.trainer_arguments: Settings = {
            "plugins": [],
            "logger": deepcopy(self.settings["trainer"].get("logger")),
            "use_distributed_sampler": not getattr(self.data, "shares_batches", False),
        }
        # Wings get this Run half-built: settings, data, module, judge, directory, log and
        # trainer_arguments are there; trainer, board and first_step are not.
        all_but_users = self._callbacks(callbacks)
        self.trainer = make_trainer(config, self.trainer_arguments, all_but_users)
        writer = self.trainer.strategy.checkpoint_io
        self.trainer.strategy.checkpoint_io = AtomicCheckpointIO(
            writer, self.directory.last_checkpoint.absolute(), writes_all=True, check_first=True
        )
        # When imported, Lightning sets this rank from Slurm's variables, even if Slurm did
        # not start these processes. (No type: set at run time.)
        rank_zero_only.rank = self.trainer.global_rank  # type: ignore[attr-defined]
        self.is_rank_zero = self.trainer.is_global_zero
        self.run_callbacks: list[RunCallback] = callbacks_of(self.trainer, RunCallback)
        # The logger that every run has; wings may change it.
        self.board: TensorBoardLogger | None = None
        self.first_step = 0  # to be logged
        self._checkpoint: Path | None = None  # to resume from
        self._place_users_checkpoints()
        self._prepare_processes()

    def has(self, split: str) -> bool:
        """Whether module and data have a loop, of ``validation`` or ``test``, that the
        Trainer does not skip.
        """
        short = split.replace("validation", "val")
        limit = self.settings["trainer"].get(f"limit_{short}_batches")
        has_loader = is_overridden(f"{short}_dataloader", self.data or self.module)
        has_step = is_overridden(f"{split}_step", self.module)
        return has_loader and has_step and limit != 0

    def refuse_conflict(self) -> None:
        """Refuse to overwrite an existing run, or to resume what is not a run."""
        if self.config.name is None or not self.directory.exists():
            return
        if self.config.resume:
            self.directory.read_config()
        # Only rank 0: it may have made the folder before another process gets here.
        elif self.is_rank_zero:
            raise UsageError(
                f"{as_shown(self.directory.path)} exists: {RESUME_HINT}, or choose another --name"
            )

    def prepare(self) -> None:
        """Read data with a fingerprint; others are left to Lightning, since their
        ``setup`` may draw random numbers.

        Raises:
            DataError: the data cannot be read, or a resumed run was begun with others.
        """
        if self.data is None or not hasattr(self.data, "fingerprint"):
            return
        self.data.prepare_data()
        self.data.setup("fit")
        now = self.data.fingerprint
        began = read_origin(self.directory.provenance).get("data") or now
        changed = [part for part in began | now if began.get(part) != now.get(part)]
        if changed:
            place = getattr(self.data, "root", type(self.data).__qualname__)
            raise DataError(
                f"{as_shown(self.directory.path)} was begun with another {listed(changed)} "
                f"than {place} holds: restore the data, or choose another --name"
            )

    def start(self) -> None:
        """Find the checkpoint to resume from, if any, and write settings and provenance
        to the run directory.

        Raises:
            UserError: the checkpoint is damaged, or the run was begun with other
                settings.
        """
        last = self.directory.last_checkpoint
        if checkpoint := read_resumable(last):
            self._checkpoint = last
            self._refuse_change(checkpoint["callbacks"]["BegunWith"]["settings"])
            self.first_step = checkpoint["callbacks"]["MetricsLog"]["steps"]
        if self.is_rank_zero:
            self._write_and_introduce()
        if self.settings["trainer"].get("logger") is not False:
            self.board = TensorBoardLogger(
                self.directory.logs,
                "",
                self.directory.name,
                default_hp_metric=False,
                purge_step=self.first_step,
            )
            self.trainer.loggers = [self.board, *self.trainer.loggers]
        for callback in self.run_callbacks:
            callback.on_start(self, checkpoint)

    def train(self) -> None:
        """Run the Trainer, from the checkpoint if there is one."""
        self.trainer.fit(
            self.module, datamodule=self.data, ckpt_path=self._checkpoint, weights_only=True
        )

    def _refuse_change(self, began: Settings) -> None:
        """Refuse to go on with other settings than those that the run has, except for
        more epochs.
        """
        schedule = self.settings.get("lr_scheduler", CONSTANT)
        if isinstance(self.module, ImageClassifier):
            schedule = self.module.hparams["lr_scheduler"]
        before = began["trainer"]["max_epochs"]
        now = self.settings["trainer"]["max_epochs"]
        is_longer = before != NO_LIMIT and (now == NO_LIMIT or now > before)
        # The same data may lie elsewhere, which their fingerprint tells.
        may_change = ["data.root"]
        if is_longer and not spans_the_run(schedule):
            may_change.append("trainer.max_epochs")
        if change := first_change(self.config.effective(began), self.settings, may_change):
            raise UsageError(
                f"{as_shown(self.directory.path)} was begun with {change}: "
                "resume it with its own settings, or choose another --name"
            )

    def _judges(self) -> tuple[Judge, Judge]:
        """The metric that the run is judged by, and the one that its best checkpoint is
        chosen by.
        """
        by_option = self.settings.get("judge")
        by_module = getattr(self.module, "judge", None)
        if not isinstance(by_module, str):
            by_module = ""
        if not (by_option or by_module):
            raise UsageError(
                "--model needs the metric to judge it by: give, for example, --judge val/loss:min"
            )
        judge = Judge.parse(by_option or by_module)
        split = "test" if judge.is_of_test else "validation"
        splits = [split] if by_option else ["validation", "test"]
        if not any(map(self.has, splits)):
            raise UsageError(
                f"--judge {judge.metric} is of the {split}, "
                "but this run has no loader and no step for it"
            )
        # Without a judge a module's monitor may mean something else.
        monitor = getattr(self.module, "monitor", None)
        if by_module and monitor:
            return judge, Judge.parse(monitor)
        return judge, judge

    def _callbacks(self, further: Sequence[Callback]) -> list[Callback]:
        """All callbacks but the user's, in the order in which Lightning must call them."""
        keepers = list(wings.call("KEEPERS", "make_keeper", kind=Keeper))
        try:
            resume = ExactResume(self.directory.last_checkpoint, RESUME_HINT, keepers)
        except ValueError as error:  # of names
            raise UsageError(f"the keepers of wings: {error}: remove one of the wings") from error
        begun_with = BegunWith(self.config.effective(self.settings, with_unset=True), resume)
        callbacks = [self.log, *further, *wings.call("CALLBACKS", "make", self, kind=Callback)]
        callbacks += [begun_with, self.divergence]
        if self.keeps_best:
            callbacks.append(BestCheckpoint(self.directory.best_checkpoint, self.monitor))
        return [*callbacks, resume]

    def _place_users_checkpoints(self) -> None:
        """Put the user's checkpoints apart from those that a resume needs."""
        for checkpoint in callbacks_of(self.trainer, ModelCheckpoint):
            if checkpoint.dirpath is None:
                checkpoint.dirpath = str(self.directory.path.resolve() / "own_checkpoints")

    def _prepare_processes(self) -> None:
        """With several processes: set their threads and synchronise batch norm."""
        if self.trainer.world_size == 1:
            return
        # Otherwise Lightning, which starts processes, sets their threads itself.
        os.environ["OMP_NUM_THREADS"] = str(self.settings["threads"])
        is_synchronized = self.settings["trainer"]["sync_batchnorm"]
        # an ImageClassifier does so itself
        if is_synchronized and "sync_batchnorm" not in self.module.hparams:
            synchronize_batch_norm(self.module)

    def _write_and_introduce(self) -> None:
        """Write settings and provenance, and print what is special about the data, and
        what is trained.
        """
        self.directory.write_config(self.settings)
        for name in note_start(self.directory.provenance, getattr(self.data, "fingerprint", {})):
            echo(f"changed since the run began: {name}")
        for note in getattr(self.data, "notes", ()):
            echo(note)
        parameters = parameters_of(self.module)
        size = f" · {parameters:,} parameters" if parameters else ""  # made later, in setup
        echo(
            f"{self.arch}{size} · {self.trainer.strategy.root_device} "
            f"· seed {self.settings['seed']} -> {as_shown(self.directory.path)}"
        )
