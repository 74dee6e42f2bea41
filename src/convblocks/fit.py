"""One training run, from the command line to a finished run directory."""

import errno
from pathlib import Path

import torch
import yaml
from lightning.pytorch.loggers import TensorBoardLogger

from convblocks.atomic import atomic_write
from convblocks.checkpoints import newest_checkpoint, read_checkpoint
from convblocks.cli import FitCLI
from convblocks.errors import UsageError, UserError
from convblocks.machine import git_commit, versions
from convblocks.memory import keep_freed_memory
from convblocks.runs import LOGS, flatten
from convblocks.summary import describe
from convblocks.trained import load_network

# What a network reaches by giving every image the same answer, and a little more.
COLLAPSED_BELOW = 0.15

# What the system says when a disk is full, over quota, gone or not writable.
DISK_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.ENOENT, errno.ENOTDIR, errno.EEXIST, errno.EIO, errno.EROFS}


def main(arguments: list[str]) -> None:
    """Train as the command line says.

    Raises:
        UserError: anything that the user can mend.
        KeyboardInterrupt: Ctrl-C; what was finished by then is in the run directory.
    """
    cli = FitCLI(["--help"] if "--help_all" in arguments else arguments)
    check_run(cli)
    if cli.config.resume and cli.run.state(cli.config.epochs) == "done":
        if cli.trainer.is_global_zero:
            print(f"{cli.run.path} is finished: it has {cli.config.epochs} epochs. To extend it, give more --epochs.")
        return
    cli.datamodule.prepare_data()
    cli.datamodule.setup("fit")
    keep_freed_memory()
    if not cli.trainer.is_global_zero:
        run(cli)
        return
    cli.run.create()
    with cli.run.lock():
        run(cli)


def run(cli: FitCLI) -> None:
    """Train in the run directory, which is there, and leave its files."""
    checkpoint, step = find_checkpoint(cli)
    logger = open_run(cli, step)
    if cli.trainer.is_global_zero:
        introduce(cli)
    train(cli, checkpoint)
    metrics = final_metrics(cli, logger)
    if cli.trainer.is_global_zero:
        record(cli, logger, metrics)
        conclude(cli, metrics)


def check_run(cli: FitCLI) -> None:
    """Refuse a run that would overwrite another, or carry on with other settings than it began with."""
    run, config = cli.run, cli.config
    if not run.exists():
        return
    if not config.resume:
        if cli.trainer.is_global_zero:
            raise UsageError(f"{run.path} exists: carry on with --resume, or choose another --name")
        return
    if not run.config.is_file():
        raise UsageError(f"{run.path} is not a run that can be resumed: it has no {run.config.name}")
    # A schedule other than a constant one is shaped by the number of epochs it began with.
    longer = config.epochs > run.read_config()["epochs"] and config.model.schedule == "constant"
    if changed := run.changed_settings(cli.settings(), ignored=("epochs",) if longer else ()):
        raise UsageError(f"{changed}: resume it with its own settings, or choose another --name")


def find_checkpoint(cli: FitCLI) -> tuple[Path | None, int]:
    """The checkpoint to carry on from, and the steps done by then; (None, 0) for a new run.

    Raises:
        UserError: it is damaged and there is no other, or it belongs to other settings.
    """
    found = newest_checkpoint(cli.run.last_checkpoint)
    if found is None:
        return None, 0
    path, checkpoint = found
    if checkpoint["hyper_parameters"] != dict(cli.model.hparams):
        raise UserError(f"{path} belongs to a run with other settings: put the right one there, or delete it")
    if path != cli.run.last_checkpoint and cli.trainer.is_global_zero:
        print(f"{cli.run.last_checkpoint} is missing or damaged: carrying on from {path.name}")
    return path, checkpoint["global_step"]


def open_run(cli: FitCLI, step: int) -> TensorBoardLogger:
    """Note the settings in the run directory and let the Trainer log into it, from a step on."""
    if cli.trainer.is_global_zero:
        with atomic_write(cli.run.config) as file:
            file.write(yaml.safe_dump(cli.settings(), sort_keys=False).encode())
    logger = TensorBoardLogger(
        LOGS,
        name="",
        version=cli.run.name,
        default_hp_metric=False,
        purge_step=step + 1 if step else None,  # TensorBoard forgets what was logged after the checkpoint
    )
    cli.trainer.logger = logger
    return logger


