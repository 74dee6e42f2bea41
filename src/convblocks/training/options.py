"""The flags and configs of ``fit.py``: nothing else knows them. They end in plain values and what is built of these."""

import inspect
import logging
import sys
from argparse import ArgumentParser
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, NoReturn

import jsonargparse
import torch
import yaml
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import TQDMProgressBar

from convblocks.data.module import MNISTDataModule
from convblocks.errors import UsageError
from convblocks.model.classifier import DigitClassifier
from convblocks.model.networks import ARCHITECTURES
from convblocks.runs.directory import RunDirectory
from convblocks.training.lean import LeanClassifier, NoProfiler

# Short option -> what it sets. The right-hand sides cannot be given themselves.
LINKS = {
    "arch": "model.arch",
    "epochs": "trainer.max_epochs",
    "batch_size": "data.batch_size",
    "lr": "model.lr",
    "seed": "data.seed",
}

TRAINER_DEFAULTS = {
    "enable_model_summary": False,  # torchinfo's is printed instead
    "log_every_n_steps": 50,
    "num_sanity_val_steps": 0,
    "use_distributed_sampler": False,
}

# Options of the Trainer that would take away what a run directory promises, and what to do instead.
REFUSED = {
    "logger": "every run writes TensorBoard events and metrics.csv",
    "enable_checkpointing": "every run keeps its last checkpoint",
    "default_root_dir": "choose the run directory with --name",
    "sync_batchnorm": "batch normalisation is synchronised anyway, on CPU too",
    "max_steps": "give --epochs, and --trainer.limit_train_batches for shorter ones",
    "min_steps": "give --epochs",
    "max_time": "give --epochs; a signal stops a run so that it can be resumed",
    "check_val_every_n_epoch": "every epoch is evaluated",
    "val_check_interval": "every epoch is evaluated once, at its end",
    "reload_dataloaders_every_n_epochs": "the images stay in memory",
    "barebones": "every run leaves its logs and its checkpoint",
    "fast_dev_run": "use --config configs/debug.yaml",
}

# Options that say where a run is kept and what it prints, not what it computes.
NOT_SETTINGS = ("config", "name", "resume", "running_loss")

Settings = dict[str, Any]


@dataclass(frozen=True)
class Options:
    """What a command line says, in plain values.

    Args:
        settings: All that determines the run's results; ``config.yaml`` holds them, and ``--config`` takes them back.
        name: The run directory below ``lightning_logs``, None for the next free version.
        resume: Whether a run that is there is carried on.
        running_loss: Whether the loss is printed every few batches.
    """

    settings: Settings
    name: str | None
    resume: bool
    running_loss: bool


class FitParser(jsonargparse.ArgumentParser):
    """Complains in one line."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        for option, target in LINKS.items():
            if target in message:
                raise UsageError(f"{target} is set with --{option}") from ex
        if 'key "arch"' in message:
            raise UsageError(f"--arch is required: choose one of {', '.join(ARCHITECTURES)}") from ex
        raise UsageError(" ".join(message.split())) from ex


def parse(arguments: list[str]) -> Options:
    """Check a command line as far as that is possible without building anything.

    Raises:
        UsageError: options that are unknown, out of range, or cannot be combined.
    """
    config = parser().parse_args(_with_saved_config(arguments))
    for option in ("epochs", "threads", "trainer.log_every_n_steps"):
        if config[option] is not None and config[option] < 1:
            raise UsageError(f"--{option} must be at least 1, but is {config[option]}")
    for option in ("limit_train_batches", "limit_val_batches", "limit_test_batches"):
        if config.trainer[option] == 0:
            raise UsageError(f"--trainer.{option} must be above 0: every epoch is trained and evaluated")
    if not 0 <= config.seed < 2**32:
        raise UsageError(f"--seed must be in 0..2^32-1, but is {config.seed}")
    if config.resume and config.name is None:
        raise UsageError("--resume needs the --name of the run, for example --name maxpool/version_0")
    defaults = parser().get_defaults()
    for option, instead in REFUSED.items():
        if config.trainer[option] != defaults.trainer[option]:
            raise UsageError(f"--trainer.{option} is not available: {instead}")
    if config.threads is None:
        config.threads = torch.get_num_threads()  # noted, since a resume must round the same sums alike
    settings = yaml.safe_load(parser().dump(config))
    return Options(
        settings={option: value for option, value in settings.items() if option not in NOT_SETTINGS},
        name=config.name,
        resume=config.resume,
        running_loss=config.running_loss,
    )


def build_classifier(settings: Settings) -> DigitClassifier:
    """The classifier of these settings, or a UsageError; its weights are drawn from torch's global random numbers."""
    return LeanClassifier(**parser().parse_object(settings).model)


