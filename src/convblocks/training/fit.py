"""One training run, from the command line to a finished run directory."""

import atexit
import errno
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import BatchSizeFinder, Callback, LearningRateFinder
from lightning.pytorch.loggers import TensorBoardLogger
from torch.multiprocessing.spawn import ProcessRaisedException

from convblocks.atomic import write
from convblocks.errors import Stopped, UsageError, UserError
from convblocks.model.distributed import end_process_group
from convblocks.model.optimizers import spans_the_run
from convblocks.model.summary import describe
from convblocks.runs.checkpoints import newest_checkpoint
from convblocks.runs.directory import EPOCHS, RunDirectory, flatten
from convblocks.runs.manifest import changes, manifest, read_manifest, write_manifest
from convblocks.training import loggers, signals
from convblocks.training.lean import keep_freed_memory
from convblocks.training.options import parse
from convblocks.training.outcome import conclude, final_metrics, record, summary
from convblocks.training.parts import Training, build
from convblocks.training.quiet import silence_what_every_run_says, tensorboards_thread_is_quiet
from convblocks.training.resume import callbacks_of
from convblocks.training.run_log import first_step_to_forget

# What the system says when a disk is full, over quota, gone or not writable.
DISK_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.ENOENT, errno.ENOTDIR, errno.EEXIST, errno.EIO, errno.EROFS}

# In what Lightning says of options that it cannot obey, where it does not raise an exception of its own.
OF_LIGHTNING = ("Early stopping conditioned on metric", "`val_check_interval`")


def main(arguments: list[str]) -> None:
    """Train as the command line says.

    Raises:
        UserError: anything that the user can mend.
        KeyboardInterrupt: Ctrl-C; what was finished by then is in the run directory.
    """
    silence_what_every_run_says()
    options = parse(["--help"] if "--help_all" in arguments else arguments)
    training = build(options)
    directory = training.directory
    if training.settings["trainer"]["fast_dev_run"]:
        try_out(training)
        return
    refuse_conflict(training, options.resume)
    if options.resume and directory.state(options.settings["epochs"]) == "done":
        if training.speaks:
            print(finished(directory))
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


def try_out(training: Training) -> None:
    """Lightning's fast_dev_run: a few batches through training, evaluation and test."""
    with told_in_one_line(training):
        training.trainer.fit(training.classifier, datamodule=training.data)
        training.trainer.test(training.classifier, datamodule=training.data, verbose=False)
    if training.speaks:
        print("fast_dev_run: training, evaluation and test work; no run directory is left.")


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
    longer = settings["epochs"] > directory.read_config()["epochs"] and not spans_the_run(settings["lr_scheduler"])
    if changed := directory.changed_settings(settings, ignored=("epochs",) if longer else ()):
        raise UsageError(f"{changed}: resume it with its own settings, or choose another --name")


def finished(directory: RunDirectory) -> str:
    """What to say of a run that is done."""
    summary = directory.read_summary()
    epochs = f"{directory.path} is finished: it has {len(summary['epochs'])} epochs"
    if (reason := summary.get("ended_by", EPOCHS)) != EPOCHS:
        return f"{epochs} and was ended by {reason}."
    return f"{epochs}. To extend it, give more --epochs."


def complete(training: Training) -> None:
    """Train in the run directory, which is there, and leave its files."""
    atexit.register(end_process_group)  # left to Python's exit, its threads sometimes abort the process
    checkpoint, first_step = find_checkpoint(training)
    open_directory(training, first_step)
    if training.speaks:
        introduce(training)
    train(training, checkpoint)
    metrics = final_metrics(training)
    if training.speaks:
        result = summary(training, metrics)
        record(training, result)
        conclude(training, result)
    training.trainer.strategy.barrier()  # nobody leaves before all is written: launchers end those who are left


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
    put_back_what_was_found(training, checkpoint)
    if checkpoint["hyper_parameters"] != dict(training.classifier.hparams):
        raise UserError(f"{path} belongs to a run with other settings: put the right one there, or delete it")
    if path != last and training.speaks:
        print(f"{last} is missing or damaged: carrying on from {path.name}")
    return path, first_step_to_forget(checkpoint)


