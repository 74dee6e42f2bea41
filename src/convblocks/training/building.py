"""Builds data module, classifier and Trainer from plain settings."""

import logging
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import ProgressBar

from convblocks.data.image_spec import ImageSpec
from convblocks.data.images import ImageSource
from convblocks.data.module import MNISTDataModule
from convblocks.errors import UsageError
from convblocks.model import names
from convblocks.model.classifier import DigitClassifier
from convblocks.model.losses import loss_name
from convblocks.model.networks import check_name
from convblocks.model.optimizers import optimizer_name, schedule_name
from convblocks.training.bar import Bar
from convblocks.training.fast.loop import FastClassifier, NoProfiler
from convblocks.training.options import Settings, parsed, parser


def load_classes(settings: Settings) -> None:
    """Import the classes named in the settings.

    Raises:
        UsageError: one does not exist.
    """
    check_name(settings["arch"])
    for name in (
        optimizer_name(settings["optimizer"]),
        schedule_name(settings["lr_scheduler"]),
        loss_name(settings["loss"]),
        settings["arch"],
        settings["data"].get("source") or "",
    ):
        if "." in name:
            names.import_class(name)


def build_classifier(settings: Settings, image_spec: ImageSpec) -> DigitClassifier:
    """The classifier of these settings; its weights are drawn from torch's global generator.

    Raises:
        UsageError: the network, optimizer, schedule or loss does not take its arguments.
    """
    return FastClassifier(
        settings["arch"],
        settings["lr"],
        settings["optimizer"],
        settings["lr_scheduler"],
        settings.get("network"),
        settings["trainer"]["sync_batchnorm"],
        settings["loss"],
        image_spec,
    )


def build_data(settings: Settings) -> MNISTDataModule:
    """The data module of these settings, or a UsageError."""
    given = dict(parsed(settings).data)
    source = given.pop("source")
    return MNISTDataModule(**given, source=partial(names.instantiate, ImageSource, source) if source else None)


def build_trainer(settings: Settings, root: Path, callbacks: Sequence[Callback], plugins: Sequence[Any]) -> Trainer:
    """The Trainer of these settings, with further callbacks and plugins, and a progress bar on a terminal.

    Its loggers are those of the settings only, not yet the one that every run has.

    Raises:
        UsageError: an unknown class, or options that Lightning refuses.
    """
    try:
        given = parser().instantiate(parsed(settings)).trainer.as_dict()
        own_callbacks = _as_list(given["callbacks"])
        if given["profiler"]:
            logging.getLogger("lightning.pytorch.profilers").setLevel(logging.INFO)  # its report is logged there
        own_bar = any(isinstance(callback, ProgressBar) for callback in own_callbacks)
        show_bar = given["enable_progress_bar"] is not False and sys.stdout.isatty()
        bar = [Bar()] if show_bar and not own_bar else []
        given |= {
            "default_root_dir": root,
            "logger": given["logger"] if given["logger"] not in (None, True) else False,
            "enable_progress_bar": show_bar or own_bar,
            "enable_model_summary": False,  # fit prints its own
            "profiler": given["profiler"] or NoProfiler(),
            "sync_batchnorm": False,  # the classifier does it itself, on any device
            "callbacks": [*callbacks, *bar, *own_callbacks],
            "plugins": [*plugins, *_as_list(given["plugins"])],
        }
        return Trainer(**given)
    except (MisconfigurationException, ModuleNotFoundError, ValueError, TypeError, RuntimeError) as error:
        raise UsageError(" ".join(str(error).split())) from error


def _as_list(given: Any) -> list[Any]:
    """A list, from an option that may be a list, a single value or None."""
    return list(given) if isinstance(given, list | tuple) else [] if given is None else [given]