def build_data(settings: Settings) -> MNISTDataModule:
    """The data module of these settings, or a UsageError."""
    return MNISTDataModule(**parser().parse_object(settings).data)


def build_trainer(settings: Settings, callbacks: Sequence[Callback], plugins: Sequence[Any]) -> Trainer:
    """The Trainer of these settings, with more callbacks and plugins, a bar on a terminal, and still without a logger.

    Raises:
        UsageError: what is asked for is not there, or cannot be combined.
    """
    try:
        given = parser().instantiate(parser().parse_object(settings)).trainer.as_dict()
        if given["profiler"]:
            logging.getLogger("lightning.pytorch.profilers").setLevel(logging.INFO)  # where its report goes
        show_bar = given["enable_progress_bar"] is not False and sys.stdout.isatty()
        bar = [TQDMProgressBar(refresh_rate=20, leave=False)] if show_bar else []
        given |= {
            "logger": False,
            "enable_progress_bar": show_bar,
            "profiler": given["profiler"] or NoProfiler(),
            "callbacks": [*callbacks, *bar, *(given["callbacks"] or [])],
            "plugins": [*plugins, *(given["plugins"] or [])],
        }
        return Trainer(**given)
    except (MisconfigurationException, ModuleNotFoundError, ValueError) as error:
        raise UsageError(" ".join(str(error).split())) from error


@cache
def parser() -> FitParser:
    """All options with their types, defaults and help, from the signatures and docstrings of what they set."""
    made = FitParser(prog="fit.py")
    made.add_argument("--config", action="config", help="A YAML file with options.")
    made.add_argument("--arch", type=str, required=True, help="The network to train.")
    made.add_argument("--epochs", type=int, default=5, help="Passes over the training images.")
    batch_size, lr = _default(MNISTDataModule, "batch_size"), _default(DigitClassifier, "lr")
    made.add_argument("--batch_size", type=int, default=batch_size, help="Images per optimizer step.")
    made.add_argument("--lr", type=float, default=lr, help="Learning rate.")
    help_text = "Seed of the weights, and of the order and movements of the images."
    made.add_argument("--seed", type=int, default=0, help=help_text)
    made.add_argument("--threads", type=int | None, help="CPU threads (they change how sums round).")
    made.add_argument("--name", type=str | None, help="The run is lightning_logs/NAME.")
    made.add_argument("--resume", action="store_true", help="Carry on the run of that name.")
    made.add_argument("--running_loss", action="store_true", help="Print the loss every few batches.")
    for group, part in (("model", DigitClassifier), ("data", MNISTDataModule), ("trainer", Trainer)):
        made.add_class_arguments(part, group, instantiate=False, sub_configs=True)
    made.set_defaults({f"trainer.{option}": value for option, value in TRAINER_DEFAULTS.items()})
    for option, target in LINKS.items():
        made.link_arguments(option, target)
    return made


def _default(of: type, parameter: str) -> Any:
    """A setting's default has one home: the signature of the class that uses it."""
    return inspect.signature(of).parameters[parameter].default


def _with_saved_config(arguments: list[str]) -> list[str]:
    """On a resume the run's own settings come first, so that they need not be given again."""
    names = ArgumentParser(add_help=False, allow_abbrev=False)
    names.add_argument("--name")
    names.add_argument("--resume", action="store_true")
    known, _ = names.parse_known_args(arguments)
    if known.resume and known.name and (config := RunDirectory(known.name).config).is_file():
        return ["--config", str(config), *arguments]
    return arguments
