"""The configuration of a run: parsed once and checked, then made into data, module and Trainer."""

import logging
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jsonargparse
import torch
import yaml
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Callback, LightningDataModule, LightningModule, Trainer, seed_everything
from lightning.pytorch.callbacks import ProgressBar
from lightning.pytorch.utilities.model_helpers import is_overridden

from convblocks import wings
from convblocks.errors import UsageError
from convblocks.model import class_specs
from convblocks.model.classifier import ImageClassifier
from convblocks.model.networks import ARCHITECTURES
from convblocks.run.checks import NAME_IS_NEEDED, NO_LIMIT, check
from convblocks.run.directory import RunDirectory
from convblocks.run.parser import (
    FitParser,
    Settings,
    by_full_names,
    by_option,
    class_spec,
    defaults_of_class_specs,
    full_name,
    merged,
    parser,
    plain_settings,
    read_config,
    take_class,
)
from convblocks.run.progress import Bar

# What a run trains, and on what, if nothing else is named.
MODEL, DATA = "convblocks.ImageClassifier", "convblocks.ImageDataModule"

EPOCHS = 5

# The option that prints all settings, for ``--config``.
PRINT = "--print_config"


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
    parsed: jsonargparse.Namespace = field(repr=False, compare=False)
    parser: FitParser = field(repr=False, compare=False)
    classes: dict[str, type] = field(repr=False, compare=False)

    @classmethod
    def parse(cls, arguments: Sequence[str]) -> "Config":
        """Parse and check a command line, without building anything; imports the model's and the data's class.

        Raises:
            UsageError: options that are unknown, out of range, or incompatible, or classes that do not exist.
        """
        settings, words = _given(arguments)
        names = {group: settings[group].pop("class_path", None) for group in ("model", "data")}
        classes = _import_classes(names)
        settings, words = _with_class_specs(classes["model"], settings, words)
        options = parser(classes["model"], classes.get("data"))
        others = [part for word in words if word != [PRINT] for part in _joined(word)]
        parsed = options.parse_args(["--config", yaml.safe_dump(settings), *others])
        if parsed.trainer.max_epochs is None:  # Lightning's rule: with another limit, epochs have none
            is_limited = parsed.trainer.max_steps != -1 or parsed.trainer.max_time is not None
            parsed.trainer.max_epochs = NO_LIMIT if is_limited else EPOCHS
        if parsed.threads is None:
            parsed.threads = torch.get_num_threads()  # saved, since a resume must round sums in the same way
        check(parsed)
        plain = plain_settings(options, parsed, names)
        if [PRINT] in words:
            print(yaml.safe_dump(plain, sort_keys=False), end="")
            sys.exit()
        return cls(
            settings=plain,
            name=parsed.name,
            root=Path(parsed.trainer.default_root_dir or ""),
            resume=parsed.resume,
            running_loss=parsed.running_loss,
            options={option: parsed.get(option) for option in wings.options()},
            parsed=parsed,
            parser=options,
            classes=classes,
        )

    def make_data(self) -> LightningDataModule | None:
        """The data, if they are not the module's own.

        Raises:
            UsageError: they do not take their arguments.
        """
        seed_everything(self.settings["seed"], verbose=False)
        return self._make("data") if "data" in self.classes else None

    def make_module(self, data: LightningDataModule | None) -> LightningModule:
        """The module for these data; its weights are drawn from the global generators, which are seeded.

        A module with a parameter ``image_spec`` gets that of its data, for which images may be read.

        Raises:
            UsageError: it does not take its arguments, or there are no training data.
            DataError: there are no images.
        """
        image_spec = getattr(data, "image_spec", None)
        takes_it = image_spec is not None and class_specs.accepts(self.classes["model"], "image_spec")
        seed_everything(self.settings["seed"], verbose=False)
        module = self._make("model", **({"image_spec": image_spec} if takes_it else {}))
        if not is_overridden("train_dataloader", data or module):
            raise UsageError(f"{self.settings['model']['class_path']} has no training data: give it --data")
        return module  # type: ignore[no-any-return]

    def _make(self, group: str, **more: Any) -> Any:
        kind = LightningModule if group == "model" else LightningDataModule
        if group in self.parsed:  # a class without parameters has no group
            parsed = jsonargparse.Namespace({group: self.parsed[group]})  # type: ignore[no-untyped-call]
            more = self.parser.instantiate(parsed)[group].as_dict() | more
        return class_specs.instantiate(kind, self.classes[group], **more)

    def make_trainer(
        self, root: Path, callbacks: Sequence[Callback] = (), arguments: Mapping[str, Any] | None = None
    ) -> Trainer:
        """The Trainer of these settings, with further callbacks, and a progress bar on a terminal.

        Args:
            root: Its folder.
            callbacks: Those before the user's.
            arguments: Further ``plugins``, a ``profiler`` where the user gives none, and ``logger``: the user's loggers
                as parsed, without the one that every run has. Without ``logger`` there are none.

        Raises:
            UsageError: an unknown class, or options that Lightning refuses.
        """
        parsed, arguments = self.parsed.trainer.clone(), arguments or {}
        parsed.logger = arguments.get("logger", False)
        try:
            of_trainer = jsonargparse.Namespace(trainer=parsed)  # type: ignore[no-untyped-call]
            given = self.parser.instantiate(of_trainer).trainer.as_dict()
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


