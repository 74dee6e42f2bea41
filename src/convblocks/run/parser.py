"""The options of ``fit``: their full names, and the parser for a model, its data and the Trainer.

A setting has one name, that of the argument it sets, as in LightningCLI: ``model.lr``, ``data.batch_size``,
``trainer.max_epochs``. ``SHORT`` abbreviates some of them, on the command line and in configs.
"""

import inspect
import json
import os
import re
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NoReturn

import jsonargparse
import yaml
from jsonargparse import ActionConfigFile, Namespace  # type: ignore[attr-defined]  # the first has no types
from lightning.pytorch import LightningDataModule, LightningModule, Trainer

from convblocks import wings
from convblocks.command_line import UNKNOWN, with_suggestion
from convblocks.data.module import ImageDataModule
from convblocks.errors import UsageError
from convblocks.model.class_specs import ClassSpec
from convblocks.model.classifier import ImageClassifier
from convblocks.text import as_yaml

SHORT = {
    "arch": "model.arch",
    "network": "model.network",
    "lr": "model.lr",
    "optimizer": "model.optimizer",
    "lr_scheduler": "model.lr_scheduler",
    "loss": "model.loss",
    "batch_size": "data.batch_size",
    "epochs": "trainer.max_epochs",
    "datamodule": "data",
    "seed_everything": "seed",
}

DEFAULTS = {
    "trainer.enable_model_summary": False,
    "trainer.log_every_n_steps": 50,
    "trainer.num_sanity_val_steps": 0,
    "trainer.sync_batchnorm": True,
}

# Options of the Trainer for which 1 is one batch, and 1.0 all of them.
BATCHES = (
    *("limit_train_batches", "limit_val_batches", "limit_test_batches", "limit_predict_batches"),
    *("overfit_batches", "val_check_interval"),
)

# Options of LightningCLI that have no counterpart.
CKPT_PATH, OF_FIT = "--ckpt_path", ("ckpt_path", "weights_only")

# For a parameter without a type it would build any class that a config names, with a warning for some of them.
jsonargparse.set_parsing_settings(instantiate_subclass_spec_in_any=False, import_path_denylist=[])

# Lines of jsonargparse's messages that say nothing of what is wrong.
NOISE = ("Does not validate", "Subtypes:", "Errors:", "Problem with", "Expected a path", "Expected a <class 'NoneType")

# Options and their values, in groups.
Settings = dict[str, Any]


class FitParser(jsonargparse.ArgumentParser):
    """Raises a one-line UsageError instead of exiting.

    ``specs`` are the model's parameters that are class specs, with their defaults. For jsonargparse, which knows no
    short names, a class spec is a mapping that holds the name as ``class`` beside the arguments.
    """

    specs: dict[str, str]

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        known = list(self.get_defaults().keys())
        short = [option for option, full in SHORT.items() if full in known]
        raise UsageError(with_suggestion(_innermost_reason(message), [*short, *known])) from ex

    def parse(self, configs: Sequence[Settings], options: Sequence[Sequence[str]]) -> Namespace:
        """The values of all options: those of later configs override earlier ones, the command line overrides all.

        Raises:
            UsageError: an unknown option, or a value of another type.
        """
        for config in configs:
            self._refuse_unknown(config)
            for name in self.specs.keys() & config.get("model", {}).keys():
                config["model"][name] = _in_one_mapping(name, config["model"][name])
        names = [f"--model.{name}" for name in self.specs]
        words = [part for config in configs for part in ("--config", as_yaml(config))]
        # Their classes come before their arguments, whatever was typed first.
        for option, *values in sorted(options, key=lambda option: option[0] not in names):
            is_class = option in names and values
            given = [json.dumps({"class": values[0]}), *values[1:]] if is_class else values
            words += [f"{option}={given[0]}", *given[1:]] if given else [option]
        parsed = self.parse_args(words)
        for name, default in self.specs.items():
            arguments = {} if parsed.model[name] == default else dict(parsed.model[name])
            chosen = arguments.pop("class", default)
            parsed.model[name] = {"class_path": chosen, "init_args": arguments} if arguments else chosen
        return parsed

    def _refuse_unknown(self, config: Settings) -> None:
        """Raise a UsageError for a name in a config that is no option, as for one on the command line."""
        known = set(self.get_defaults().keys(branches=True))
        groups = [group for group in ("model", "data", "trainer") if group in config]
        names = [*(f"{group}.{name}" for group in groups for name in config[group]), *(config.keys() - groups)]
        for name in names:
            if name not in known and name.partition("+")[0] not in known:
                self.error(f"{UNKNOWN}--{name}")