def put_back_what_was_found(training: Training, checkpoint: dict[str, Any]) -> None:
    """Go on with what LearningRateFinder and BatchSizeFinder found when the run began, instead of searching anew."""
    trainer, finders = training.trainer, (LearningRateFinder, BatchSizeFinder)
    if callbacks_of(trainer, *finders):
        others = [callback for callback in callbacks_of(trainer, Callback) if not isinstance(callback, finders)]
        trainer.callbacks = others  # type: ignore[attr-defined]  # Lightning sets it at run time
        training.classifier.hparams["lr"] = checkpoint["hyper_parameters"]["lr"]
        training.data.batch_size = checkpoint[type(training.data).__qualname__]["batch_size"]


def open_directory(training: Training, first_step: int | None) -> None:
    """Note in the run directory what the run is begun with, and let the Trainer log into it, anew from a step on."""
    directory, trainer = training.directory, training.trainer
    added = list(trainer.loggers)
    if training.speaks:
        write(directory.config, yaml.safe_dump(training.settings, sort_keys=False))
        note_manifest(training)
        if added and directory.loggers.is_file():
            loggers.go_on(added, flatten(training.settings), first_step or 0)
        elif added:
            loggers.begin(added, directory.loggers, flatten(training.settings))
    if training.settings["trainer"].get("logger") is not False:
        board = TensorBoardLogger(
            directory.logs, name="", version=directory.name, default_hp_metric=False, purge_step=first_step
        )
        trainer.loggers = [board, *added]


def note_manifest(training: Training) -> None:
    """Note what the run depends on or, on a resume, say and note what of it is not as it was when the run began."""
    path = training.directory.manifest
    began, now = read_manifest(path), manifest(training.settings["seed"])
    if began is None:
        write_manifest(path, now)
        return
    changed = changes(began, now)
    for line in changed:
        print(f"not as when the run began: {line}")
    resumed = {"command": now["command"], "changes": changed}
    write_manifest(path, began | {"resumed": [*began.get("resumed", []), resumed]})


def introduce(training: Training) -> None:
    """Print what is about to be trained, and on what."""
    files, settings = training.data.files, training.settings
    if not files.original:
        print(f"The data in {files.folder} is not the original MNIST.")
    print(describe(training.classifier.network, settings["batch_size"]))
    device = training.trainer.strategy.root_device
    print(f"{training.directory.path}: {settings['arch']} on {device}, seed {settings['seed']}")


def train(training: Training, checkpoint: Path | None) -> None:
    """Run the Trainer, from a checkpoint if there is one."""
    trainer = training.trainer
    # Lightning does so after it has loaded a checkpoint, whose float64 weights it would round to float32.
    trainer.precision_plugin.convert_module(training.classifier)
    with told_in_one_line(training), tensorboards_thread_is_quiet():
        trainer.fit(training.classifier, datamodule=training.data, ckpt_path=checkpoint, weights_only=True)


@contextmanager
def told_in_one_line(training: Training) -> Iterator[None]:
    """Turn what ends a Trainer, and is not our fault, into what is shown as one line.

    Raises:
        KeyboardInterrupt: Ctrl-C.
        Stopped: a signal came.
        UserError: options that do not go together, a disk that is full, or a run directory that cannot be written to.
    """
    try:
        yield
    except SystemExit as exit_of_lightning:
        if training.trainer.received_sigterm:  # without checkpoints Lightning's own handler is in place
            raise Stopped(signal.SIGTERM, "stopped; it kept no checkpoint") from exit_of_lightning
        if training.trainer.interrupted:  # Lightning turns Ctrl-C into exit status 1
            raise KeyboardInterrupt from exit_of_lightning
        raise
    except ProcessRaisedException as error:  # of --trainer.strategy ddp_spawn
        if number := signals.received():
            raise Stopped(number, "stopped: carry on with --resume") from error
        name, _, message = str(error).strip().splitlines()[-1].partition(": ")
        if not name.startswith(f"{UserError.__module__}."):
            raise
        raise UserError(message) from error
    except (MisconfigurationException, RuntimeError, ValueError) as error:
        if not isinstance(error, MisconfigurationException) and not any(part in str(error) for part in OF_LIGHTNING):
            raise
        raise UserError(" ".join(str(error).split()) if training.speaks else "") from error
    except OSError as error:
        if error.errno not in DISK_ERRORS:
            raise
        path = training.directory.path
        raise UserError(f"cannot write to {path} ({error.strerror}); its last checkpoint is intact") from error
