"""The configuration of a run: parsed once and checked, then made into data and module."""

import inspect
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import chdir
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

import torch
from jsonargparse import Namespace
from lightning.pytorch import LightningDataModule, LightningModule, seed_everything
from lightning.pytorch.utilities.model_helpers import is_overridden

from convblocks import wings
from convblocks.data.module import ImageDataModule
from convblocks.errors import UsageError
from convblocks.model import class_specs
from convblocks.model.classifier import ImageClassifier
from convblocks.model.networks import ARCHITECTURES
from convblocks.run.checks import NAME_IS_NEEDED, NO_LIMIT, check
from convblocks.run.directory import RunDirectory
from convblocks.run.parser import (
    DEFAULTS,
    FitParser,
    Settings,
    by_full_names,
    by_option,
    full_name,
    parser,
    read_config,
)
from convblocks.text import as_yaml, listed

# What a run trains, and on what, if nothing else is named.
MODEL, DATA = "convblocks.ImageClassifier", "convblocks.ImageDataModule"

EPOCHS = 5

# The option that prints all settings, for ``--config``.
PRINT = "--print_config"

# LightningCLI saves them as null, which is no value of them; of ``num_sanity_val_steps`` it is one.
NULL_IS_DEFAULT = ("trainer.enable_model_summary", "trainer.log_every_n_steps", "trainer.sync_batchnorm")

# Options of where a run is kept and what it prints, not of what it computes.
NO_SETTINGS = ("config", "name", "resume", "running_loss")


