"""One training run, from the command line to a finished run directory."""

import atexit
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lightning.pytorch.callbacks import BatchSizeFinder, Callback, LearningRateFinder

from convblocks.atomic import write
from convblocks.console import echo
from convblocks.data.image_spec import MNIST
from convblocks.data.module import MNISTDataModule
from convblocks.errors import DataError, UsageError, UserError
from convblocks.model.distributed import end_process_group
from convblocks.model.optimizers import spans_the_run
from convblocks.model.summary import describe, parameters_of
from convblocks.runs.checkpoints import newest_checkpoint
from convblocks.runs.directory import RunDirectory
from convblocks.runs.provenance import changes, origin, read_origin
from convblocks.runs.result import EPOCHS, RunResult
from convblocks.tables import as_json, as_shown, flatten
from convblocks.training import loggers, slurm
from convblocks.training.fast.loop import skip_idle_hooks
from convblocks.training.fast.memory import keep_freed_memory
from convblocks.training.finish import final_metrics, print_result, run_result, write_result
from convblocks.training.friendly_errors import find_disk_error, friendly_errors
from convblocks.training.metrics_log import first_step_to_log
from convblocks.training.options import parse
from convblocks.training.parts import Training, build
from convblocks.training.quiet import quiet_further_processes, quiet_lightning, quiet_tensorboard_thread
from convblocks.training.rank_failure import RankFailureMonitor
from convblocks.training.resume import callbacks_of
from convblocks.training.tensorboard import RunTensorBoardLogger


def main(arguments: list[str]) -> None:
    """Train a run.

    Raises:
        UserError: anything that the user can fix.
        KeyboardInterrupt: Ctrl-C; finished epochs are in the run directory.
    """
    quiet_lightning()
    if slurm.is_further_process():
        quiet_further_processes()
    with rank_zero_errors():
        options = parse(["--help"] if "--help_all" in arguments else arguments)
        training = build(options)
    directory = training.directory
    if training.settings["trainer"]["fast_dev_run"]:
        try_out(training)
        return
    if options.name is not None:
        with rank_zero_errors(training.is_rank_zero):
            refuse_conflict(training, options.resume)
    if options.resume and (result := directory.result_after(options.settings["epochs"])):
        if training.is_rank_zero:
            echo(finished(directory, result))
        return
    read(training.data)
    keep_freed_memory()
    if not training.is_rank_zero:
        complete(training)
        return
    while not training.directory.create(exist_ok=options.name is not None):
        training = build(options)  # another run has taken the free version
        read(training.data)
    with training.directory.lock():
        complete(training)


@contextmanager
def rank_zero_errors(is_rank_zero: bool | None = None) -> Iterator[None]:
    """Report an error that all processes find before training only once.

    Without ``is_rank_zero``, on the first process of each machine, or for a UsageError of all machines.
    """
    try:
        yield
    except UserError as error:
        is_further = slurm.is_further_process(of_all_machines=isinstance(error, UsageError))
        if is_further if is_rank_zero is None else not is_rank_zero:
            raise type(error) from error
        raise


def read(data: MNISTDataModule) -> None:
    """Read the images before anything is written."""
    with rank_zero_errors():
        data.prepare_data()
        data.setup()


def try_out(training: Training) -> None:
    """Lightning's fast_dev_run: a few batches through training, evaluation and test."""
    with rank_zero_errors(training.is_rank_zero), friendly_errors(training):
        training.trainer.fit(training.classifier, datamodule=training.data)
        training.trainer.test(training.classifier, datamodule=training.data, verbose=False)
    if training.is_rank_zero:
        echo("fast_dev_run: training, evaluation and test work; no run directory was written.")


def refuse_conflict(training: Training, resume: bool) -> None:
    """Refuse to overwrite an existing run, or to resume one with other settings."""
    directory, settings = training.directory, training.settings
    if not directory.exists():
        return
    if not resume:
        if training.is_rank_zero:
            raise UsageError(f"{directory.path} exists: carry on with --resume, or choose another --name")
        return
    if not directory.config.is_file():
        raise UsageError(f"{directory.path} is not a run that can be resumed: it has no {directory.config.name}")
    longer = settings["epochs"] > directory.read_config()["epochs"] and not spans_the_run(settings["lr_scheduler"])
    if changed := directory.changed_settings(settings, ignored=("epochs",) if longer else ()):
        raise UsageError(f"{changed}: resume it with its own settings, or choose another --name")


