"""The flags and configs of ``fit.py``: nothing else knows them. Builds the data, the classifier and the Trainer."""

import inspect
import logging
import sys
import warnings
from argparse import ArgumentParser
from pathlib import Path
from typing import Any, NoReturn

import torch
import yaml
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Trainer, seed_everything
from lightning.pytorch.callbacks import ModelCheckpoint, TQDMProgressBar
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI

from convblocks import slurm
from convblocks.callbacks.preemption import Preemption
from convblocks.callbacks.run_log import RunLog
from convblocks.checkpoints import AtomicCheckpointIO
from convblocks.classifier import DigitClassifier
from convblocks.data import MNISTDataModule
from convblocks.errors import UsageError
from convblocks.networks import ARCHITECTURES
from convblocks.profiler import NoProfiler
from convblocks.runs import RunDirectory, next_version

# Short option -> what it sets. The right-hand sides cannot be given themselves.
LINKS = {
    "arch": "model.arch",
    "epochs": "trainer.max_epochs",
    "batch_size": "data.batch_size",
    "lr": "model.lr",
    "seed": "data.seed",
}

# Options of the Trainer that would take away what a run directory promises, and what to do instead.
REFUSED = {
    "logger": "every run writes TensorBoard events and metrics.csv",
    "enable_checkpointing": "every run keeps its last checkpoint",
    "default_root_dir": "choose the run directory with --name",
    "sync_batchnorm": "batch normalisation is synchronised anyway, on CPU too",
    "use_distributed_sampler": "the data module's own sampler shares batches between processes",
    "max_steps": "give --epochs, and --trainer.limit_train_batches for shorter ones",
    "min_steps": "give --epochs",
    "max_time": "give --epochs; a signal stops a run so that it can be resumed",
    "check_val_every_n_epoch": "every epoch is evaluated",
    "val_check_interval": "every epoch is evaluated once, at its end",
    "reload_dataloaders_every_n_epochs": "the images stay in memory",
    "barebones": "every run leaves its logs and its checkpoint",
    "overfit_batches": "it would swap the sampler; use --trainer.limit_train_batches",
    "fast_dev_run": "use --config configs/debug.yaml",
}

# Options that say where a run is kept and what it prints, not what it computes.
NOT_SETTINGS = ("config", "name", "resume", "running_loss")