@dataclass(frozen=True)
class Config:
    """A parsed and checked command line of ``fit``.

    Args:
        settings: Everything that determines the run's results, in plain values, as LightningCLI writes them: ``model``
            and ``data`` as ``{"class_path": NAME, "init_args": {...}}``, ``trainer``, ``seed`` and so on. Saved in
            ``config.yaml``, and read by ``--config``.
        name: The run directory below ``lightning_logs``; None for the next free version.
        root: The parent folder of ``lightning_logs``.
        resume: Whether to resume an existing run.
        running_loss: Whether to print the loss every few batches.
        options: The values of the options that wings add, which are no settings.
        parsed: All values in the types of the signatures.
        parser: The one that parsed them.
        classes: Those of ``model`` and ``data``.
    """

    settings: Settings
    name: str | None
    root: Path
    resume: bool
    running_loss: bool
    options: Mapping[str, Any]
    parsed: Namespace = field(repr=False, compare=False)
    parser: FitParser = field(repr=False, compare=False)
    classes: dict[str, type] = field(repr=False, compare=False)

    @classmethod
    def parse(cls, arguments: Sequence[str]) -> "Config":
        """Parse and check a command line, without building anything; imports the classes that it names.

        Raises:
            UsageError: options that are unknown, out of range, or incompatible, or classes that do not exist.
        """
        class_specs.see_current_folder()  # for a user's own classes
        options = [[full_name(option), *values] for option, *values in by_option(arguments)]
        taken = [option for option in options if option[0] in ("--config", "--model", "--data") and len(option) > 1]
        if too_many := [option for option in taken if len(option) > 2]:
            raise UsageError(f"{too_many[0][0]} takes one value, not {listed(too_many[0][1:])}")
        configs = _saved_settings(options) + [read_config(value) for option, value in taken if option == "--config"]
        names = {group: _last_class(group, configs, options) for group in ("model", "data")}
        classes = _import_classes(names, configs)
        _refuse_missing_network(classes["model"], configs, options)
        options_parser = parser(classes["model"], classes.get("data"))
        prints = [option for option in options if option[0].partition("=")[0] == PRINT]
        parsed = options_parser.parse(configs, [option for option in options if option not in (*taken, *prints)])
        if parsed.trainer.max_epochs is None:  # Lightning's rule: with another limit, epochs have none
            is_limited = parsed.trainer.max_steps != -1 or parsed.trainer.max_time is not None
            parsed.trainer.max_epochs = NO_LIMIT if is_limited else EPOCHS
        if parsed.threads is None:
            parsed.threads = torch.get_num_threads()  # saved, since a resume must round sums in the same way
        for option in NULL_IS_DEFAULT:
            if parsed[option] is None:
                parsed[option] = DEFAULTS[option]
        check(parsed)
        settings = _plain_settings(parsed, names, classes)
        if prints:
            print(as_yaml(settings), end="")
            sys.exit()
        if issubclass(classes["model"], ImageClassifier):
            _import_named_classes(settings["model"]["init_args"], options_parser.specs)
        # Absolute, since a module may change the current folder.
        root = Path(os.path.expanduser(parsed.trainer.default_root_dir or "")).absolute()
        return cls(
            settings=settings,
            name=parsed.name,
            root=root,
            resume=parsed.resume,
            running_loss=parsed.running_loss,
            options={option: parsed.get(option) for option in wings.options()},
            parsed=parsed,
            parser=options_parser,
            classes=classes,
        )

    def make_data(self) -> LightningDataModule | None:
        """The data, if they are not the module's own.

        Raises:
            UsageError: they do not take their arguments.
        """
        seed = self.settings["seed"]
        seed_everything(seed, verbose=False)
        if "data" not in self.classes:
            return None
        more = {"seed": seed} if issubclass(self.classes["data"], ImageDataModule) else {}
        return self._make("data", **more)  # type: ignore[no-any-return]

    def make_module(self, data: LightningDataModule | None) -> LightningModule:
        """The module for these data; its weights are drawn from the global generators, which are seeded.

        A module with a parameter ``image_spec`` gets that of its data, for which images may be read.

        Raises:
            UsageError: it does not take its arguments, or there are no training data.
            DataError: there are no images.
        """
        image_spec = getattr(data, "image_spec", None)
        takes_it = image_spec is not None and class_specs.accepts(self.classes["model"], "image_spec")
        more = {"image_spec": image_spec} if takes_it else {}
        if issubclass(self.classes["model"], ImageClassifier):
            more["sync_batchnorm"] = self.settings["trainer"]["sync_batchnorm"]
        seed_everything(self.settings["seed"], verbose=False)
        module = self._make("model", **more)
        if not is_overridden("train_dataloader", data or module):
            raise UsageError(f"{self.settings['model']['class_path']} has no training data: give it --data")
        return module  # type: ignore[no-any-return]

    def _make(self, group: str, **more: Any) -> Any:
        kind = LightningModule if group == "model" else LightningDataModule
        if group in self.parsed:  # a class without parameters has no group
            parsed = Namespace({group: self.parsed[group]})  # type: ignore[no-untyped-call]
            more = self.parser.instantiate(parsed)[group].as_dict() | more
        with chdir("."):  # further processes begin in this folder too
            return class_specs.instantiate(kind, self.classes[group], **more)


def _saved_settings(options: Sequence[Sequence[str]]) -> list[Settings]:
    """On a resume, the run's saved settings, so that they need not be given again."""
    given = {option: values[0] if values else "" for option, *values in options}
    if "--resume" not in given:
        return []
    if not (name := given.get("--name")):
        raise UsageError(NAME_IS_NEEDED)
    directory = RunDirectory(name, Path(given.get("--trainer.default_root_dir", "")))
    if not directory.config.is_file():
        if given.keys() & {"--model", "--model.arch", "--config"}:
            return []  # comparisons also pass --resume to new runs
        if directory.exists():
            raise UsageError(f"{directory.path} cannot be resumed: it has no {directory.config.name}")
        raise UsageError(f"there is no run {directory.path}: to begin it, give --arch or --model")
    settings = by_full_names(directory.read_config())
    for option in ("callbacks", "logger"):  # otherwise values given with += would be added to the saved ones
        if f"--trainer.{option}+" in given:
            settings["trainer"].pop(option, None)
    return [settings]


def _last_class(group: str, configs: Sequence[Settings], options: Sequence[Sequence[str]]) -> str | None:
    """The class that is named last for model or data; what earlier configs have for another class is dropped."""
    last = None
    words = [{group: {"class_path": values[0]}} for option, *values in options if option == f"--{group}" and values]
    for number, config in enumerate([*configs, *words]):
        name = config[group].pop("class_path", last)
        if last is not None and name != last:
            for earlier in configs[:number]:
                earlier[group] = {}
        last = name
    return last


