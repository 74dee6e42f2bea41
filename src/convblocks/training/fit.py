"""One training run, from the command line to a finished run directory."""

import errno
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from lightning.pytorch import Trainer, seed_everything
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from lightning.pytorch.loggers import TensorBoardLogger

from convblocks.atomic import write
from convblocks.data.module import MNISTDataModule
from convblocks.errors import UsageError, UserError
from convblocks.evaluation.trained import load_network
from convblocks.model.classifier import DigitClassifier
from convblocks.model.summary import describe
from convblocks.runs.checkpoints import AtomicCheckpointIO, newest_checkpoint, read_checkpoint
from convblocks.runs.directory import LOGS, RunDirectory, flatten, next_version
from convblocks.runs.machine import describe_machine, git_commit, versions
from convblocks.training import slurm
from convblocks.training.lean import keep_freed_memory
from convblocks.training.options import Options, Settings, build_classifier, build_data, build_trainer, parse
from convblocks.training.preemption import Preemption
from convblocks.training.quiet import silence_what_every_run_says, tensorboards_thread_is_quiet
from convblocks.training.run_log import RunLog, first_step_to_forget, shortest_float

# What a network reaches by giving every image the same answer, and a little more.
COLLAPSED_BELOW = 0.15

# What the system says when a disk is full, over quota, gone or not writable.
DISK_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.ENOENT, errno.ENOTDIR, errno.EEXIST, errno.EIO, errno.EROFS}


@dataclass(frozen=True)
class Training:
    """All that one run is made of; ``speaks`` in the one of its processes that prints and writes."""

    settings: Settings
    directory: RunDirectory
    data: MNISTDataModule
    classifier: DigitClassifier
    trainer: Trainer
    log: RunLog
    speaks: bool


def main(arguments: list[str]) -> None:
    """Train as the command line says.

    Raises:
        UserError: anything that the user can mend.
        KeyboardInterrupt: Ctrl-C; what was finished by then is in the run directory.
    """
    silence_what_every_run_says()
    options = parse(["--help"] if "--help_all" in arguments else arguments)
    training = build(options)
    directory, epochs = training.directory, options.settings["epochs"]
    refuse_conflict(training, options.resume)
    if options.resume and directory.state(epochs) == "done":
        if training.speaks:
            print(f"{directory.path} is finished: it has {epochs} epochs. To extend it, give more --epochs.")
        return
    training.data.prepare_data()
    training.data.setup()
    keep_freed_memory()
    if not training.speaks:
        complete(training)
        return
    directory.create()
    with directory.lock():
        complete(training)


def build(options: Options) -> Training:
    """Make the parts of a run; writes nothing.

    Raises:
        UsageError: they cannot be made, or not together.
    """
    settings = options.settings
    directory = next_version(settings["arch"]) if options.name is None else RunDirectory(options.name)
    slurm.check_tasks(settings["trainer"].get("devices", "auto"), settings["trainer"].get("num_nodes", 1))
    seed_everything(settings["seed"], verbose=False)
    torch.set_num_threads(settings["threads"])
    data, classifier = build_data(settings), build_classifier(settings)
    log = RunLog(directory.metrics, settings["trainer"]["log_every_n_steps"], options.running_loss)
    callbacks: list[Callback] = [log, Preemption(directory.last_checkpoint)]
    if data.val_size:
        callbacks.append(keep_checkpoint(directory.best_checkpoint, monitor="val/loss"))
    callbacks.append(keep_checkpoint(directory.last_checkpoint, monitor=None))
    plugins: list[Any] = [AtomicCheckpointIO(keep_previous=directory.last_checkpoint)]
    if SLURMEnvironment.detect():
        plugins.append(SLURMEnvironment(auto_requeue=False))  # Preemption does it, without deadlocks
    trainer = build_trainer(settings, callbacks, plugins)
    return Training(settings, directory, data, classifier, trainer, log, speaks=trainer.is_global_zero)


def keep_checkpoint(path: Path, monitor: str | None) -> ModelCheckpoint:
    """Keeps one checkpoint under one name: the latest epoch's, or the one with the lowest ``monitor``."""
    return ModelCheckpoint(
        path.parent, path.stem, monitor=monitor, enable_version_counter=False, save_on_train_epoch_end=True
    )


def refuse_conflict(training: Training, resume: bool) -> None:
    """Refuse a run that would overwrite another, or carry on with other settings than it began with."""
    directory, settings = training.directory, training.settings
    if not directory.exists():
        return
    if not resume:
        if training.speaks:
            raise UsageError(f"{directory.path} exists: carry on with --resume, or choose another --name")
        return
    if not directory.config.is_file():
        raise UsageError(f"{directory.path} is not a run that can be resumed: it has no {directory.config.name}")
    # A schedule other than a constant one is shaped by the number of epochs it began with.
    longer = settings["epochs"] > directory.read_config()["epochs"] and settings["model"]["schedule"] == "constant"
    if changed := directory.changed_settings(settings, ignored=("epochs",) if longer else ()):
        raise UsageError(f"{changed}: resume it with its own settings, or choose another --name")


def complete(training: Training) -> None:
    """Train in the run directory, which is there, and leave its files."""
    checkpoint, first_step = find_checkpoint(training)
    logger = open_directory(training, first_step)
    if training.speaks:
        introduce(training)
    train(training, checkpoint)
    metrics = final_metrics(training)
    if training.speaks:
        result = summary(training, metrics)
        record(training, logger, result)
        conclude(training, result)


