"""The options of ``fit``: their full names, and the parser for a model, its data and
the Trainer.

A setting has one name, that of the argument it sets, as in LightningCLI: ``model.lr``,
``data.batch_size``, ``trainer.max_epochs``. ``SHORT`` abbreviates some of them, on the
command line and in configs.
"""

import inspect
import re
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NoReturn

import jsonargparse
import torch
import yaml

# the first has no types
from jsonargparse import ActionConfigFile, Namespace  # type: ignore[attr-defined]
from lightning.pytorch import LightningDataModule, LightningModule, Trainer

from convblocks import wings
from convblocks.command_line import UNKNOWN, with_suggestion
from convblocks.data.module import ImageDataModule
from convblocks.errors import UsageError
from convblocks.model.class_specs import ClassSpec
from convblocks.model.classifier import ImageClassifier
from convblocks.text import Settings, as_yaml, listed

SHORT = {
    "arch": "model.arch",
    "network": "model.network",
    "lr": "model.lr",
    "optimizer": "model.optimizer",
    "lr_scheduler": "model.lr_scheduler",
    "loss": "model.loss",
    "batch_size": "data.batch_size",
    "epochs": "trainer.max_epochs",
}

DEFAULTS = {
    "trainer.enable_model_summary": False,
    "trainer.log_every_n_steps": 50,
    "trainer.num_sanity_val_steps": 0,
    "trainer.sync_batchnorm": True,
}

EPOCHS = 5

# Lightning's value for no limit.
NO_LIMIT = -1

# Options of the Trainer for which 1 is one batch, and 1.0 all of them.
BATCHES = (
    "limit_train_batches",
    "limit_val_batches",
    "limit_test_batches",
    "overfit_batches",
    "val_check_interval",
)

# For a parameter without a type it would build any class that a config names, with a
# warning for some of them.
jsonargparse.set_parsing_settings(instantiate_subclass_spec_in_any=False, import_path_denylist=[])

# Lines of jsonargparse's messages that only list types.
NOISE = (
    "Does not validate",
    "Subtypes:",
    "Errors:",
    "Expected a <class 'NoneType'>",
    "Given value type:",
)

# jsonargparse's messages as patterns, and what a user reads instead of the match.
REWRITTEN = {
    r'^Parser key "([\w.]+)":': r"--\1:",
    r": .*Expected a dot import path string: (\S+).*": (
        r": there is no class \1: give one of Lightning's, such as WandbLogger or CSVLogger,"
        " or module.Class"
    ),
    r".*: Requirement '(\w+).*' not met.*": r"\1 is not installed: pip install \1",
    # of a config
    r"^Option '([\w.]+)' is not accepted$": rf"{UNKNOWN}--\1",
}

GROUPS = ("model", "data", "trainer")

# Each option of a command line with the words behind it.
Words = list[list[str]]


class FitParser(jsonargparse.ArgumentParser):
    """Raises a one-line UsageError instead of exiting.

    ``specs`` are the model's parameters that are class specs, with their defaults.
    """

    specs: dict[str, str]

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        known = list(self.get_defaults().keys())
        short = [option for option, full in SHORT.items() if full in known]
        lines = [line.strip().removeprefix("- ") for line in message.splitlines()]
        reason = " ".join(line for line in lines if not line.startswith(NOISE))
        for pattern, instead in REWRITTEN.items():
            reason = re.sub(pattern, instead, reason)
        raise UsageError(with_suggestion(reason, [*short, *known])) from ex

    def parse(self, settings: Settings, words: Words) -> Namespace:
        """All values; the command line overrides the settings of configs.

        Args:
            settings: Those of configs, as ``merge`` leaves them; the class specs in
                ``settings["model"]`` are replaced by those that hold.
            words: The command line, as of ``full_words``.

        Raises:
            UsageError: an unknown option, or a value of another type.
        """
        given = {name: dict[str, str]() for name in self.specs}
        rest = []  # for jsonargparse
        for option, *values in words:
            name, _, argument = option.removeprefix("--model.").partition(".")
            if values and name in given:
                given[name][argument] = values[0]
            else:
                rest.append("=".join([option, *values]))
        for name, default in self.specs.items():
            spec = settings["model"].get(name, default)
            settings["model"][name] = _class_spec(name, spec, given[name])
        # With defaults, jsonargparse would also fill in those of callbacks and loggers.
        chosen = self.parse_args(["--config", as_yaml(settings), *rest], defaults=False)
        parsed: Namespace = self.merge_config(chosen, self.get_defaults())
        if parsed.threads is None:
            # saved, since a resume must round sums in the same way
            parsed.threads = torch.get_num_threads()
        trainer = parsed.trainer
        if trainer.max_epochs is None:
            # Lightning's rule: with another limit, epochs have none.
            is_limited = trainer.max_steps != NO_LIMIT or trainer.max_time
            trainer.max_epochs = NO_LIMIT if is_limited else EPOCHS
        return parsed