def _import_classes(names: dict[str, str | None], configs: Sequence[Settings]) -> dict[str, type]:
    """The classes of model and data; images are the data of an image classifier, if nothing else is named.

    Raises:
        UsageError: there is no such class, or it is of another kind, or arguments lack the class.
    """
    found: dict[str, type] = {}
    for group, kind in (("model", LightningModule), ("data", LightningDataModule)):
        if group == "model" or issubclass(found["model"], ImageClassifier):
            names[group] = names[group] or {"model": MODEL, "data": DATA}[group]
        unused = [option for config in configs for option in config[group]]
        if name := names[group]:
            named = class_specs.import_class(name)
            if not (isinstance(named, type) and issubclass(named, kind)):
                raise UsageError(f"--{group} {name}: it is no {kind.__name__}")
            found[group] = named
        elif unused:
            raise UsageError(f"--{group}.{unused[0]} needs the class of the {group}, --{group}")
        else:
            for config in configs:
                del config[group]
    return found


def _refuse_missing_network(model: type, configs: Sequence[Settings], options: Sequence[Sequence[str]]) -> None:
    """Name the networks to somebody who gives none."""
    given = {option for option, *_ in options} | {f"--model.{name}" for config in configs for name in config["model"]}
    if issubclass(model, ImageClassifier) and not given & {"--model.arch", "--help"}:
        known = ", ".join(ARCHITECTURES)
        raise UsageError(f"--arch is required: choose one of {known}, or give a LightningModule as --model")


def _import_named_classes(arguments: Mapping[str, Any], specs: Mapping[str, str]) -> None:
    """Import what a person names as network, optimizer, schedule or loss; a checkpoint's names are not imported."""
    for option in ("arch", *specs):
        name = class_specs.short_name(arguments.get(option, ""))
        if isinstance(name, str) and "." in name:
            class_specs.import_class(name)


def _plain_settings(parsed: Namespace, names: Mapping[str, str | None], classes: Mapping[str, type]) -> Settings:
    """Everything that determines a run's results, in plain values."""
    values = {option: _plain(value) for option, value in vars(parsed).items() if value is not None}
    for group, part in classes.items():  # whose arguments may mean something by None
        defaults, given = inspect.signature(part).parameters, parsed.get(group) or Namespace()  # type: ignore[no-untyped-call]
        nones = [name for name, value in vars(given).items() if value is None and name in defaults]
        changed = [name for name in nones if defaults[name].default is not None]
        values[group] = values.get(group, {}) | dict.fromkeys(changed)
    parts = {group: {"class_path": name, "init_args": values.pop(group)} for group, name in names.items() if name}
    values["trainer"].pop("default_root_dir", None)
    for option in ("check_val_every_n_epoch", "num_sanity_val_steps"):  # for which None has a meaning
        values["trainer"].setdefault(option, None)
    return parts | {option: value for option, value in values.items() if option not in (*NO_SETTINGS, *wings.options())}


def _plain(value: Any) -> Any:
    """A parsed value as plain values, without what is None, and without the defaults of a class: some are objects."""
    if isinstance(value, Namespace) and "class_path" in value:
        defaults = inspect.signature(class_specs.import_class(value.class_path)).parameters
        given = vars(value.get("init_args") or Namespace())  # type: ignore[no-untyped-call]
        changed = {
            name: _plain(argument)
            for name, argument in given.items()
            if name not in defaults or argument != defaults[name].default
        }
        more = {"dict_kwargs": _plain(value.dict_kwargs)} if value.get("dict_kwargs") else {}
        return {"class_path": value.class_path, "init_args": changed} | more
    if isinstance(value, Namespace):
        return {name: _plain(part) for name, part in vars(value).items() if part is not None}
    if isinstance(value, dict):
        return {name: _plain(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    if isinstance(value, Enum):
        return value.value
    name = getattr(value, "__name__", "")
    if name and getattr(sys.modules.get(value.__module__), name, None) is value:  # a function or class
        return f"{value.__module__}.{name}"
    return value if isinstance(value, str | int | float | None) else str(value)
