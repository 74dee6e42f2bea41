"""One training run: its parts, its start or resume, its training."""

import math
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningDataModule, LightningModule, seed_everything
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_only
from lightning.pytorch.utilities.model_helpers import is_overridden
from torchinfo import summary

from convblocks import wings
from convblocks.console import echo
from convblocks.errors import UsageError, UserError
from convblocks.files import machine_lock
from convblocks.model.class_specs import CONSTANT, short_name, spans_the_run
from convblocks.model.distributed import synchronize_batch_norm
from convblocks.run import signals
from convblocks.run.callbacks import BestCheckpoint, RunCallback, RunSettings
from convblocks.run.checkpoints import SETTINGS, AtomicCheckpointIO, newest_checkpoint
from convblocks.run.config import Config
from convblocks.run.directory import SPEED, RunDirectory, first_change, next_version
from convblocks.run.divergence import Divergence
from convblocks.run.friendly_errors import find_disk_error, friendly_errors
from convblocks.run.judge import Judge
from convblocks.run.last_weights import load_best, save_averaged_weights
from convblocks.run.metrics_log import MetricsLog, first_step_to_log, shortest_float, steps_before
from convblocks.run.printed_rows import columns_of_own
from convblocks.run.provenance import note_start
from convblocks.run.quiet import quiet_tensorboard_thread
from convblocks.run.result import Row, RunResult
from convblocks.run.resume import ExactResume, callbacks_of


