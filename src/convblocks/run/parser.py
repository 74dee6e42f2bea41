"""The options of ``fit``: their full names, and the parser for a model, its data and the Trainer.

A setting has one name, that of the argument it sets, as in LightningCLI: ``model.lr``, ``data.batch_size``,
``trainer.max_epochs``. ``SHORT`` abbreviates some of them, on the command line and in configs.
"""

import inspect
import os
import re
from collections.abc import Mapping, Sequence
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Any, NoReturn

import jsonargparse
import yaml
from jsonargparse import ActionConfigFile  # type: ignore[attr-defined]  # it has no types
from lightning.pytorch import LightningDataModule, LightningModule, Trainer

from convblocks import wings
from convblocks.command_line import with_suggestion
from convblocks.data.module import ImageDataModule
from convblocks.errors import UsageError
from convblocks.model import class_specs
from convblocks.model.class_specs import ClassSpec
from convblocks.model.classifier import ImageClassifier

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
    "limit_train_batches",
    "limit_val_batches",
    "limit_test_batches",
    "limit_predict_batches",
    "overfit_batches",
    "val_check_interval",
)

# LightningCLI's options that have no counterpart, and what takes their place.
HINTS = {
    "--ckpt_path": "--ckpt_path is not needed: --resume carries on the run of that --name from its last checkpoint"
}

# Options of where a run is kept and what it prints, not of what it computes.
NO_SETTINGS = ("config", "name", "resume", "running_loss")

# Lines of jsonargparse's messages that say nothing of what is wrong.
NOISE = (
    "Does not validate",
    "Subtypes:",
    "Errors:",
    "Problem with",
    "Expected a path",
    "Expected a <class 'NoneType'>",
)

# The names of options and their values, in groups.
Settings = dict[str, Any]


class FitParser(jsonargparse.ArgumentParser):
    """Raises a one-line UsageError instead of exiting."""

    # Options that another one sets.
    linked: tuple[str, ...] = ()

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        message = _innermost_reason(message)
        known = list(self.get_defaults().keys())
        raise UsageError(
            with_suggestion(message, [*(short for short in SHORT if SHORT[short] in known), *known])
        ) from ex


@cache
def parser(
    model: type[LightningModule] = ImageClassifier, data: type[LightningDataModule] | None = ImageDataModule
) -> FitParser:
    """All options with types, defaults and help, from the signatures and docstrings of the classes that they set."""
    options = FitParser(prog="convblocks fit", allow_abbrev=False)
    options.add_argument("--config", action=ActionConfigFile, help="A YAML file with options.")
    options.add_argument("--judge", type=str | None, help="The metric to judge the model by, such as val/loss:min.")
    options.add_argument("--seed", type=int, default=0, help="Seed of the weights, and of the images' order.")
    options.add_argument("--threads", type=int | None, help="CPU threads (they change how sums round).")
    options.add_argument("--name", type=str | None, help="The run is lightning_logs/NAME.")
    options.add_argument("--resume", action="store_true", help="Carry on the run of that name.")
    options.add_argument("--running_loss", action="store_true", help="Print the loss every few batches.")
    wings.add_options(options)
    parts: dict[str, tuple[type | None, set[str]]] = {
        "model": (model, {"image_spec"}),
        "data": (data, set()),
        "trainer": (Trainer, {*BATCHES}),
    }
    for group, (part, skipped) in parts.items():
        if part:
            of_part = {one for one in skipped if one in inspect.signature(part).parameters}
            options.add_class_arguments(
                part, group, instantiate=False, fail_untyped=False, sub_configs=True, skip=of_part
            )
    for option in BATCHES:  # by hand: typing may have cached Union[int, float] as Union[float, int]
        default, help_text = (
            inspect.signature(Trainer).parameters[option].default,
            "Whole: batches. With a point: a share.",
        )
        options.add_argument(f"--trainer.{option}", type=int | float | None, default=default, help=help_text)
    options.set_defaults(DEFAULTS)
    links = {"trainer.sync_batchnorm": "model.sync_batchnorm"} if issubclass(model, ImageClassifier) else {}
    links |= {"seed": "data.seed"} if data and issubclass(data, ImageDataModule) else {}
    for source, target in links.items():
        options.link_arguments(source, target)
    options.linked = tuple(links.values())
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
        # YAML would read it as null.
        words[1:] = [os.path.expanduser(word) if word == "~" else word for word in words[1:]]
        if words[0] in HINTS:
            raise UsageError(HINTS[words[0]])
        if len(words) > 2 and all(word.replace(".", "", 1).isdecimal() for word in words[1:]):
            words[1:] = [f"[{', '.join(words[1:])}]"]
    return found


def full_name(option: str) -> str:
    """``model.lr`` for ``lr``, and for LightningCLI's ``model.init_args.lr``; with the dashes if there are any."""
    dashes = "--" if option.startswith("--") else ""
    head, dot, rest = option.removeprefix(dashes).partition(".")
    long = f"{SHORT.get(head, head)}{dot}{rest}"
    return dashes + (long.replace(".init_args", "") if long.startswith(("model.", "data.")) else long)


def read_config(text: str) -> Settings:
    """The settings of a YAML file, or of YAML itself, by their full names.

    Raises:
        UsageError: it cannot be read, or does not hold settings.
    """
    try:
        content = jsonargparse.get_loader("yaml")(text if ": " in text or "\n" in text else Path(text).read_text())
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        reason = error.strerror if isinstance(error, OSError) else " ".join(str(error).split())
        raise UsageError(f"--config {text[:80]}: {reason}") from error
    if not isinstance(content, dict):
        found = "nothing" if content is None else str(content)[:80]
        raise UsageError(f"--config: expected lines such as lr: 0.01, but found {found}")
    return by_full_names(content)


