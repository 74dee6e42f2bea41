"""What one run is made of, put together from its settings; nothing is written yet."""

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
    """All that one run is made of.

    ``speaks`` in the one of its processes that prints and writes; ``resumable`` if it keeps checkpoints.
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
    def what_to_do(self) -> str:
        """What to tell the user when the run has ended before its time."""
        return "carry on with --resume" if self.resumable else "it kept no checkpoint"


class RunCheckpoint(ModelCheckpoint):
    """One checkpoint under one name; a class of its own, so that its state is not taken for that of a user's."""

    def __init__(self, path: Path, monitor: str | None) -> None:
        # The latest epoch's, written when all is known of the epoch, or the one of the best evaluation, also within it.
        super().__init__(
            path.parent,
            path.stem,
            monitor=monitor,
            enable_version_counter=False,
            save_on_train_epoch_end=monitor is None,
        )


def build(options: Options) -> Training:
    """Make the parts of a run.

    Raises:
        UsageError: they cannot be made, or not together.
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
    is_tried_out = bool(settings["trainer"]["fast_dev_run"])
    plugins: list[Any] = [AtomicCheckpointIO(directory.path, keep_previous=directory.last_checkpoint)]
    if SLURMEnvironment.detect() and not TorchElasticEnvironment.detect():  # srun may have started torchrun
        try:
            plugins.append(SLURMEnvironment(auto_requeue=False))  # Preemption does it, without deadlocks
        except RuntimeError as error:
            raise UsageError(" ".join(str(error).split())) from error
    checkpoints = _checkpoints(directory, data, settings["threads"]) if resumable else []
    callbacks = [] if is_tried_out else [log, DeadUnits(), Divergence(every_n_steps), *checkpoints]
    given = settings | {"trainer": settings["trainer"] | {"logger": _loggers(options, directory)}}
    with loggers.one_at_a_time() if given["trainer"]["logger"] else nullcontext():
        trainer = build_trainer(given, root, callbacks, plugins)
    _suit_callbacks(trainer, classifier, directory)
    if is_tried_out or not resumable:
        signals.uninstall()
    else:
        skip_sigterm_broadcast(trainer)
    speed_up_gradients(trainer, classifier)
    speed_up_network(classifier.network)
    return Training(settings, directory, data, classifier, trainer, log, trainer.is_global_zero, resumable)


def _suit_callbacks(trainer: Trainer, classifier: DigitClassifier, directory: RunDirectory) -> None:
    """Do what some of a user's callbacks need, or refuse what would come to nothing."""
    if callbacks_of(trainer, LearningRateFinder) and classifier.hparams["lr_scheduler"] == "onecycle":
        raise UsageError("LearningRateFinder comes too late for onecycle, which is made with a learning rate before it")
    for checkpoint in callbacks_of(trainer, ModelCheckpoint):
        if not isinstance(checkpoint, RunCheckpoint) and checkpoint.dirpath is None:
            # Not among those that a resume depends on.
            checkpoint.dirpath = str(directory.path.resolve() / "own_checkpoints")
    if callbacks_of(trainer, ModelPruning):
        classifier.to(memory_format=torch.contiguous_format)  # torch prunes flat views, which channels_last has not


def _checkpoints(directory: RunDirectory, data: MNISTDataModule, threads: int) -> list[Callback]:
    """Those who keep and write checkpoints, in the order in which Lightning shall call them."""
    best = [RunCheckpoint(directory.best_checkpoint, monitor="val/loss")] if data.val_size else []
    last = directory.last_checkpoint
    return [*best, Preemption(last, threads), RunCheckpoint(last, monitor=None)]


def _loggers(options: Options, directory: RunDirectory) -> Any:
    """What the Trainer is told of loggers: on a resume, the runs in which they shall go on."""
    given = options.settings["trainer"].get("logger")
    return loggers.with_runs(given, loggers.read_runs(directory.loggers)) if options.resume else given