class FitParser(LightningArgumentParser):
    """Complains in one line."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        for option, target in LINKS.items():
            if target in message:
                raise UsageError(f"{target} is set with --{option}") from ex
        if 'key "arch"' in message:
            raise UsageError(f"--arch is required: choose one of {', '.join(ARCHITECTURES)}") from ex
        raise UsageError(" ".join(message.split())) from ex


class FitCLI(LightningCLI):
    """Parses the command line and instantiates ``datamodule``, ``model`` and ``trainer``; runs and writes nothing.

    Raises:
        UsageError: options that are unknown, out of range, or cannot be combined.
    """

    run: RunDirectory
    log: RunLog

    def __init__(self, arguments: list[str]) -> None:
        _quieten()
        try:
            super().__init__(
                DigitClassifier,
                MNISTDataModule,
                save_config_callback=None,
                trainer_defaults={
                    "enable_model_summary": False,  # torchinfo's is printed instead
                    "log_every_n_steps": 50,
                    "num_sanity_val_steps": 0,
                    "use_distributed_sampler": False,
                },
                parser_class=FitParser,
                args=_with_saved_config(arguments),
                run=False,
                auto_configure_optimizers=False,
                load_from_checkpoint_support=False,
            )
        except (MisconfigurationException, ModuleNotFoundError, ValueError) as error:
            raise UsageError(" ".join(str(error).split())) from error

    def settings(self) -> dict[str, Any]:
        """All that determines the run's results, as plain values; ``--config`` takes them back."""
        settings: dict[str, Any] = yaml.safe_load(self.parser.dump(self.config))
        return {option: value for option, value in settings.items() if option not in NOT_SETTINGS}

    def add_default_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        parser.add_argument(
            "--seed", type=int, default=0, help="Seed of the weights, and of the order and movements of the images."
        )

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        lr = _default(DigitClassifier, "lr")
        batch_size = _default(MNISTDataModule, "batch_size")
        parser.add_argument("--arch", type=str, required=True, help="The network to train.")
        parser.add_argument("--epochs", type=int, default=5, help="Passes over the training images.")
        parser.add_argument("--batch_size", type=int, default=batch_size, help="Images per optimizer step.")
        parser.add_argument("--lr", type=float, default=lr, help="Learning rate.")
        parser.add_argument("--threads", type=int | None, help="CPU threads (they change how sums round).")
        parser.add_argument("--name", type=str | None, help="The run is lightning_logs/NAME.")
        parser.add_argument("--resume", action="store_true", help="Carry on the run of that name.")
        parser.add_argument("--running_loss", action="store_true", help="Print the loss every few batches.")
        for option, target in LINKS.items():
            parser.link_arguments(option, target)

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        self.config = parser.parse_args(args)
        for option in ("epochs", "threads", "trainer.log_every_n_steps"):
            if self.config[option] is not None and self.config[option] < 1:
                raise UsageError(f"--{option} must be at least 1, but is {self.config[option]}")
        for option in ("limit_train_batches", "limit_val_batches", "limit_test_batches"):
            if self.config.trainer[option] == 0:
                raise UsageError(f"--trainer.{option} must be above 0: every epoch is trained and evaluated")
        if not 0 <= self.config.seed < 2**32:
            raise UsageError(f"--seed must be in 0..2^32-1, but is {self.config.seed}")
        if self.config.resume and self.config.name is None:
            raise UsageError("--resume needs the --name of the run, for example --name maxpool/version_0")
        defaults = parser.get_defaults()
        for option, instead in REFUSED.items():
            if self.config.trainer[option] != defaults.trainer[option]:
                raise UsageError(f"--trainer.{option} is not available: {instead}")
        # Keeps LightningCLI from seeding with an option of its own, which this parser does not have.
        self.config["seed_everything"] = False

    def before_instantiate_classes(self) -> None:
        slurm.check_tasks(self.config.trainer.devices, self.config.trainer.num_nodes)
        del self.config["seed_everything"]
        seed_everything(self.config.seed, verbose=False)
        if self.config.threads is None:
            self.config.threads = torch.get_num_threads()  # noted, since a resume must round the same sums alike
        torch.set_num_threads(self.config.threads)
        if self.config.trainer.profiler:
            logging.getLogger("lightning.pytorch.profilers").setLevel(logging.INFO)  # where its report goes

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        self.run = next_version(self.config.arch) if self.config.name is None else RunDirectory(self.config.name)
        self.log = RunLog(self.run.metrics, self.config.trainer.log_every_n_steps, self.config.running_loss)
        callbacks = [self.log, Preemption(self.run.last_checkpoint)]
        checkpoints = self.run.last_checkpoint.parent
        if self.datamodule.val_size:
            callbacks.append(_checkpoint(checkpoints, self.run.best_checkpoint.stem, monitor="val/loss"))
        callbacks.append(_checkpoint(checkpoints, self.run.last_checkpoint.stem, monitor=None))
        plugins: list[Any] = [AtomicCheckpointIO(keep_previous=self.run.last_checkpoint)]
        if SLURMEnvironment.detect():
            plugins.append(SLURMEnvironment(auto_requeue=False))  # Preemption does it, without deadlocks
        show_bar = self.config.trainer.enable_progress_bar is not False and sys.stdout.isatty()
        if show_bar:
            callbacks.append(TQDMProgressBar(refresh_rate=20, leave=False))
        return super().instantiate_trainer(
            logger=False,  # fit.py gives it one once the run directory is made
            enable_progress_bar=show_bar,
            profiler=self.config_init.trainer.profiler or NoProfiler(),
            callbacks=callbacks + (self.config_init.trainer.callbacks or []),
            plugins=plugins + (self.config_init.trainer.plugins or []),
        )


def _checkpoint(folder: Path, name: str, monitor: str | None) -> ModelCheckpoint:
    """Keeps one checkpoint under one name: the latest epoch's, or the one with the lowest ``monitor``."""
    return ModelCheckpoint(folder, name, monitor=monitor, enable_version_counter=False, save_on_train_epoch_end=True)


def _default(of: type, parameter: str) -> Any:
    """A setting's default has one home: the signature of the class that uses it."""
    return inspect.signature(of).parameters[parameter].default


def _with_saved_config(arguments: list[str]) -> list[str]:
    """On a resume the run's own settings come first, so that they need not be given again."""
    parser = ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--name")
    parser.add_argument("--resume", action="store_true")
    known, _ = parser.parse_known_args(arguments)
    if known.resume and known.name and (config := RunDirectory(known.name).config).is_file():
        return ["--config", str(config), *arguments]
    return arguments


def _quieten() -> None:
    """Silence what Lightning says about every run alike; its other warnings stay."""
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    # The images are in memory: workers would only be slower.
    warnings.filterwarnings("ignore", message=".*does not have many workers")
    # Lightning 2.6 with torch 2.13, at every batch.
    warnings.filterwarnings("ignore", message=".*LeafSpec.* is deprecated")
    # The data module resumes its sampler itself.
    warnings.filterwarnings("ignore", message="(?s)You're resuming from a checkpoint that ended before the epoch ended")
    # The metrics are summed over the processes before they are logged.
    warnings.filterwarnings("ignore", message="It is recommended to use `self.log.*sync_dist=True")
    # A resume writes into the same directory on purpose.
    warnings.filterwarnings("ignore", message="Checkpoint directory .* exists and is not empty")
    # A machine that has Slurm may still be used without it.
    warnings.filterwarnings("ignore", message="The `srun` command is available on your system but is not used")
    # RunLog writes the logs, at intervals of its own.
    warnings.filterwarnings("ignore", message="The number of training batches .* is smaller than the logging interval")