def by_full_names(content: Mapping[Any, Any]) -> Settings:
    """Settings as a file has them, by their full names; a class's arguments stand beside its ``class_path``."""
    settings: Settings = {"model": {}, "data": {}, "trainer": {}}
    for option, value in content.items():
        full = full_name(str(option))
        if full in ("model", "data") and isinstance(value, Mapping) and isinstance(value.get("init_args", {}), Mapping):
            value = {key: own for key, own in value.items() if key != "init_args"} | value.get("init_args", {})
        for part in reversed(full.split(".")):
            value = {part: value}
        settings = merged(settings, value)
    for group in ("model", "data", "trainer"):
        if not isinstance(settings[group], dict):
            raise UsageError(f"{group} in a config must hold options, as in `{group}: {{option: 1}}`")
    return settings


def merged(earlier: Any, later: Any) -> Any:
    """Earlier settings overridden by later ones; a class that replaces another one gets none of its arguments."""
    if isinstance(earlier, Mapping) and isinstance(later, str):
        later = {"class_path": later}
    if isinstance(later, Mapping) and isinstance(earlier, str):
        earlier = {"class_path": earlier}
    if not (isinstance(earlier, Mapping) and isinstance(later, Mapping)):
        return later
    if "class_path" in earlier and later.get("class_path", earlier["class_path"]) != earlier["class_path"]:
        return later
    return {**earlier, **{key: merged(earlier.get(key), value) for key, value in later.items()}}


def take_class(group: str, words: list[list[str]], settings: Settings) -> tuple[Settings, list[list[str]]]:
    """Move the class that a command line names from the words to the settings, with the arguments of a class spec.

    The options of the parser depend on the one, and jsonargparse knows no short names for the other.
    """
    load, rest = jsonargparse.get_loader("yaml"), []
    classes, arguments = list[Any](), list[Any]()
    for word in words:
        option = word[0].removeprefix("--")
        if option not in (group, f"{group}.class_path") and not ("." in group and option.startswith(f"{group}.")):
            rest.append(word)
        elif len(word) != 2:
            raise UsageError(f"{word[0]} needs one value")
        elif option.removesuffix(".class_path") == group:
            classes.append(word[1] if not word[1].startswith("{") else load(word[1]))
        else:
            arguments.append({"init_args": {option.removeprefix(f"{group}."): load(word[1])}})
    for change in [*({"class_path": one} if isinstance(one, str) else one for one in classes), *arguments]:
        for part in reversed(group.split(".")):
            change = {part: change}
        settings = merged(settings, change)
    return settings, rest


def class_spec(option: str, given: Any, default: str) -> ClassSpec:
    """What was given for a class spec: the name alone if there are no arguments.

    Raises:
        UsageError: it is no class spec.
    """
    parts = {"class_path": given} if isinstance(given, str) else given
    if isinstance(parts, dict) and parts and parts.keys() <= {"class_path", "init_args"}:
        name, arguments = parts.get("class_path", default), parts.get("init_args") or {}
        if isinstance(name, str) and isinstance(arguments, dict) and all(isinstance(key, str) for key in arguments):
            return {"class_path": name, "init_args": arguments} if arguments else name
    raise UsageError(f"--{option} must be a name, or a class_path with init_args")


def plain_settings(options: FitParser, parsed: jsonargparse.Namespace, names: Mapping[str, str | None]) -> Settings:
    """Everything that determines a run's results, in plain values, with the names of the model's and data's classes."""
    values = {option: value for option, value in _plain(parsed).items() if option not in NO_SETTINGS}
    for target in options.linked:
        group, _, option = target.partition(".")
        values[group].pop(option, None)
    parts = {group: {"class_path": name, "init_args": values.pop(group, {})} for group, name in names.items() if name}
    values["trainer"].pop("default_root_dir", None)
    for option in ("check_val_every_n_epoch", "num_sanity_val_steps"):  # for which None has a meaning
        values["trainer"].setdefault(option, None)
    return parts | {option: value for option, value in values.items() if option not in wings.options()}


def _plain(value: Any) -> Any:
    """A parsed value as plain values, without what is None, and without the defaults of a class: some are objects."""
    if isinstance(value, jsonargparse.Namespace) and "class_path" in value:
        defaults = inspect.signature(class_specs.import_class(value.class_path)).parameters
        given = vars(value.get("init_args") or jsonargparse.Namespace())  # type: ignore[no-untyped-call]
        changed = {
            name: _plain(one) for name, one in given.items() if name not in defaults or one != defaults[name].default
        }
        more = {"dict_kwargs": _plain(value.dict_kwargs)} if value.get("dict_kwargs") else {}
        return {"class_path": value.class_path, "init_args": changed} | more
    if isinstance(value, jsonargparse.Namespace | dict):
        parts = value if isinstance(value, dict) else vars(value)
        return {name: _plain(one) for name, one in parts.items() if one is not None or isinstance(value, dict)}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, Enum):
        return value.value
    return value if isinstance(value, str | int | float | None) else str(value)


def defaults_of_class_specs(model: type) -> dict[str, str]:
    """The parameters of a model that are class specs, and their defaults."""
    parameters = inspect.signature(model).parameters.values()
    return {one.name: one.default for one in parameters if one.annotation == ClassSpec}


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
    given = f", not {value}" if value and "NestedArg" not in value else ""
    return f"--{option}: {' or '.join(found).replace(' or Expected ', ' or ')}{given}"