def refuse_other_data(training: Training, checkpoint: dict[str, Any]) -> None:
    """Refuse to resume a run with other data, or from another run's checkpoint."""
    files, path, seed = training.data.files, training.directory.path, training.settings["seed"]
    state = checkpoint[type(training.data).__qualname__]
    if state["seed"] != seed:
        raise UserError(f"{path} has seed {seed}, but its checkpoint {state['seed']}: put the right one there")
    changed = changed_parts(state["fingerprint"], files.fingerprint)
    if checkpoint["hyper_parameters"]["image_spec"]["classes"] != list(files.image_spec.classes):
        changed.append("list of classes")
    if changed:
        raise other_data(training, changed)


def changed_parts(began: dict[str, str], now: dict[str, str]) -> list[str]:
    """The names of the parts of the data that were changed, removed or added since the run began."""
    return [name for name in dict.fromkeys([*began, *now]) if began.get(name) != now.get(name)]


def other_data(training: Training, changed: list[str]) -> DataError:
    """The error for parts of the data that have changed since the run began."""
    return DataError(
        f"{training.directory.path} was begun with another {' and '.join(changed)} than {training.data.files.folder} "
        "holds: restore the data, or choose another --name"
    )


def finished(directory: RunDirectory, result: RunResult) -> str:
    """The message for a run that is done."""
    epochs = f"{directory.path} is finished: it has {len(result.epochs)} epochs"
    if result.ended_by != EPOCHS:
        return f"{epochs} and was ended by {result.ended_by}."
    return f"{epochs}. To extend it, give more --epochs."


def complete(training: Training) -> None:
    """Train, and write all files of the run directory, which exists already."""
    atexit.register(end_process_group)  # otherwise its threads sometimes abort the process at exit
    rank_failure = RankFailureMonitor(training.directory.path, training.resume_hint)
    if training.trainer.world_size > 1:
        training.trainer.callbacks.insert(0, rank_failure)  # type: ignore[attr-defined]  # Lightning sets it at run time
    is_rank_zero = training.is_rank_zero
    with rank_failure.rank_zero_errors(is_rank_zero), friendly_errors(training), quiet_tensorboard_thread():
        start = find_start(training)
        open_directory(training, start)
        if is_rank_zero:
            introduce(training)
        train(training, start.checkpoint)
        metrics = final_metrics(training)
        if is_rank_zero:
            result = write_result(training, run_result(training, metrics))
            print_result(training, result)
        training.trainer.strategy.barrier()  # when one process ends, launchers may kill the others, still writing


@dataclass(frozen=True)
class Start:
    """Where a run starts: its checkpoint, the steps done before, and the first step to be logged again.

    A run that was killed before its first checkpoint starts again, but has logged steps already.
    """

    checkpoint: Path | None = None
    steps: int = 0
    first_logged: int = 0


def find_start(training: Training) -> Start:
    """Find the checkpoint to resume from, if any.

    Raises:
        UserError: it is damaged and there is no other, or it belongs to another run.
    """
    last = training.directory.last_checkpoint
    try:
        found = newest_checkpoint(last, training.classifier.state_dict())
    except UserError:  # perhaps because other classes or shapes of images have changed the shapes of the weights
        began = (read_origin(training.directory.provenance) or {}).get("data", {})
        if began and (changed := changed_parts(began, training.data.files.fingerprint)):
            raise other_data(training, changed) from None
        raise
    if found is None:
        return Start()
    path, checkpoint = found
    refuse_other_data(training, checkpoint)
    restore_found_values(training, checkpoint)
    if checkpoint["hyper_parameters"] != dict(training.classifier.hparams):
        raise UserError(f"{path} belongs to a run with other settings: put the right one there, or delete it")
    if path != last and training.is_rank_zero:
        echo(f"{last} is missing or damaged: carrying on from {path.name}")
    return Start(path, checkpoint["global_step"], first_step_to_log(checkpoint))