@cache
def make_parser(
    model: type[LightningModule] = ImageClassifier,
    data: type[LightningDataModule] | None = ImageDataModule,
) -> FitParser:
    """All options with types, defaults and help, from the signatures and docstrings of
    the classes that they set.
    """
    parser = FitParser(prog="convblocks fit", allow_abbrev=False)
    parser.add_argument("--config", action=ActionConfigFile, help="A YAML file with options.")
    parser.add_argument(
        "--judge", type=str, help="The metric to judge the model by, such as val/loss:min."
    )
    parser.add_argument(
        "--seed", type=int, default=0, help="Seed of the weights, and of the images' order."
    )
    parser.add_argument(
        "--threads", type=int | None, help="CPU threads (they change how sums round)."
    )
    parser.add_argument("--name", type=str, help="The run is lightning_logs/NAME.")
    parser.add_argument("--resume", action="store_true", help="Continue the run of that name.")
    list(wings.call("OPTIONS", "add_option", parser))
    for group, part in (("model", model), ("data", data), ("trainer", Trainer)):
        if part:
            # Arguments that come from the data, the run and the Trainer are no options.
            skipped = {"image_spec", *BATCHES}
            if issubclass(part, ImageClassifier | ImageDataModule):
                skipped |= {"seed", "sync_batchnorm"}
            parser.add_class_arguments(
                part, group, False, fail_untyped=False, instantiate=False, skip=skipped
            )
    # by hand: typing may have cached Union[int, float] as Union[float, int]
    for option in BATCHES:
        parser.add_argument(
            f"--trainer.{option}",
            type=int | float | None,
            default=inspect.signature(Trainer).parameters[option].default,
            help="A number of batches, or a share of them: 0.5.",
        )
    parameters = inspect.signature(model).parameters.values()
    specs = {part.name: part.default for part in parameters if part.annotation == ClassSpec}
    parser.specs = specs if issubclass(model, ImageClassifier) else {}
    parser.set_defaults(DEFAULTS)
    return parser


def by_option(arguments: Sequence[str]) -> Words:
    """Each option of a command line with the words behind it; several numbers become a
    list: ``--data.size 32 40``.
    """
    options: Words = []
    for word in arguments:
        if word.startswith("--"):
            options.append(word.split("=", 1))
        elif options:
            options[-1].append(word)
        else:
            options.append([word])
    for words in options:
        values = words[1:]
        if len(values) > 1 and all(value.replace(".", "", 1).isdecimal() for value in values):
            words[1:] = [f"[{', '.join(values)}]"]
    return options


def full_name(option: str) -> str:
    """``model.lr`` for ``lr``, and ``--model.network.depth`` for ``--network.depth``."""
    head, dot, rest = option.partition(".")
    name = head.removeprefix("--")
    return head.replace(name, SHORT.get(name, name), 1) + dot + rest


def full_words(arguments: Sequence[str]) -> Words:
    """The options of a command line by full names, each with its value, if any:
    ``["--model.lr", "0.1"]``.

    Raises:
        UsageError: an option has several values.
    """
    words = []
    for option, *values in by_option(arguments):
        full = full_name(option)
        if len(values) > 1:
            raise UsageError(f"{full} takes one value, not {listed(values)}")
        words.append([full, *values])
    return words


def read_config(path: str) -> Settings:
    """The content of a YAML file, or of YAML itself.

    Raises:
        UsageError: it cannot be read, or does not hold settings.
    """
    is_yaml = re.search(": |\n", path)
    try:
        content = _from_yaml("config", path if is_yaml else Path(path).read_text())
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"--config {path[:80]}: {getattr(error, 'strerror', error)}") from error
    if not isinstance(content, dict):
        raise UsageError(
            f"--config: expected lines such as lr: 0.01, but found {str(content or 'nothing')[:80]}"
        )
    return content


def merge(settings: Settings, config: Mapping[Any, Any]) -> None:
    """Add what a config says, by full names; the arguments of model and data stand
    beside their ``class_path``.

    Raises:
        UsageError: a group holds something else than options.
    """
    for key, value in config.items():
        full = full_name(str(key))
        group, _, option = full.partition(".")
        if group not in GROUPS:
            settings[full] = value
            continue
        parts = {option: value} if option else (value or {})
        if not (isinstance(parts, dict) and isinstance(parts.get("init_args", {}), dict)):
            raise UsageError(
                f"{group} in a config must hold options, as in `{group}: {{option: 1}}`"
            )
        settings[group] |= parts | parts.get("init_args", {})
        settings[group].pop("init_args", None)


def _class_spec(name: str, spec: Any, given: dict[str, str]) -> ClassSpec:
    """A class spec, as a config has it, changed by what the command line gives: values
    of arguments and, by the name "", another class, which drops the config's arguments.
    """
    parts = {"class_path": spec} if isinstance(spec, str) else spec
    arguments = (parts.get("init_args") or {}) if isinstance(parts, dict) else None
    known = {"class_path", "init_args"}
    if not isinstance(arguments, dict) or parts.keys() | {"init_args"} != known:
        raise UsageError(f"--{name} must be a name, or a class_path with init_args")
    arguments = {} if "" in given else dict(arguments)
    class_path = given.pop("", parts["class_path"])
    for argument, text in given.items():
        arguments[argument] = _from_yaml(f"model.{name}.{argument}", text)
    if arguments:
        return {"class_path": class_path, "init_args": arguments}
    return class_path


def _from_yaml(option: str, text: str) -> Any:
    """What YAML stands for; a UsageError if it is none."""
    try:
        return jsonargparse.get_loader("yaml")(text)
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        raise UsageError(f"--{option} {text[:80]}: {' '.join(str(error).split())}") from error
