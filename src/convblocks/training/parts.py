"""Builds all parts of a run from its options; nothing is written yet."""

from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from lightning.fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from lightning.pytorch import Trainer, seed_everything
from lightning.pytorch.callbacks import Callback, LearningRateFinder, ModelCheckpoint, ModelPruning

from convblocks.data.module import MNISTDataModule
from convblocks.errors import UsageError
from convblocks.model.classifier import DigitClassifier
from convblocks.runs.checkpoints import AtomicCheckpointIO
from convblocks.runs.directory import RunDirectory, next_version
from convblocks.training import loggers, signals, slurm
from convblocks.training.building import build_classifier, build_data, build_trainer, load_classes
from convblocks.training.dead_units import DeadUnits
from convblocks.training.divergence import Divergence
from convblocks.training.fast.loop import skip_sigterm_broadcast, speed_up_gradients
from convblocks.training.fast.network import speed_up_network
from convblocks.training.metrics_log import MetricsLog
from convblocks.training.options import Options, Settings
from convblocks.training.preemption import Preemption
from convblocks.training.resume import callbacks_of


@dataclass(frozen=True)
class Training:
    """All parts of a run.

    ``is_rank_zero`` is true in the process that prints and writes; ``resumable`` if the run keeps checkpoints.
    """

    settings: Settings
    directory: RunDirectory
    data: MNISTDataModule
    classifier: DigitClassifier
    trainer: Trainer
    log: MetricsLog
    is_rank_zero: bool
    resumable: bool

    @property
    def resume_hint(self) -> str:
        """The advice for a run that has ended early."""
        return "carry on with --resume" if self.resumable else "it kept no checkpoint"


class RunCheckpoint(ModelCheckpoint):
    """A single checkpoint under a fixed name; a subclass, to keep its state apart from a user's ModelCheckpoint.

    Without ``monitor`` that of the last epoch, with it that of the best evaluation.
    """

    def __init__(self, path: Path, monitor: str | None) -> None:
        super().__init__(
            path.parent,
            path.stem,
            monitor=monitor,
            enable_version_counter=False,
            save_on_train_epoch_end=monitor is None,
        )


def build(options: Options) -> Training:
    """Build the parts of a run.

    Raises:
        UsageError: invalid or incompatible options.
    """
    settings, root = options.settings, options.root
    slurm.check_layout(settings["trainer"].get("devices", "auto"), settings["trainer"].get("num_nodes", 1))
    torch.set_num_threads(settings["threads"])
    load_classes(settings)
    data = build_data(settings)
    image_spec = data.image_spec
    seed_everything(settings["seed"], verbose=False)
    classifier = build_classifier(settings, image_spec)
    directory = next_version(settings["arch"], root) if options.name is None else RunDirectory(options.name, root)
    every_n_steps = settings["trainer"]["log_every_n_steps"]
    log = MetricsLog(directory.metrics, data.evaluation_split, every_n_steps, options.running_loss)
    resumable = settings["trainer"].get("enable_checkpointing", True)
    is_dev_run = bool(settings["trainer"]["fast_dev_run"])
    plugins: list[Any] = [AtomicCheckpointIO(directory.path, keep_previous=directory.last_checkpoint)]
    if SLURMEnvironment.detect() and not TorchElasticEnvironment.detect():  # torchrun may run under srun
        try:
            plugins.append(SLURMEnvironment(auto_requeue=False))  # Preemption requeues, without deadlocks
        except RuntimeError as error:
            raise UsageError(" ".join(str(error).split())) from error
    checkpoints = _checkpoints(directory, data, settings["threads"]) if resumable else []
    callbacks = [] if is_dev_run else [log, DeadUnits(), Divergence(every_n_steps), *checkpoints]
    given = settings | {"trainer": settings["trainer"] | {"logger": _loggers(options, directory)}}
    with loggers.one_at_a_time() if given["trainer"]["logger"] else nullcontext():
        trainer = build_trainer(given, root, callbacks, plugins)
    _adapt_to_callbacks(trainer, classifier, directory)
    if is_dev_run or not resumable:
        signals.uninstall()
    else:
        skip_sigterm_broadcast(trainer)
    speed_up_gradients(trainer, classifier)
    speed_up_network(classifier.network)
    return Training(settings, directory, data, classifier, trainer, log, trainer.is_global_zero, resumable)


def _adapt_to_callbacks(trainer: Trainer, classifier: DigitClassifier, directory: RunDirectory) -> None:
    """Do what some of a user's callbacks need, and refuse combinations that cannot work."""
    if callbacks_of(trainer, LearningRateFinder) and classifier.hparams["lr_scheduler"] == "onecycle":
        raise UsageError("LearningRateFinder has no effect on onecycle, which is built before it, with --lr")
    for checkpoint in callbacks_of(trainer, ModelCheckpoint):
        if not isinstance(checkpoint, RunCheckpoint) and checkpoint.dirpath is None:
            # Apart from the checkpoints that a resume needs.
            checkpoint.dirpath = str(directory.path.resolve() / "own_checkpoints")
    if callbacks_of(trainer, ModelPruning):
        classifier.to(memory_format=torch.contiguous_format)  # torch prunes flat views, which channels_last lacks


def _checkpoints(directory: RunDirectory, data: MNISTDataModule, threads: int) -> list[Callback]:
    """The callbacks that write checkpoints, in the order in which Lightning must call them."""
    best = [RunCheckpoint(directory.best_checkpoint, monitor="val/loss")] if data.val_size else []
    last = directory.last_checkpoint
    return [*best, Preemption(last, threads), RunCheckpoint(last, monitor=None)]


def _loggers(options: Options, directory: RunDirectory) -> Any:
    """The Trainer's ``logger`` option; on a resume, with the runs that the loggers continue."""
    given = options.settings["trainer"].get("logger")
    return loggers.with_runs(given, loggers.read_runs(directory.loggers)) if options.resume else given
