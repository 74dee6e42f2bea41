"""The configuration of a run: parsed once and checked, then made into data and module."""

import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import chdir
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

from jsonargparse import Namespace
from lightning.pytorch import LightningDataModule, LightningModule, seed_everything

from convblocks import wings
from convblocks.data.module import ImageDataModule
from convblocks.errors import UsageError
from convblocks.model import class_specs, trust
from convblocks.model.classifier import ImageClassifier
from convblocks.model.networks import ARCHITECTURES
from convblocks.run.directory import RunDirectory
from convblocks.run.parser import (
    GROUPS,
    NO_LIMIT,
    FitParser,
    Settings,
    by_option,
    full_name,
    merge,
    parser,
    read_config,
)
from convblocks.text import as_yaml, listed

# What a run trains, and on what, if nothing else is named.
MODEL, DATA = "convblocks.ImageClassifier", "convblocks.ImageDataModule"

# What neither jsonargparse nor the Trainer refuses.
ABOVE_0 = (
    "threads",
    "trainer.accumulate_grad_batches",
    "trainer.limit_train_batches",
    "trainer.limit_test_batches",
)


@dataclass(frozen=True)
class Config:
    """A parsed and checked command line of ``fit``.

    Args:
        settings: Everything that determines the run's results, in plain values, as
            LightningCLI writes them: ``model`` and ``data`` as ``{"class_path": NAME,
            "init_args": {...}}``, ``trainer``, ``seed`` and so on. Saved in
            ``config.yaml``, and read by ``--config``.
        name: The run directory below ``lightning_logs``; None for the next free
            version.
        root: The parent folder of ``lightning_logs``.
        resume: Whether to resume an existing run.
        options: The values of the options that wings add, which are no settings.
        parsed: All values in the types of the signatures.
        parser: The one that parsed them.
        classes: Those of ``model`` and ``data``.
    """

    settings: Settings
    name: str | None
    root: Path
    resume: bool
    options: Mapping[str, Any]
    parsed: Namespace = field(repr=False, compare=False)
    parser: FitParser = field(repr=False, compare=False)
    classes: dict[str, type] = field(repr=False, compare=False)

    @classmethod
    def parse(cls, arguments: Sequence[str]) -> "Config":
        """Parse and check a command line, without building anything; imports the
        classes that it names.

        Raises:
            UsageError: options that are unknown, out of range, or incompatible, or
                classes that do not exist.
        """
        trust.see_current_folder()  # for a user's own classes
        options = [[full_name(option), *values] for option, *values in by_option(arguments)]
        if several := [option for option in options if len(option) > 2]:
            raise UsageError(f"{several[0][0]} takes one value, not {listed(several[0][1:])}")
        words = {option: "".join(values) for option, *values in options}
        settings, named = _saved_settings(words), {}
        rest = []  # for jsonargparse
        for option, *values in options:
            if option == "--config" and values:
                merge(settings, read_config(values[0]))
            elif option in ("--model", "--data") and values:
                named[option.removeprefix("--")] = {"class_path": values[0]}
            elif option != "--print_config":
                rest.append([option, *values])
        merge(settings, named)
        names, classes = _import_classes(settings)
        is_classifier = issubclass(classes["model"], ImageClassifier)
        if (
            is_classifier
            and "arch" not in settings["model"]
            and not words.keys() & {"--model.arch", "--help"}
        ):
            known = ", ".join(ARCHITECTURES)
            raise UsageError(
                f"--arch is required: choose one of {known}, or give a LightningModule as --model"
            )
        options_parser = parser(classes["model"], classes.get("data"))
        chosen, parsed = options_parser.parse(settings, rest)
        _check(parsed)
        settings = _plain_settings(chosen, options_parser.get_defaults(), names)
        if "--print_config" in words:
            print(as_yaml(settings), end="")
            sys.exit()
        if is_classifier:
            _import_named_classes(settings["model"]["init_args"], options_parser.specs)
        # Absolute, since a module may change the current folder.
        root = Path(os.path.expanduser(parsed.trainer.default_root_dir or "")).absolute()
        return cls(
            settings=settings,
            name=parsed.name,
            root=root,
            resume=parsed.resume,
            options={option: parsed.get(option) for option in wings.modules("OPTIONS")},
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
        """The module for these data; its weights are drawn from the global generators,
        which are seeded.

        A module with a parameter ``image_spec`` gets that of its data, for which images
        may be read.

        Raises:
            UsageError: it does not take its arguments.
            DataError: there are no images.
        """
        image_spec = getattr(data, "image_spec", None)
        takes_it = image_spec is not None and trust.accepts(self.classes["model"], "image_spec")
        more = {"image_spec": image_spec} if takes_it else {}
        if issubclass(self.classes["model"], ImageClassifier):
            more["sync_batchnorm"] = self.settings["trainer"]["sync_batchnorm"]
        seed_everything(self.settings["seed"], verbose=False)
        return self._make("model", **more)  # type: ignore[no-any-return]

    def _make(self, group: str, **more: Any) -> Any:
        kind = LightningModule if group == "model" else LightningDataModule
        if group in self.parsed:  # a class without parameters has no group
            parsed = Namespace({group: self.parsed[group]})  # type: ignore[no-untyped-call]
            more = self.parser.instantiate(parsed)[group].as_dict() | more
        with chdir("."):  # further processes begin in this folder too
            return trust.instantiate(kind, self.classes[group], **more)


def _saved_settings(words: Mapping[str, str]) -> Settings:
    """On a resume, the run's saved settings, so that they need not be given again."""
    settings: Settings = {group: {} for group in GROUPS}
    if "--resume" not in words:
        return settings
    if not words.get("--name"):
        raise UsageError(
            "--resume needs the --name of the run, for example --name maxpool/version_0"
        )
    directory = RunDirectory(words["--name"], Path(words.get("--trainer.default_root_dir", "")))
    if directory.config.is_file():
        merge(settings, directory.read_config())
        for option in (
            "callbacks",
            "logger",
        ):  # otherwise values given with += would be added to the saved ones
            if f"--trainer.{option}+" in words:
                settings["trainer"].pop(option, None)
    elif not words.keys() & {
        "--model",
        "--model.arch",
        "--config",
    }:  # comparisons also pass --resume to new runs
        if directory.exists():
            raise UsageError(
                f"{directory.path} cannot be resumed: it has no {directory.config.name}"
            )
        raise UsageError(f"there is no run {directory.path}: to begin it, give --arch or --model")
    return settings


def _import_classes(settings: Settings) -> tuple[dict[str, str], dict[str, type]]:
    """The names and classes of model and data; an ImageClassifier gets an
    ImageDataModule unless --data names another.

    Raises:
        UsageError: there is no such class, or it is of another kind.
    """
    names: dict[str, str] = {}
    classes: dict[str, type] = {}
    for group, kind, default in (
        ("model", LightningModule, MODEL),
        ("data", LightningDataModule, DATA),
    ):
        is_usual = group == "model" or issubclass(classes["model"], ImageClassifier)
        if name := settings[group].pop("class_path", default if is_usual else None):
            part = trust.import_class(name)
            if not (isinstance(part, type) and issubclass(part, kind)):
                raise UsageError(f"--{group} {name}: it is not a {kind.__name__}")
            names[group], classes[group] = name, part
        elif not settings[group]:
            del settings[group]
    return names, classes


def _import_named_classes(arguments: Mapping[str, Any], specs: Mapping[str, str]) -> None:
    """Import what a person names as network, optimizer, schedule or loss; a
    checkpoint's names are not imported.
    """
    for option in ("arch", *specs):
        name = class_specs.short_name(arguments.get(option, ""))
        if "." in name:
            trust.import_class(name)


def _check(parsed: Namespace) -> None:
    """Raise a UsageError for what neither jsonargparse nor Lightning refuses."""
    trainer = parsed.trainer
    for option in ABOVE_0:
        if isinstance(parsed[option], int | float) and not parsed[option] > 0:
            raise UsageError(f"--{option} must be above 0, but is {parsed[option]}")
    if not 0 <= parsed.seed < 2**32:
        raise UsageError(f"--seed must be in 0..2^32-1, but is {parsed.seed}")
    if trainer.fast_dev_run:
        raise UsageError(
            "--trainer.fast_dev_run is not supported: give --check_resume, which tries all loops out"
        )
    is_limited = trainer.max_steps > 0 or trainer.max_time is not None
    if trainer.max_steps == 0 or (
        trainer.max_epochs < 1 and not (trainer.max_epochs == NO_LIMIT and is_limited)
    ):
        raise UsageError(
            "--epochs and --trainer.max_steps must be at least 1; -1 is no limit, for one of them"
        )
    has_no_end = trainer.max_epochs == NO_LIMIT and trainer.max_steps == NO_LIMIT
    if has_no_end and class_specs.spans_the_run(
        parsed.get("model.lr_scheduler") or class_specs.CONSTANT
    ):
        raise UsageError("a schedule over the whole run needs --epochs or --trainer.max_steps")


def _plain_settings(chosen: Namespace, defaults: Namespace, names: Mapping[str, str]) -> Settings:
    """Everything that determines a run's results, in plain values, without what is None
    by default.
    """
    usual, changed = _plain(defaults.as_dict()), _plain(chosen.as_dict())
    every = usual | changed
    settings = {
        option: every[option]
        for option in ("judge", "seed", "threads")
        if every[option] is not None
    }
    for group in [group for group in GROUPS if group in usual]:
        default, values = usual[group], usual[group] | changed.get(group, {})
        settings[group] = {
            name: x for name, x in values.items() if x is not None or default[name] is not None
        }
    settings["trainer"].pop("default_root_dir", None)
    return {
        group: {"class_path": name, "init_args": settings.pop(group, {})}
        for group, name in names.items()
    } | settings


def _plain(value: Any) -> Any:
    """A parsed value as plain values, as jsonargparse reads them."""
    if isinstance(value, dict):
        return {name: _plain(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    if isinstance(value, Enum):
        return value.name
    name = getattr(value, "__name__", "")
    if (
        name and getattr(sys.modules.get(value.__module__), name, None) is value
    ):  # a function or class
        return f"{value.__module__}.{name}"
    return value if isinstance(value, str | int | float | None) else str(value)