def restore_found_values(training: Training, checkpoint: dict[str, Any]) -> None:
    """Use the values that LearningRateFinder and BatchSizeFinder found when the run began, without a new search."""
    trainer, finders = training.trainer, (LearningRateFinder, BatchSizeFinder)
    if callbacks_of(trainer, *finders):
        others = [callback for callback in callbacks_of(trainer, Callback) if not isinstance(callback, finders)]
        trainer.callbacks = others  # type: ignore[attr-defined]  # Lightning sets it at run time
        training.classifier.hparams["lr"] = checkpoint["hyper_parameters"]["lr"]
        training.data.batch_size = checkpoint[type(training.data).__qualname__]["batch_size"]


def open_directory(training: Training, start: Start) -> None:
    """Write settings and provenance to the run directory, and give the Trainer its loggers."""
    directory, trainer = training.directory, training.trainer
    added = list(trainer.loggers)
    if training.is_rank_zero:
        note_settings(training, start.steps)
        note_origin(training)
        if added and directory.loggers.is_file():
            loggers.continue_runs(added, flatten(training.settings), start.first_logged)
        elif added:
            loggers.begin(added, directory.loggers, flatten(training.settings))
    if training.settings["trainer"].get("logger") is not False:
        board = RunTensorBoardLogger(directory, purge_step=start.first_logged, tests_once=bool(training.data.val_size))
        trainer.loggers = [board, *added]


def note_settings(training: Training, steps: int) -> None:
    """Write ``config.yaml``; on a resume with another layout of processes, print and note the earlier one."""
    directory, settings = training.directory, training.settings
    up_to = f"up to step {steps}"
    # An existing note of this step stays valid: no step was done since.
    is_noted = any(note.startswith(f"{up_to}: ") for note in directory.notes())
    former = directory.changed_layout(settings) if steps and not is_noted else ""
    if former:
        echo(f"{directory.path} was trained {up_to} with {former}")
    directory.write_config(settings, former and f"{up_to}: {former}")


def note_origin(training: Training) -> None:
    """Write ``provenance.json`` or, on a resume, print and note there what differs from the start of the run."""
    path = training.directory.provenance
    began, now = read_origin(path), origin(training.settings["seed"], training.data.files.fingerprint)
    content = now
    if began is not None:
        changed = changes(began, now)
        for line in changed:
            echo(f"changed since the run began: {line}")
        resumed = {"command": now["command"], "changes": changed}
        content = {"data": now["data"]} | began | {"resumed": [*began.get("resumed", []), resumed]}
    write(path, as_json(content) + "\n")


def introduce(training: Training) -> None:
    """Print the data, unless it is MNIST, and the network."""
    files, settings = training.data.files, training.settings
    if not files.original:
        images = f"{len(files.train.labels):,} training and {len(files.test.labels):,} test images"
        note = " (not the original MNIST)" if files.image_spec == MNIST else ""
        echo(f"{files.folder}: {images}{note}, {files.image_spec}")
    if not len(files.test.labels):
        echo(f"Without test images, 'test' below means the {len(training.data.val.labels):,} held-out images.")
    if settings["threads"] > (cpus := os.cpu_count() or 1):
        echo(f"--threads {settings['threads']} is above this machine's {cpus} CPUs, which will be slow.")
    network = training.classifier.network
    if settings["trainer"]["enable_model_summary"]:
        echo(describe(network, settings["batch_size"], files.image_spec))
    parameters, device = parameters_of(network), training.trainer.strategy.root_device
    run = f"{settings['arch']} · {parameters:,} parameters · {device} · seed {settings['seed']}"
    echo(f"{run} -> {as_shown(training.directory.path)}")


def train(training: Training, checkpoint: Path | None) -> None:
    """Run the Trainer, from a checkpoint if there is one."""
    trainer = training.trainer
    # Lightning does so only after loading a checkpoint, whose float64 weights would be rounded to float32.
    trainer.precision_plugin.convert_module(training.classifier)
    skip_idle_hooks(trainer, training.classifier)
    try:
        trainer.fit(training.classifier, datamodule=training.data, ckpt_path=checkpoint, weights_only=True)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        if checkpoint is None or training.log.trains or find_disk_error(error, training.directory):
            raise
        # All parts are there, but some content is wrong: too much to check beforehand.
        raise UserError(
            f"cannot resume from {checkpoint} ({error!r}): put an intact copy there, or delete it"
        ) from error
