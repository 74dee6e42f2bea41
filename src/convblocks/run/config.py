"""The configuration of a run: parsed once and checked, then made into data, classifier and Trainer."""

import logging
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import jsonargparse
import torch
import yaml
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Callback, LightningDataModule, LightningModule, Trainer
from lightning.pytorch.callbacks import ProgressBar
from lightning.pytorch.utilities.model_helpers import is_overridden

from convblocks import wings
from convblocks.data import mnist
from convblocks.data.images import ImageSource, ImageSpec
from convblocks.data.module import ImageDataModule
from convblocks.errors import UsageError
from convblocks.model import class_specs
from convblocks.model.class_specs import KINDS, full_name, short_name
from convblocks.model.classifier import ImageClassifier
from convblocks.model.networks import check_name
from convblocks.run.checkpoints import refuse_objects
from convblocks.run.checks import NAME_IS_NEEDED, NO_LIMIT, check
from convblocks.run.directory import RunDirectory
from convblocks.run.parser import EPOCHS, OWN, Settings, parse_words, parser, plain_settings
from convblocks.run.progress import Bar


@dataclass(frozen=True)
class Config:
    """A parsed and checked command line of ``fit``.

    Args:
        settings: Everything that determines the run's results, in plain values; saved in ``config.yaml``, and read by
            ``--config``.
        name: The run directory below ``lightning_logs``; None for the next free version.
        root: The parent folder of ``lightning_logs``.
        resume: Whether to resume an existing run.
        running_loss: Whether to print the loss every few batches.
        options: The values of the options that wings add, which are no settings.
        parsed: The same values in the types of the signatures.
    """

    settings: Settings
    name: str | None
    root: Path
    resume: bool
    running_loss: bool
    options: Mapping[str, Any]
    parsed: jsonargparse.Namespace = field(repr=False, compare=False)

    @classmethod
    def parse(cls, arguments: Sequence[str]) -> "Config":
        """Parse and check a command line, without building anything.

        Raises:
            UsageError: options that are unknown, out of range, or incompatible.
        """
        class_specs.see_current_folder()  # for a user's own callbacks and loggers
        parsed = parse_words([*_saved_config(arguments), *arguments])
        for group, option in (("data", "val_size"), ("trainer", "max_steps")):
            if option not in parsed[group]:  # the parser accepts a config in which a group is a single value
                raise UsageError(f"{group} in a config must hold options, as in `{group}: {{{option}: 1}}`")
        if parsed.epochs is None:  # Lightning's rule: with another limit, epochs have none
            parsed.epochs = EPOCHS if parsed.trainer.max_steps == -1 and parsed.trainer.max_time is None else NO_LIMIT
            parsed.trainer.max_epochs = parsed.epochs
        if parsed.threads is None:
            parsed.threads = torch.get_num_threads()  # saved, since a resume must round sums in the same way
        check(parsed)
        return cls(
            settings=plain_settings(parsed),
            name=parsed.name,
            root=Path(parsed.trainer.default_root_dir or ""),
            resume=parsed.resume,
            running_loss=parsed.running_loss,
            options={option: parsed.get(option) for option in wings.options()},
            parsed=parsed,
        )

    @property
    def is_of_images(self) -> bool:
        """Whether it trains a network that classifies images, not a LightningModule of the user's own."""
        return "arch" in self.settings

    def import_classes(self) -> None:
        """Import the classes that the settings name.

        Raises:
            UsageError: one does not exist.
        """
        settings = self.settings
        if not self.is_of_images:
            for option in OWN:
                if option in settings:
                    class_specs.import_class(short_name(settings[option]))
            return
        check_name(settings["arch"])
        for name in (
            *(full_name(option, settings[option]) for option in KINDS),
            settings["arch"],
            settings["data"].get("source") or "",
        ):
            if "." in name:
                class_specs.import_class(name)

    def make_parts(self, seed: Callable[[], object]) -> tuple[LightningModule, LightningDataModule | None]:
        """The module and its data; a module with a parameter ``image_spec`` gets that of its data.

        Args:
            seed: Seeds the global generators; called before weights are drawn, and after data are read for it.

        Raises:
            UsageError: they do not take their arguments, or are not such classes, or could not be resumed.
        """
        if self.is_of_images:
            data = self.make_data()
            image_spec = data.image_spec
            seed()
            return self.make_classifier(image_spec), data
        seed()
        return self.make_own_parts(seed)

    def make_data(self) -> ImageDataModule:
        """The data module of these settings, or a UsageError."""
        given = dict(self.parsed.data)
        root, source = given.pop("root"), given.pop("source")
        return ImageDataModule(
            str(mnist.DEFAULT_ROOT) if root is None else root,
            **given,
            source=partial(class_specs.instantiate, ImageSource, source) if source else None,
        )

    def make_classifier(self, image_spec: ImageSpec) -> ImageClassifier:
        """The classifier of these settings; its weights are drawn from torch's global generator.

        Raises:
            UsageError: the network, optimizer, schedule or loss does not take its arguments.
        """
        settings = self.settings
        return ImageClassifier(
            settings["arch"],
            settings["lr"],
            settings["optimizer"],
            settings["lr_scheduler"],
            settings.get("network"),
            settings["trainer"]["sync_batchnorm"],
            settings["loss"],
            image_spec,
        )

    def make_own_parts(
        self, seed: Callable[[], object] = lambda: None
    ) -> tuple[LightningModule, LightningDataModule | None]:
        """The user's own module and data; weights are drawn from the global generators.

        Raises:
            UsageError: they do not take their arguments, or are not such classes, or could not be resumed.
        """
        specs = {option: self.settings[option] for option in OWN if option in self.settings}
        kinds = {"model": LightningModule, "datamodule": LightningDataModule}
        made: dict[str, Any] = {}

        def make(option: str, **more: Any) -> None:
            spec = specs[option]
            arguments = more | class_specs.arguments_of(spec)
            made[option] = class_specs.instantiate(kinds[option], short_name(spec), **arguments)

        if "datamodule" in specs and class_specs.accepts(short_name(specs["model"]), "image_spec"):
            make("datamodule")
            image_spec = getattr(made["datamodule"], "image_spec", None)
            seed()
            make("model", **({} if image_spec is None else {"image_spec": image_spec}))
        else:
            for option in specs:
                make(option)
        for one in made.values():
            refuse_objects(one.hparams, f"{type(one).__qualname__}'s")
        if not is_overridden("train_dataloader", made.get("datamodule", made["model"])):
            raise UsageError(f"{short_name(specs['model'])} has no training data: give it a --datamodule")
        return made["model"], made.get("datamodule")

    def make_trainer(
        self, root: Path, callbacks: Sequence[Callback] = (), arguments: Mapping[str, Any] | None = None
    ) -> Trainer:
        """The Trainer of these settings, with further callbacks, and a progress bar on a terminal.

        Args:
            root: Its folder.
            callbacks: Those before the user's.
            arguments: Further ``plugins``, a ``profiler`` where the user gives none, ``logger``: the user's loggers
                as parsed, without the one that every run has (without ``logger`` there are none), and
                ``use_distributed_sampler``, false where the loaders share batches themselves.

        Raises:
            UsageError: an unknown class, or options that Lightning refuses.
        """
        parsed, arguments = self.parsed.clone(), arguments or {}
        parsed.trainer.logger = arguments.get("logger", False)
        try:
            given = parser().instantiate(parsed).trainer.as_dict()
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
                "profiler": given["profiler"] or arguments.get("profiler"),
                "sync_batchnorm": False,  # done without Lightning, on any device
                "use_distributed_sampler": given["use_distributed_sampler"]
                and arguments.get("use_distributed_sampler", True),
                "callbacks": [*callbacks, *bar, *own_callbacks],
                "plugins": [*arguments.get("plugins", ()), *_as_list(given["plugins"])],
            }
            trainer = Trainer(**given)
        except (MisconfigurationException, ModuleNotFoundError, ValueError, TypeError, RuntimeError) as error:
            raise UsageError(" ".join(str(error).split())) from error
        if getattr(trainer.strategy, "_start_method", "popen") != "popen":  # ddp_spawn, ddp_fork, ddp_notebook
            raise UsageError("processes that Lightning spawns or forks are not supported: give --trainer.strategy ddp")
        return trainer