def _given(arguments: Sequence[str]) -> tuple[Settings, list[list[str]]]:
    """The settings of configs and the classes that are named, and the other words of a command line."""
    class_specs.see_current_folder()  # for a user's own classes
    words = [[full_name(option), *values] for option, *values in by_option(arguments)]
    settings = _saved_settings(words)
    for option, *values in words:
        if option == "--config" and values:
            settings = merged(settings, read_config(values[0]))
    words = [word for word in words if word[0] != "--config"]
    for group in ("model", "data"):
        settings, words = take_class(group, words, settings)
    return settings, words


def _joined(words: list[str]) -> list[str]:
    """An option and a value that begins with a dash as one word."""
    return ["=".join(words)] if len(words) == 2 and words[1].startswith("-") else words


def _with_class_specs(model: type, settings: Settings, words: list[list[str]]) -> tuple[Settings, list[list[str]]]:
    """The settings with a model's class specs, and the words without. What they name is imported: a person named it.

    Raises:
        UsageError: there is no such class, or an image classifier has no network.
    """
    specs = defaults_of_class_specs(model)
    for option, default in specs.items():
        settings, words = take_class(f"model.{option}", words, settings)
        settings["model"][option] = class_spec(option, settings["model"].get(option, default), default)
    named = [class_specs.short_name(settings["model"][option]) for option in specs]
    if issubclass(model, ImageClassifier):
        networks = [settings["model"].get("arch"), *(word[1] for word in words if word[0] == "--model.arch")]
        named.append(str(networks[-1]))
        if networks == [None] and ["--help"] not in words:
            known = ", ".join(ARCHITECTURES)
            raise UsageError(f"--arch is required: choose one of {known}, or give a LightningModule as --model")
    for name in named:
        if "." in name:
            class_specs.import_class(name)
    return settings, words


def _import_classes(names: dict[str, str | None]) -> dict[str, type]:
    """The classes of model and data, by their names; an image classifier's data are images, if nothing else is named.

    Raises:
        UsageError: there is no such class, or it is of another kind.
    """
    kinds = {"model": LightningModule, "data": LightningDataModule}
    names["model"] = names["model"] or MODEL
    found: dict[str, type] = {}
    for group, kind in kinds.items():
        if group == "data" and names["data"] is None and issubclass(found["model"], ImageClassifier):
            names["data"] = DATA
        if name := names[group]:
            named = class_specs.import_class(name)
            if not (isinstance(named, type) and issubclass(named, kind)):
                raise UsageError(f"--{group} {name}: it is no {kind.__name__}")
            found[group] = named
    return found


def _saved_settings(words: Sequence[Sequence[str]]) -> Settings:
    """On a resume, the run's saved settings, so that they need not be given again."""
    given = {option: values[0] if values else "" for option, *values in words}
    begins = given.keys() & {"--model", "--model.arch", "--config"}
    if "--resume" not in given:
        return by_full_names({})
    if not (name := given.get("--name")):
        raise UsageError(NAME_IS_NEEDED)
    directory = RunDirectory(name, Path(given.get("--trainer.default_root_dir", "")))
    if not directory.config.is_file():
        if begins:
            return by_full_names({})  # comparisons also pass --resume to new runs
        if directory.exists():
            raise UsageError(f"{directory.path} cannot be resumed: it has no {directory.config.name}")
        raise UsageError(f"there is no run {directory.path}: to begin it, give --arch or --model")
    settings = by_full_names(directory.read_config())
    for option in ("callbacks", "logger"):  # otherwise values given with += would be added to the saved ones
        if f"--trainer.{option}+" in given:
            settings["trainer"].pop(option, None)
    return settings


def _as_list(given: Any) -> list[Any]:
    """A list, from an option that may be a list, a single value or None."""
    return list(given) if isinstance(given, list | tuple) else [] if given is None else [given]