class Run:
    """A run of a LightningModule: ``prepare``, ``start`` (which resumes if there is a checkpoint) and ``train``.

    Making one builds all parts and writes nothing. ``is_rank_zero`` is true in the process that prints and writes.

    Args:
        config: The configuration.
        callbacks: Further ones, called behind the metrics log and before those of wings.

    Raises:
        UsageError: invalid or incompatible options.
    """

    module: LightningModule
    data: LightningDataModule | None

    def __init__(self, config: Config, callbacks: Sequence[Callback] = ()) -> None:
        self.config, self.settings = config, config.settings
        trainer_settings = self.settings["trainer"]
        wings.check(self.settings)
        torch.set_num_threads(self.settings["threads"])
        self._make_parts()
        self._check_judge()
        self.directory = self._next_directory()
        self.is_dev_run = bool(trainer_settings["fast_dev_run"])
        self.resumable = trainer_settings.get("enable_checkpointing", True)
        self.log = self._metrics_log()
        last = self.directory.last_checkpoint
        checkpoint_io = AtomicCheckpointIO(self.directory.path, last, check_first=True)
        # Wings may change these and ``make_board``. The loggers are those that the user adds, as parsed.
        self.trainer_arguments: dict[str, Any] = {"plugins": [checkpoint_io], "logger": config.parsed.trainer.logger}
        self.make_board: Callable[[int], TensorBoardLogger] = lambda first_step: TensorBoardLogger(
            self.directory.logs, "", self.directory.name, default_hp_metric=False, purge_step=first_step
        )
        of_wings = wings.make_callbacks(self)
        own = [RunSettings(self.settings), self.log, *callbacks, *of_wings, self._divergence(), *self._checkpoints()]
        if self.is_dev_run:
            own = [callback for callback in of_wings if getattr(callback, "in_dev_runs", False)]
        # Two runs that start at once would choose the same version for their loggers.
        with machine_lock("loggers") if self.trainer_arguments["logger"] else nullcontext():
            self.trainer = config.make_trainer(config.root, own, self.trainer_arguments)
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
        if self.trainer.world_size > 1 and trainer_settings["sync_batchnorm"] and not config.is_of_images:
            synchronize_batch_norm(self.module)  # an ImageClassifier does so itself
        if self.is_dev_run or not self.resumable:
            signals.uninstall()

    @property
    def arch(self) -> str:
        """The name of what is trained."""
        return str(short_name(self.settings["model"]))

    @property
    def judge(self) -> Judge:
        """The metric that the run is judged by."""
        return Judge.parse(self.settings["judge"])

    @property
    def best_by(self) -> Judge | None:
        """The metric of evaluations whose best checkpoint is kept, if any."""
        return None if self.judge.is_of_test else self.judge

    @property
    def tests_once(self) -> bool:
        """Whether test metrics are measured at the end only."""
        return True

    @property
    def fingerprint(self) -> dict[str, str]:
        """The MD5 of each part of the data, where it is known."""
        return {}

    @property
    def resume_hint(self) -> str:
        """The advice for a run that has ended early."""
        return "carry on with --resume" if self.resumable else "it kept no checkpoint"

    def describe(self) -> str:
        """Torchinfo's table of the layers."""
        return str(summary(self.module, depth=2, verbose=0))

    def introduce(self) -> None:
        """Print what is special about the data, before training."""

    def final_metrics(self) -> Row:
        """The metrics of the best evaluation, or of the last one, and those of a test of its weights, if there is one.

        Every process must call this.

        Raises:
            UserError: the metric that the run is judged by is not among them.
        """
        judge, rows = self.judge, self.log.rows
        save_averaged_weights(self.trainer, self.module, self.directory.last_checkpoint, self.resumable)
        row = judge.best(rows) if self.best_by and self.directory.best_checkpoint.is_file() else None
        if self.best_by and self.resumable:
            load_best(self.module, self.directory.best_checkpoint, self.is_rank_zero)
        final = {name: value for name, value in (row or rows[-1]).items() if name not in ("epoch", "step", *SPEED)}
        if self.has("test"):
            self.trainer.test(self.module, datamodule=self.data, verbose=False)
            final |= {name: shortest_float(value) for name, value in self.trainer.callback_metrics.items()}
        if not {judge.metric, judge.tested} & final.keys():
            known = ", ".join(final) or "nothing"
            raise UserError(f"{self.arch} logs no {judge.metric}, but {known}: give one as --judge")
        return final

    def is_finite(self, final: Row) -> bool:
        """Whether the weights with these final metrics are of any use."""
        return math.isfinite(final[self.judge.measured_in(final)])

    def result_fields(self) -> dict[str, Any]:
        """The fields of the run's result that depend on the kind of module."""
        return {"arch": self.arch, "judge": self.judge, "monitor": self.judge}

    def score_text(self, result: RunResult) -> str:
        """The result in words."""
        return f"{result.score_name} {result.judge.text(result.score)}"

    @property
    def run_callbacks(self) -> list[RunCallback]:
        """The callbacks that take part in the start and the end of the run."""
        return callbacks_of(self.trainer, RunCallback)

    @contextmanager
    def reporting_failures(self) -> Iterator[None]:
        """Turn expected failures into one-line errors."""
        with friendly_errors(self.trainer, self.directory, self.resume_hint), quiet_tensorboard_thread():
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
        schedule = settings.get("lr_scheduler", CONSTANT)
        longer = settings["epochs"] > directory.read_config()["epochs"] and not spans_the_run(schedule)
        # The same images may lie elsewhere now: `start` compares their MD5s.
        if changed := directory.changed_settings(settings, ignored=("data.root", *(("epochs",) if longer else ()))):
            raise UsageError(f"{changed}: resume it with its own settings, or choose another --name")

    def prepare(self) -> None:
        """Read the data, before anything is written; with a user's own module Lightning does so later."""

    def start(self) -> None:
        """Find the checkpoint to resume from, if any, and write settings and provenance to the run directory.

        Raises:
            UserError: the checkpoint is damaged and there is no other, or it belongs to another run.
        """
        found, checkpoint = self._newest_checkpoint(), None
        steps = 0  # a run that was killed before its first checkpoint has logged steps already
        if found is not None:
            self._checkpoint, checkpoint = found
            self._refuse_other_run(checkpoint)
            if self._checkpoint != self.directory.last_checkpoint and self.is_rank_zero:
                last = self.directory.last_checkpoint
                echo(f"{last} is missing or damaged: carrying on from {self._checkpoint.name}")
            steps, self.first_step = steps_before(checkpoint), first_step_to_log(checkpoint)
        if self.is_rank_zero:
            self._note_settings(steps)
            for line in note_start(self.directory.provenance, self.settings["seed"], self.fingerprint):
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

    def _make_parts(self) -> None:
        seed_everything(self.settings["seed"], verbose=False)
        self.module, self.data = self.config.make_own_parts()

    def has(self, split: str) -> bool:
        """Whether module and data have a loop, of ``validation`` or ``test``, that the Trainer does not skip."""
        short = split[:3] if split == "validation" else split
        limit = self.settings["trainer"].get(f"limit_{short}_batches")
        loader = is_overridden(f"{short}_dataloader", self.data or self.module)
        return loader and is_overridden(f"{split}_step", self.module) and limit != 0

    def _check_judge(self) -> None:
        split = "test" if self.judge.is_of_test else "validation"
        if not self.has(split):
            raise UsageError(f"--judge {self.judge.metric} is of the {split}, but this run has none")

    def _metrics_log(self) -> MetricsLog:
        columns = columns_of_own(self.judge)
        every_n_steps = self.settings["trainer"]["log_every_n_steps"]
        return MetricsLog(self.directory.metrics, columns, every_n_steps, self.config.running_loss)

    def _divergence(self) -> Divergence:
        return Divergence(self.settings["trainer"]["log_every_n_steps"])

    def _checkpoints(self) -> list[Callback]:
        """The callbacks that write checkpoints, in the order in which Lightning must call them."""
        if not self.resumable:
            return []
        best, last = self.directory.best_checkpoint, self.directory.last_checkpoint
        of_best = [BestCheckpoint(best, self.best_by)] if self.best_by else []
        return [*of_best, ExactResume(last, hint="carry on with --resume")]

    def _newest_checkpoint(self) -> tuple[Path, dict[str, Any]] | None:
        return newest_checkpoint(self.directory.last_checkpoint, self.module)

    def _refuse_other_run(self, checkpoint: dict[str, Any]) -> None:
        """Refuse to resume from another run's checkpoint."""
        if other := first_change(checkpoint["callbacks"][SETTINGS], self.settings, ("data.root", "epochs")):
            raise UserError(
                f"{self._checkpoint} is of a run with {other}: put the right one there, undo the change of "
                f"{self.directory.config.name}, or choose another --name"
            )

    def _note_settings(self, steps: int) -> None:
        """Write ``config.yaml``; on a resume with another layout of processes, print and note the earlier one."""
        directory, settings = self.directory, self.settings
        up_to = f"up to step {steps}"
        # An existing note of this step stays valid: no step was done since.
        is_noted = any(note.startswith(f"{up_to}: ") for note in directory.notes())
        former = directory.changed_layout(settings) if steps and not is_noted else ""
        if former:
            echo(f"{directory.path} was trained {up_to} with {former}")
        directory.write_config(settings, former and f"{up_to}: {former}")