def find_checkpoint(training: Training) -> tuple[Path | None, int | None]:
    """The checkpoint to carry on from, and the first step to log anew; (None, None) for a new run.

    Raises:
        UserError: it is damaged and there is no other, or it belongs to other settings.
    """
    last = training.directory.last_checkpoint
    found = newest_checkpoint(last)
    if found is None:
        return None, None
    path, checkpoint = found
    if checkpoint["hyper_parameters"] != dict(training.classifier.hparams):
        raise UserError(f"{path} belongs to a run with other settings: put the right one there, or delete it")
    if path != last and training.speaks:
        print(f"{last} is missing or damaged: carrying on from {path.name}")
    return path, first_step_to_forget(checkpoint)


def open_directory(training: Training, first_step: int | None) -> TensorBoardLogger:
    """Note the settings in the run directory and let the Trainer log into it, anew from a step on."""
    if training.speaks:
        write(training.directory.config, yaml.safe_dump(training.settings, sort_keys=False))
    logger = TensorBoardLogger(
        LOGS, name="", version=training.directory.name, default_hp_metric=False, purge_step=first_step
    )
    training.trainer.logger = logger
    return logger


def introduce(training: Training) -> None:
    """Print what is about to be trained, and on what."""
    files, settings = training.data.files, training.settings
    if not files.original:
        print(f"The data in {files.folder} is not the original MNIST.")
    print(describe(training.classifier.network, settings["batch_size"]))
    device = training.trainer.strategy.root_device
    print(f"{training.directory.path}: {settings['arch']} on {device}, seed {settings['seed']}")


def train(training: Training, checkpoint: Path | None) -> None:
    """Run the Trainer, from a checkpoint if there is one.

    Raises:
        KeyboardInterrupt: Ctrl-C.
        Stopped: a signal came, and the run is saved.
        UserError: the disk is full, or the run directory cannot be written to any more.
    """
    trainer = training.trainer
    try:
        with tensorboards_thread_is_quiet():
            trainer.fit(training.classifier, datamodule=training.data, ckpt_path=checkpoint, weights_only=True)
    except SystemExit as exit_of_lightning:
        if trainer.interrupted:  # Lightning turns Ctrl-C into exit status 1
            raise KeyboardInterrupt from exit_of_lightning
        raise
    except OSError as error:
        if error.errno not in DISK_ERRORS:
            raise
        path = training.directory.path
        raise UserError(f"cannot write to {path} ({error.strerror}); its last checkpoint is intact") from error


def final_metrics(training: Training) -> dict[str, float]:
    """The last epoch's metrics or, with a validation split, those of the best epoch's weights on the test set."""
    if training.data.val_size:
        # The weights alone: with ckpt_path Lightning would also take the history back to the best epoch.
        training.classifier.load_state_dict(read_checkpoint(training.directory.best_checkpoint)["state_dict"])
        training.trainer.test(training.classifier, datamodule=training.data, verbose=False)
        tested = training.trainer.callback_metrics
        return {name: shortest_float(tested[name]) for name in ("test/loss", "test/acc")}
    return {name: value for name, value in training.log.rows[-1].items() if "/" in name}


def record(training: Training, logger: TensorBoardLogger, result: dict[str, Any]) -> None:
    """Write the results: TensorBoard's pictures and HParams tab, and ``summary.json``, whatever they do."""
    # Matplotlib comes with it, which takes its time and which only finished runs need.
    from convblocks.evaluation.tensorboard import write_portrait

    directory = training.directory
    # Tags of their own: under test/loss they would put a false point into its curve.
    tags = {f"hp/{name.replace('/', '_')}": value for name, value in result["final"].items()}
    step = int(result["epochs"][-1]["step"])
    try:
        logger.log_hyperparams(flatten(training.settings), tags, step=step)
        trained = load_network(directory.best_checkpoint if training.data.val_size else directory.last_checkpoint)
        write_portrait(logger.experiment, directory, trained, training.data.test, step)
        logger.finalize("success")
    finally:
        directory.write_summary(result)


def summary(training: Training, metrics: dict[str, float]) -> dict[str, Any]:
    """The run in one dictionary; it has collapsed if no epoch reached an accuracy worth the name."""
    settings, rows = training.settings, training.log.rows
    accuracy = f"{training.data.evaluation_split}/acc"
    return {
        "arch": settings["arch"],
        "parameters": sum(parameter.numel() for parameter in training.classifier.parameters()),
        "seed": settings["seed"],
        "epochs": rows,
        "final": metrics,
        "collapsed": all(row.get(accuracy, 1.0) <= COLLAPSED_BELOW for row in rows),
        "seconds": round(sum(row["seconds"] for row in rows), 3),
        "device": str(training.trainer.strategy.root_device),
        "processes": training.trainer.world_size,
        "threads": torch.get_num_threads(),
        "machine": describe_machine(),
        "versions": versions(),
        "git_commit": git_commit(),
        "settings": settings,
    }


def conclude(training: Training, result: dict[str, Any]) -> None:
    """Print the result and what to do next."""
    final = result["final"]
    print(f"\n{training.directory.path}: {len(result['epochs'])} epochs in {result['seconds']:.1f} s")
    print(f"test accuracy {100 * final['test/acc']:.2f} %, test loss {final['test/loss']:.4f}")
    if result["collapsed"]:
        print(
            f"This run collapsed: it never got above {COLLAPSED_BELOW:.0%} accuracy. Its ReLUs died; "
            "another --seed or a lower --lr helps."
        )
    print(f"View the curves:       tensorboard --logdir {LOGS}")
    print(f"Compare over seeds:    python scripts/compare.py --arch {training.settings['arch']}")
