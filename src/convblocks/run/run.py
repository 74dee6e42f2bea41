"""One training run of any LightningModule: its parts, its start or resume, its training."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_only
from lightning.pytorch.utilities.model_helpers import is_overridden

from convblocks import wings
from convblocks.console import echo
from convblocks.errors import DataError, UsageError, UserError
from convblocks.files import machine_lock
from convblocks.model.class_specs import CONSTANT, short_name, spans_the_run
from convblocks.model.distributed import synchronize_batch_norm
from convblocks.run import signals
from convblocks.run.callbacks import BestCheckpoint, RunCallback, RunSettings, fingerprint_of
from convblocks.run.checkpoints import SETTINGS, AtomicCheckpointIO, newest_checkpoint
from convblocks.run.config import Config
from convblocks.run.directory import RunDirectory, first_change, next_version
from convblocks.run.divergence import Divergence
from convblocks.run.friendly_errors import find_disk_error, friendly_errors, rank_zero_errors
from convblocks.run.judge import Judge
from convblocks.run.metrics_log import MetricsLog, first_step_to_log
from convblocks.run.printed_rows import printed_columns
from convblocks.run.provenance import note_start, read_origin
from convblocks.run.resume import ExactResume, callbacks_of
from convblocks.run.trainer import make_trainer
from convblocks.text import listed

# Settings that a resume may change: the same data may lie elsewhere, which their fingerprint tells.
MAY_CHANGE = ("data.root", "trainer.max_epochs")

NEEDS_JUDGE = "--model needs the metric to judge it by, and its direction: give, for example, --judge val/loss:min"


class Run:
    """A run of a LightningModule: ``prepare``, ``start`` (which resumes if there is a checkpoint) and ``train``.

    Making one builds all parts and writes nothing. ``is_rank_zero`` is true in the process that prints and writes.

    A module may say how it is judged: by ``judge = "val/acc:max"`` runs are compared, and the checkpoint is kept that
    is best by ``monitor = "val/loss:min"``, the same without it. Data may have a ``fingerprint``, by which a resume
    recognises them: these are read before anything is written, in every process. They may also say that
    their ``evaluation_split`` is ``test``: by that nothing is chosen. And they may have ``notes``, lines to print.

    Args:
        config: The configuration.
        callbacks: Further ones, called behind the metrics log and before those of wings.

    Raises:
        UsageError: invalid or incompatible options.
    """

    def __init__(self, config: Config, callbacks: Sequence[Callback] = ()) -> None:
        self.config, self.settings = config, config.settings
        trainer_settings = self.settings["trainer"]
        wings.check(self.settings)
        torch.set_num_threads(self.settings["threads"])
        self.data = config.make_data()
        self.module = config.make_module(self.data)
        self.evaluation_split = getattr(self.data, "evaluation_split", "val")
        self.judge, self.monitor = self._judges()
        self.directory = self._next_directory()
        self.is_dev_run = bool(trainer_settings["fast_dev_run"])
        self.resumable = trainer_settings.get("enable_checkpointing", True)
        # Test data choose nothing.
        of_test = self.evaluation_split == "test" or self.judge.is_of_test or self.monitor.is_of_test
        self.keeps_best = self.resumable and not of_test
        every_n_steps = trainer_settings["log_every_n_steps"]
        columns = printed_columns(self.judge, self.monitor, self.evaluation_split)
        self.log = MetricsLog(self.directory.metrics, columns, every_n_steps, config.running_loss)
        checkpoint_io = AtomicCheckpointIO(self.directory.last_checkpoint, check_first=True)
        # Wings may change these and ``make_board``. The loggers are those that the user adds, as parsed.
        self.trainer_arguments: dict[str, Any] = {
            "plugins": [checkpoint_io],
            "logger": config.parsed.trainer.logger,
            "use_distributed_sampler": not getattr(self.data, "shares_batches", False),
        }
        self.make_board: Callable[[int], TensorBoardLogger] = lambda first_step: TensorBoardLogger(
            self.directory.logs, "", self.directory.name, default_hp_metric=False, purge_step=first_step
        )
        of_wings = wings.make_callbacks(self)
        first = [RunSettings(self.settings, self.data), self.log]
        own = [*first, *callbacks, *of_wings, Divergence(every_n_steps), *self._checkpoints()]
        if self.is_dev_run:
            own = [callback for callback in of_wings if getattr(callback, "in_dev_runs", False)]
        # Two runs that start at once would choose the same version for their loggers.
        with machine_lock("loggers") if self.trainer_arguments["logger"] else nullcontext():
            self.trainer = make_trainer(config, config.root, own, self.trainer_arguments)
        # Lightning sets it to Slurm's when imported, whether or not Slurm has started these processes.
        rank_zero_only.rank = self.trainer.global_rank  # type: ignore[attr-defined]  # Lightning sets it at run time
        if self.trainer.world_size > 1:  # otherwise Lightning, which starts processes, sets their threads itself
            os.environ["OMP_NUM_THREADS"] = str(self.settings["threads"])
        self.is_rank_zero = self.trainer.is_global_zero
        self._checkpoint: Path | None = None  # to resume from
        self.board: TensorBoardLogger | None = None  # the logger that every run has
        self.first_step = 0  # to be logged, again on a resume
        for checkpoint in callbacks_of(self.trainer, ModelCheckpoint):
            if not isinstance(checkpoint, BestCheckpoint | ExactResume) and checkpoint.dirpath is None:
                # Apart from the checkpoints that a resume needs.
                checkpoint.dirpath = str(self.directory.path.resolve() / "own_checkpoints")
        does_so_itself = "sync_batchnorm" in self.module.hparams  # as an ImageClassifier does
        if self.trainer.world_size > 1 and trainer_settings["sync_batchnorm"] and not does_so_itself:
            synchronize_batch_norm(self.module)
        if self.is_dev_run or not self.resumable:
            signals.uninstall()

    @property
    def arch(self) -> str:
        """The name of what is trained: the module's own ``arch``, or that of its class."""
        own = getattr(self.module, "arch", None)
        return own if isinstance(own, str) else str(short_name(self.settings["model"]))

    @property
    def resume_hint(self) -> str:
        """The advice for a run that has ended early."""
        return "carry on with --resume" if self.resumable else "it kept no checkpoint"

    @property
    def run_callbacks(self) -> list[RunCallback]:
        """The callbacks that take part in the start and the end of the run."""
        return callbacks_of(self.trainer, RunCallback)

    @contextmanager
    def reporting_failures(self) -> Iterator[None]:
        """Turn expected failures into one-line errors."""
        with friendly_errors(self.trainer, self.directory, self.resume_hint):
            yield

    def refuse_conflict(self) -> None:
        """Refuse to overwrite an existing run, or to resume one with other settings."""
        directory, settings = self.directory, self.settings
        if not directory.exists():
            return
        if not self.config.resume:
            if self.is_rank_zero:
                raise UsageError(f"{directory.path} exists: carry on with --resume, or choose another --name")
            return
        if not directory.config.is_file():
            raise UsageError(f"{directory.path} is not a run that can be resumed: it has no {directory.config.name}")
        schedule = settings["model"]["init_args"].get("lr_scheduler", CONSTANT)
        began = directory.read_config()
        is_longer = settings["trainer"]["max_epochs"] > began["trainer"]["max_epochs"]
        ignored = MAY_CHANGE if is_longer and not spans_the_run(schedule) else MAY_CHANGE[:1]
        if changed := first_change(began, settings, ignored):
            change = f"{directory.path} was begun with {changed}"
            raise UsageError(f"{change}: resume it with its own settings, or choose another --name")

    def prepare(self) -> None:
        """Read data with a fingerprint; others are left to Lightning, since their ``setup`` may draw random numbers."""
        if self.data is not None and hasattr(self.data, "fingerprint"):
            with rank_zero_errors():
                self.data.prepare_data()
                self.data.setup("fit")

    def start(self) -> None:
        """Find the checkpoint to resume from, if any, and write settings and provenance to the run directory.

        Raises:
            UserError: the checkpoint is damaged and there is no other, or it belongs to another run.
        """
        found, checkpoint = self._newest_checkpoint(), None
        if found is not None:
            self._checkpoint, checkpoint = found
            self._refuse_other_run(checkpoint)
            if self._checkpoint != self.directory.last_checkpoint and self.is_rank_zero:
                last = self.directory.last_checkpoint
                echo(f"{last} is missing or damaged: carrying on from {self._checkpoint.name}")
            self.first_step = first_step_to_log(checkpoint)
        if self.is_rank_zero:
            self.directory.write_config(self.settings)
            for line in note_start(self.directory.provenance, self.settings["seed"], fingerprint_of(self.data)):
                echo(f"changed since the run began: {line}")
        if self.settings["trainer"].get("logger") is not False:
            self.board = self.make_board(self.first_step)
            self.trainer.loggers = [self.board, *self.trainer.loggers]
        for callback in self.run_callbacks:
            callback.on_start(self, checkpoint)

    def train(self) -> None:
        """Run the Trainer, from the checkpoint if there is one."""
        trainer, module, checkpoint = self.trainer, self.module, self._checkpoint
        # Lightning does so only after loading a checkpoint, whose float64 weights would be rounded to float32.
        trainer.precision_plugin.convert_module(module)
        try:
            trainer.fit(module, datamodule=self.data, ckpt_path=checkpoint, weights_only=True)
        except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
            if checkpoint is None or self.log.trains or find_disk_error(error, self.directory):
                raise
            # All parts are there, but some content is wrong: too much to check beforehand.
            raise UserError(f"cannot resume from {checkpoint} ({error!r}): put an intact copy there") from error

    def _next_directory(self) -> RunDirectory:
        name, root = self.config.name, self.config.root
        return next_version(self.arch, root) if name is None else RunDirectory(name, root)

    def has(self, split: str) -> bool:
        """Whether module and data have a loop, of ``validation`` or ``test``, that the Trainer does not skip."""
        short = split[:3] if split == "validation" else split
        limit = self.settings["trainer"].get(f"limit_{short}_batches")
        loader = is_overridden(f"{short}_dataloader", self.data or self.module)
        return loader and is_overridden(f"{split}_step", self.module) and limit != 0

    def _judges(self) -> tuple[Judge, Judge]:
        """The metric that the run is judged by, and the one that its best checkpoint is chosen by."""
        given, own = self.settings.get("judge"), getattr(self.module, "judge", None)
        says_so = isinstance(own, str)  # a `monitor` without it may mean something else
        if not given and not says_so:
            raise UsageError(NEEDS_JUDGE)
        judge = Judge.parse(str(given or own))
        split = "test" if judge.is_of_test else "validation"
        if not any(map(self.has, [split] if given else ["validation", "test"])):
            raise UsageError(f"--judge {judge.metric} is of the {split}, but this run has none")
        monitor = getattr(self.module, "monitor", None) if says_so else None
        return judge, Judge.parse(monitor) if monitor else judge

    def _checkpoints(self) -> list[Callback]:
        """The callbacks that write checkpoints, in the order in which Lightning must call them."""
        if not self.resumable:
            return []
        best, last = self.directory.best_checkpoint, self.directory.last_checkpoint
        of_best = [BestCheckpoint(best, self.monitor)] if self.keeps_best else []
        return [*of_best, ExactResume(last, hint="carry on with --resume")]

    def _newest_checkpoint(self) -> tuple[Path, dict[str, Any]] | None:
        try:
            return newest_checkpoint(self.directory.last_checkpoint, self.module)
        except UserError:  # perhaps because other data have changed the shapes of the weights
            self._refuse_other_data((read_origin(self.directory.provenance) or {}).get("data"))
            raise

    def _refuse_other_run(self, checkpoint: dict[str, Any]) -> None:
        """Refuse to resume from another run's checkpoint, or with other data."""
        began = checkpoint["callbacks"][SETTINGS]
        if not isinstance(began.get("settings"), dict):
            raise UserError(f"{self._checkpoint} lacks the run's settings: it is damaged, or of an older version")
        if other := first_change(began["settings"], self.settings, MAY_CHANGE):
            raise UserError(
                f"{self._checkpoint} is of a run with {other}: put the right one there, undo the change of "
                f"{self.directory.config.name}, or choose another --name"
            )
        self._refuse_other_data(began.get("data"))

    def _refuse_other_data(self, began: dict[str, str] | None) -> None:
        """Refuse data of which parts were changed, removed or added since the run began."""
        now = fingerprint_of(self.data)
        if began and now and (changed := [part for part in began | now if began.get(part) != now.get(part)]):
            raise DataError(
                f"{self.directory.path} was begun with another {listed(changed)} than "
                f"{getattr(self.data, 'root', type(self.data).__qualname__)} holds: restore the data, or choose "
                "another --name"
            )