@cache
def parser(
    model: type[LightningModule] = ImageClassifier, data: type[LightningDataModule] | None = ImageDataModule
) -> FitParser:
    """All options with types, defaults and help, from the signatures and docstrings of the classes that they set."""
    options = FitParser(prog="convblocks fit", allow_abbrev=False)
    options.add_argument("--config", action=ActionConfigFile, help="A YAML file with options.")
    options.add_argument("--judge", type=str, help="The metric to judge the model by, such as val/loss:min.")
    options.add_argument("--seed", type=int, default=0, help="Seed of the weights, and of the images' order.")
    options.add_argument("--threads", type=int | None, help="CPU threads (they change how sums round).")
    options.add_argument("--name", type=str, help="The run is lightning_logs/NAME.")
    options.add_argument("--resume", action="store_true", help="Carry on the run of that name.")
    options.add_argument("--running_loss", action="store_true", help="Print the loss every few batches.")
    wings.add_options(options)
    for group, part in (("model", model), ("data", data), ("trainer", Trainer)):
        if part:  # arguments that come from the data, the run and the Trainer are no options
            skipped = {"image_spec", *BATCHES}
            if issubclass(part, ImageClassifier | ImageDataModule):
                skipped |= {"seed", "sync_batchnorm"}
            skipped &= inspect.signature(part).parameters.keys()
            options.add_class_arguments(part, group, False, fail_untyped=False, instantiate=False, skip=skipped)
    for option in BATCHES:  # by hand: typing may have cached Union[int, float] as Union[float, int]
        default = inspect.signature(Trainer).parameters[option].default
        help_text = "A number of batches, or a share of them: 0.5."
        options.add_argument(f"--trainer.{option}", type=int | float | None, default=default, help=help_text)
    parameters = inspect.signature(model).parameters.values()
    options.specs = {one.name: one.default for one in parameters if one.annotation == ClassSpec}
    options.set_defaults(DEFAULTS)
    return options


def by_option(arguments: Sequence[str]) -> list[list[str]]:
    """Each option of a command line with the words behind it; several numbers become a list, as ``--data.size 32 40``.

    Raises:
        UsageError: an option of LightningCLI that has no counterpart.
    """
    found: list[list[str]] = []
    for word in arguments:
        if not word.startswith("--") and found:
            found[-1].append(word)
        else:
            option, equals, value = word.partition("=")
            found.append([option, value] if equals and word.startswith("--") else [word])
    for words in found:
        words[1:] = [os.path.expanduser(word) if word == "~" else word for word in words[1:]]  # null in YAML
        if words[0] == CKPT_PATH:
            raise UsageError(f"{CKPT_PATH} is not needed: --resume carries on the run of that --name")
        if len(words) > 2 and all(word.replace(".", "", 1).isdecimal() for word in words[1:]):
            words[1:] = [f"[{', '.join(words[1:])}]"]
    return found


def full_name(option: str) -> str:
    """``model.lr`` for ``lr`` and for LightningCLI's ``model.init_args.lr``, ``--model`` for ``--model.class_path``."""
    dashes = "--" if option.startswith("--") else ""
    head, dot, rest = option.removeprefix(dashes).partition(".")
    full = f"{SHORT.get(head, head)}{dot}{rest}"
    is_of_class = full.startswith(("model.", "data."))
    return dashes + (full.replace(".init_args", "").removesuffix(".class_path") if is_of_class else full)


def read_config(text: str) -> Settings:
    """The settings of a YAML file, or of YAML itself, by their full names.

    Raises:
        UsageError: it cannot be read, or does not hold settings.
    """
    try:
        yaml_text = text if ": " in text or "\n" in text else Path(text).read_text()
        content = jsonargparse.get_loader("yaml")(yaml_text)
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        reason = error.strerror if isinstance(error, OSError) else " ".join(str(error).split())
        raise UsageError(f"--config {text[:80]}: {reason}") from error
    if not isinstance(content, dict):
        raise UsageError(f"--config: expected lines such as lr: 0.01, but found {str(content or 'nothing')[:80]}")
    return by_full_names(content)


def by_full_names(content: Mapping[Any, Any]) -> Settings:
    """A config's settings by their full names; the arguments of model and data stand beside their ``class_path``.

    Raises:
        UsageError: a group holds something else than options.
    """
    settings: Settings = {"model": {}, "data": {}, "trainer": {}}
    for key, value in content.items():
        if key in OF_FIT and value is None:
            continue
        full = full_name(str(key))
        group, _, option = full.partition(".")
        if group not in ("model", "data", "trainer"):
            settings[full] = value
        elif option:
            settings[group] |= {option: value}
        else:
            parts = {"class_path": value} if isinstance(value, str) else value
            arguments = parts.get("init_args", {}) if isinstance(parts, dict) else None
            if not isinstance(arguments, dict):
                raise UsageError(f"{group} in a config must hold options, as in `{group}: {{option: 1}}`")
            settings[group] |= {name: part for name, part in parts.items() if name != "init_args"} | arguments
    return settings


def _in_one_mapping(option: str, spec: Any) -> dict[str, Any]:
    """A class spec with its name, if it has one, as ``class`` beside its arguments."""
    parts = {"class_path": spec} if isinstance(spec, str) else spec
    if isinstance(parts, dict) and parts and parts.keys() <= {"class_path", "init_args"}:
        name, arguments = parts.get("class_path", ""), parts.get("init_args") or {}
        if isinstance(name, str) and isinstance(arguments, dict) and all(isinstance(key, str) for key in arguments):
            return ({"class": name} if name else {}) | arguments
    raise UsageError(f"--{option} must be a name, or a class_path with init_args")


def _innermost_reason(message: str) -> str:
    """Jsonargparse's message in one line, without all the types that it has tried."""
    lines = [line.strip().removeprefix("- ") for line in message.partition("Given value type:")[0].splitlines()]
    keys = re.findall(r'[Kk]ey "([\w.]+)":', message)
    if not keys:
        return " ".join(lines)
    reasons = [line for line in lines if line and '":' not in line and not line.startswith(NOISE)]
    found = [line for line in reasons if not line.startswith("Expected")][:1] or list(dict.fromkeys(reasons))
    value = message.partition("Given value: ")[2]
    option = next((key for key in keys if key != "config"), "config")
    given = f", not {value[:80]}" if value and "NestedArg" not in value else ""
    return f"--{option}: {' or '.join(found).replace(' or Expected ', ' or ')}{given}"
