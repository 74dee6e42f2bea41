"""Builds the parts of a run, one after the other."""

import os
from collections.abc import Sequence
from datetime import timedelta

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from lightning.pytorch.utilities import rank_zero_only
from lightning.pytorch.utilities.model_helpers import is_overridden

from convblocks import wings
from convblocks.errors import UsageError
from convblocks.model.batch_norm import synchronize_batch_norm
from convblocks.record.checkpoint_io import RunCheckpointIO
from convblocks.record.directory import RunDirectory, next_version
from convblocks.record.judge import Judge, Judges
from convblocks.run.callbacks import Added, BegunWith, BestCheckpoint, Divergence
from convblocks.run.metrics_log import MetricsLog
from convblocks.run.parts import Parts, make_parts
from convblocks.run.run import Run
from convblocks.run.trainer import make_trainer
from convblocks.settings.config import Config
from convblocks.text import Settings
from exact_resume.callback import ExactResume
from exact_resume.keeper import Keeper
from exact_resume.training import callbacks_of

# The time between two saves within an epoch, and so what a kill may cost. A save takes far less
# than a second.
BETWEEN_SAVES = timedelta(minutes=10)


def make_run(config: Config, callbacks: Sequence[Callback] = ()) -> Run:
    """Build all parts of a run.

    Args:
        config: The configuration.
        callbacks: Further callbacks of the caller's, called after the metrics log and before
            those of wings.

    Raises:
        UsageError: invalid or incompatible options.
    """
    parts = make_parts(config)
    module = parts.module
    if not (parts.data or is_overridden("train_dataloader", module)):
        raise UsageError(f"give --data: {type(module).__name__} has no train_dataloader")
    judges = find_judges(parts)
    directory = _directory(parts)
    log = MetricsLog(directory.metrics, judges)
    divergence = Divergence()
    best = _best_checkpoint(parts, judges, directory)
    resume = _exact_resume(config, directory)
    begun_with = BegunWith(config.with_unset, resume)
    added, arguments = added_by_wings(parts)
    # Lightning calls them in this order, then those of --trainer.callbacks, and at the end all
    # ModelCheckpoints, such as ``best``; ``resume`` moves itself behind these.
    ours = [log, *callbacks, *added, begun_with, divergence, *([best] if best else []), resume]
    if parts.tries_out:  # nothing is written
        ours = [*callbacks]
    trainer = make_trainer(parts, arguments, ours)
    trainer.strategy.checkpoint_io = RunCheckpointIO(
        trainer.strategy.checkpoint_io, directory, type(module).__qualname__, config.weights_only
    )
    # Lightning's import takes this rank from Slurm's variables, even where Slurm did not start
    # these processes. (It has no type, since it is set at run time.)
    rank_zero_only.rank = trainer.global_rank  # type: ignore[attr-defined]
    _place_users_checkpoints(trainer, directory)
    _prepare_processes(trainer, parts)
    return Run(config, parts.data, module, judges, directory, log, divergence, best, trainer)


def _directory(parts: Parts) -> RunDirectory:
    config = parts.config
    if config.name is None:
        return next_version(parts.arch, config.root)
    return RunDirectory(config.name, config.root)


def find_judges(parts: Parts) -> Judges:
    """The metrics by which a run is judged. They are named by ``--judge``, or by the module:
    by its ``judge`` and ``monitor``, texts such as ``val/loss:min``, or by its ``monitor``
    and ``mode``, a name and ``min`` or ``max``. ``--judge`` takes the place of the module's
    judge, but not of its monitor.

    Raises:
        UsageError: ``--judge`` names a metric of an evaluation that the run does not have.
    """
    asked = parts.settings.get("judge")
    named, monitor_named = _named_by(parts.module)
    if not (asked or named):
        return Judges()
    judge = Judge.parse(asked or named)
    has_validation = parts.has("validation")
    if not (asked or has_validation or parts.has("test")):
        return Judges()
    if asked and judge.split and not parts.has(judge.split):
        raise UsageError(
            f"--judge {judge.metric} is of the {judge.split}, "
            "but this run has no loader and no step for it"
        )
    monitor = Judge.parse(monitor_named) if monitor_named else judge
    chooses = has_validation and not monitor.is_of_training
    return Judges(judge, monitor if chooses else None, bool(asked))


def _named_by(module: LightningModule) -> tuple[str, str]:
    """The texts by which a module names its judge, and another metric that chooses its best
    checkpoint; empty where it names none.
    """
    judge, monitor, mode = (
        text if isinstance(text := getattr(module, name, None), str) else ""
        for name in ("judge", "monitor", "mode")
    )
    if judge:
        return judge, monitor
    # Without a judge and a mode, a module's monitor may mean something else.
    return (f"{monitor}:{mode}", "") if monitor and mode in ("min", "max") else ("", "")


def _best_checkpoint(
    parts: Parts, judges: Judges, directory: RunDirectory
) -> BestCheckpoint | None:
    """The callback that keeps the best checkpoint; None if no evaluation can choose one, or if
    the run is evaluated or judged on test data.
    """
    judge, monitor, _ = judges
    by_test = any(metric and metric.is_of_test for metric in (judge, monitor))
    by_test = by_test or parts.evaluation_split == "test"
    if not parts.has("validation") or by_test or (judge and not monitor):
        return None
    return BestCheckpoint(directory.best_checkpoint, judges)


def _exact_resume(config: Config, directory: RunDirectory) -> ExactResume:
    keepers = list(wings.call("KEEPERS", "make_keeper", kind=Keeper))
    hint = config.resume_hint(directory.name)
    try:
        return ExactResume(
            directory.last_checkpoint, hint, keepers, train_time_interval=BETWEEN_SAVES
        )
    except ValueError as error:  # two keepers have the same name
        raise UsageError(f"the keepers of wings: {error}: remove one of the wings") from error


def added_by_wings(parts: Parts) -> tuple[list[Callback], Settings]:
    """The callbacks that wings add, and arguments of the Trainer."""
    callbacks = []
    arguments: Settings = {"plugins": []}
    for added in wings.call("CALLBACKS", "make", parts, kind=Callback | Added):
        further: Settings = {}
        if isinstance(added, Added):
            added, further = added
        callbacks.append(added)
        plugins = [*arguments["plugins"], *further.get("plugins", ())]
        arguments |= further | {"plugins": plugins}
    return callbacks, arguments


def _place_users_checkpoints(trainer: Trainer, directory: RunDirectory) -> None:
    """Put the user's checkpoints apart from those that a resume needs."""
    for checkpoint in callbacks_of(trainer, ModelCheckpoint):
        if checkpoint.dirpath is None:
            checkpoint.dirpath = str(directory.path.resolve() / "own_checkpoints")


def _prepare_processes(trainer: Trainer, parts: Parts) -> None:
    """Set the threads of several processes, and synchronise their batch norm."""
    if trainer.world_size == 1:
        return
    # Without this variable Lightning would choose the threads of the processes that it starts.
    os.environ["OMP_NUM_THREADS"] = str(parts.settings["threads"])
    is_synchronized = parts.settings["trainer"]["sync_batchnorm"]
    # An ImageClassifier, which has this hyper-parameter, does so itself.
    if is_synchronized and "sync_batchnorm" not in parts.module.hparams:
        synchronize_batch_norm(parts.module)