def introduce(cli: FitCLI) -> None:
    """Print what is about to be trained, and on what."""
    files = cli.datamodule.files
    if not files.original:
        print(f"The data in {files.folder} is not the original MNIST.")
    print(describe(cli.model.network, cli.config.batch_size))
    print(f"{cli.run.path}: {cli.config.arch} on {cli.trainer.strategy.root_device}, seed {cli.config.seed}")


def train(cli: FitCLI, checkpoint: Path | None) -> None:
    """Run the Trainer, from a checkpoint if there is one.

    Raises:
        KeyboardInterrupt: Ctrl-C.
        Stopped: a signal came, and the run is saved.
        UserError: the disk is full, or the run directory cannot be written to any more.
    """
    try:
        cli.trainer.fit(cli.model, datamodule=cli.datamodule, ckpt_path=checkpoint, weights_only=True)
    except SystemExit as exit_of_lightning:
        if cli.trainer.interrupted:  # Lightning turns Ctrl-C into exit status 1
            raise KeyboardInterrupt from exit_of_lightning
        raise
    except OSError as error:
        if error.errno not in DISK_ERRORS:
            raise
        raise UserError(f"cannot write to {cli.run.path} ({error.strerror}); its last checkpoint is intact") from error


def final_metrics(cli: FitCLI, logger: TensorBoardLogger) -> dict[str, float]:
    """The last epoch's metrics or, with a validation split, those of the best epoch's weights on the test set."""
    if cli.datamodule.val_size:
        # The weights alone: with ckpt_path Lightning would also take the history back to the best epoch.
        cli.model.load_state_dict(read_checkpoint(cli.run.best_checkpoint)["state_dict"])
        cli.trainer.test(cli.model, datamodule=cli.datamodule, verbose=False)
        metrics = {name: value for name, value in cli.model.latest.items() if name.startswith("test/")}
        logger.log_metrics(metrics, step=int(cli.log.rows[-1]["step"]))
        return metrics
    return {name: value for name, value in cli.log.rows[-1].items() if "/" in name}


def record(cli: FitCLI, logger: TensorBoardLogger, metrics: dict[str, float]) -> None:
    """Write what the run came to: ``summary.json``, and TensorBoard's pictures and HParams tab."""
    # Matplotlib comes with it, which takes its time and which only finished runs need.
    from convblocks.portrait import write_portrait

    # Tags of their own: under test/loss they would put a false point into its curve.
    tags = {f"hp/{name.replace('/', '_')}": value for name, value in metrics.items()}
    step = int(cli.log.rows[-1]["step"])
    logger.log_hyperparams(flatten(cli.settings()), tags, step=step)
    trained = load_network(cli.run.best_checkpoint if cli.datamodule.val_size else cli.run.last_checkpoint)
    write_portrait(logger.experiment, cli.run, trained, cli.datamodule.test, step)
    logger.finalize("success")
    cli.run.write_summary(
        {
            "arch": cli.config.arch,
            "parameters": sum(parameter.numel() for parameter in cli.model.parameters()),
            "seed": cli.config.seed,
            "epochs": cli.log.rows,
            "final": metrics,
            "collapsed": collapsed(cli),
            "seconds": round(sum(row["seconds"] for row in cli.log.rows), 3),
            "device": str(cli.trainer.strategy.root_device),
            "processes": cli.trainer.world_size,
            "threads": torch.get_num_threads(),
            "versions": versions(),
            "git_commit": git_commit(),
            "settings": cli.settings(),
        }
    )


def conclude(cli: FitCLI, metrics: dict[str, float]) -> None:
    """Print the result and what to do next."""
    seconds = sum(row["seconds"] for row in cli.log.rows)
    print(f"\n{cli.run.path}: {len(cli.log.rows)} epochs in {seconds:.1f} s")
    print(f"test accuracy {100 * metrics['test/acc']:.2f} %, test loss {metrics['test/loss']:.4f}")
    if collapsed(cli):
        print(
            f"This run collapsed: it never got above {COLLAPSED_BELOW:.0%} accuracy. Its ReLUs died; "
            "another --seed or a lower --lr helps."
        )
    print(f"View the curves:       tensorboard --logdir {LOGS}")
    print(f"Compare over seeds:    python scripts/compare.py --arch {cli.config.arch}")


def collapsed(cli: FitCLI) -> bool:
    """Whether no epoch reached an accuracy worth the name on the images it was evaluated on."""
    accuracy = f"{cli.datamodule.evaluation_split}/acc"
    return all(row.get(accuracy, 1.0) <= COLLAPSED_BELOW for row in cli.log.rows)