def _saved_config(arguments: Sequence[str]) -> list[str]:
    """On a resume, the run's saved settings as a first config, so that they need not be given again."""
    name = _last("--name", arguments)
    may_begin = any(_last(option, arguments) for option in ("--arch", "--model", "--config"))
    if "--resume" not in arguments:
        return []
    if not name:
        if may_begin:
            return []  # refused later, with what else is wrong
        raise UsageError(NAME_IS_NEEDED)
    directory = RunDirectory(name, Path(_last("--trainer.default_root_dir", arguments) or ""))
    if not directory.config.is_file():
        if may_begin:
            return []  # comparisons also pass --resume to new runs
        if directory.exists():
            raise UsageError(f"{directory.path} cannot be resumed: it has no {directory.config.name}")
        raise UsageError(f"there is no run {directory.path}: to begin it, give --arch or --model")
    saved = directory.read_config()
    for option in ("callbacks", "logger"):  # otherwise values given with += would be added to the saved ones
        if any(word.startswith(f"--trainer.{option}+") for word in arguments):
            saved["trainer"].pop(option, None)
    return ["--config", yaml.safe_dump(saved)]


def _last(option: str, arguments: Sequence[str]) -> str | None:
    """The last value of an option among words that are not parsed yet."""
    last = None
    for word, following in pairwise([*arguments, ""]):
        if word == option:
            last = following
        elif word.startswith(f"{option}="):
            last = word.removeprefix(f"{option}=")
    return last


def _as_list(given: Any) -> list[Any]:
    """A list, from an option that may be a list, a single value or None."""
    return list(given) if isinstance(given, list | tuple) else [] if given is None else [given]
