"""The options of ``fit.py``: from a command line and configs to plain, checked settings."""

import copy
import inspect
import re
from argparse import ArgumentParser
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cache, reduce
from operator import or_
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin

import jsonargparse
import torch
import yaml
from lightning.pytorch import Trainer

from convblocks.data.module import MNISTDataModule
from convblocks.errors import UsageError
from convblocks.model import names
from convblocks.model.classifier import DigitClassifier
from convblocks.model.names import ClassSpec
from convblocks.model.optimizers import spans_the_run
from convblocks.runs.directory import RunDirectory
from convblocks.training.fit_parser import LINKS, FitParser
from convblocks.training.ranges import check_ranges

EPOCHS = 5

# Lightning's value for no limit.
NO_LIMIT = -1

TRAINER_DEFAULTS = {
    "enable_model_summary": False,
    "log_every_n_steps": 50,
    "num_sanity_val_steps": 0,
    "sync_batchnorm": True,
    "use_distributed_sampler": False,
}

# Options that are class specs: --optimizer sgd --optimizer.momentum 0.8. While parsing, the arguments have a key of
# their own, so that they can be added to a class that a config names.
CLASSES = ("optimizer", "lr_scheduler", "loss")

# Options of where a run is kept and what it prints, not of what it computes.
NOT_SETTINGS = ("config", "name", "resume", "running_loss", *(f"{option}_arguments" for option in CLASSES))

NAME_IS_NEEDED = "--resume needs the --name of the run, for example --name maxpool/version_0"

Settings = dict[str, Any]


@dataclass(frozen=True)
class Options:
    """A parsed command line, in plain values.

    Args:
        settings: Everything that determines the run's results; saved in ``config.yaml``, and read by ``--config``.
        name: The run directory below ``lightning_logs``; None for the next free version.
        root: The parent folder of ``lightning_logs``.
        resume: Whether to resume an existing run.
        running_loss: Whether to print the loss every few batches.
    """

    settings: Settings
    name: str | None
    root: Path
    resume: bool
    running_loss: bool


def parse(arguments: list[str]) -> Options:
    """Parse and check a command line, without building anything.

    Raises:
        UsageError: options that are unknown, out of range, or incompatible.
    """
    names.see_current_folder()  # for a user's own callbacks and loggers
    try:
        config = parser().parse_args(_with_arguments_apart(_with_saved_config(with_size_as_one(arguments))))
    except UnicodeDecodeError as error:
        raise UsageError(f"--config: the file is not text ({error})") from error
    for group, option in (("data", "val_size"), ("trainer", "max_steps")):
        if option not in config[group]:  # the parser accepts a config in which a group is a single value
            raise UsageError(f"{group} in a config must hold options, as in `{group}: {{{option}: 1}}`")
    if config.epochs is None:  # Lightning's rule: with another limit, epochs have none
        config.epochs = EPOCHS if config.trainer.max_steps == -1 and config.trainer.max_time is None else NO_LIMIT
    if config.threads is None:
        config.threads = torch.get_num_threads()  # saved, since a resume must round sums in the same way
    check_ranges(config)
    _check_combinations(config)
    return Options(
        settings=_settings(config),
        name=config.name,
        root=Path(config.trainer.default_root_dir or ""),
        resume=config.resume,
        running_loss=config.running_loss,
    )


class ConfigFile(jsonargparse.ActionConfigFile):  # type: ignore[name-defined, misc]  # it has no types
    """A config whose classes replace those of earlier configs, with all their arguments."""

    def __call__(self, parser: FitParser, cfg: jsonargparse.Namespace, values: str, option_string: Any = None) -> None:
        """Override earlier options by the config's; jsonargparse alone does not know the class of a short name."""
        if earlier := [option for option in CLASSES if not isinstance(cfg.get(option), str | None)]:
            chosen = type(cfg)()
            self.apply_config(parser, chosen, self.dest, values)
            for option in earlier:
                if chosen.get(option) is not None:
                    cfg[option] = None
        super().__call__(parser, cfg, values, option_string)


@cache
def parser() -> FitParser:
    """All options with types, defaults and help, from the signatures and docstrings of the classes that they set."""
    made = FitParser(prog="fit.py", allow_abbrev=False)
    made.add_argument("--config", action=ConfigFile, help="A YAML file with options.")
    made.add_argument("--arch", type=str, required=True, help="The network to train, or its class.")
    made.add_argument("--network", type=dict[str, Any] | None, help="Arguments of the network: --network.hidden 64.")
    help_text = f"Passes over the training images (default: {EPOCHS}, or without limit if there is another one)."
    made.add_argument("--epochs", type=int | None, help=help_text)
    batch_size, lr = _default(MNISTDataModule, "batch_size"), _default(DigitClassifier, "lr")
    made.add_argument("--batch_size", type=int, default=batch_size, help="Images per optimizer step.")
    made.add_argument("--lr", type=float, default=lr, help="Learning rate.")
    for option in CLASSES:
        help_text = f"A short name or a class; its arguments as --{option}.KEY."
        made.add_argument(f"--{option}", type=ClassSpec, default=_default(DigitClassifier, option), help=help_text)
        made.add_argument(f"--{option}_arguments", type=dict[str, Any] | None, help=jsonargparse.SUPPRESS)
    help_text = "Seed of the weights, and of the order and movements of the images."
    made.add_argument("--seed", type=int, default=0, help=help_text)
    made.add_argument("--threads", type=int | None, help="CPU threads (they change how sums round).")
    made.add_argument("--name", type=str, help="The run is lightning_logs/NAME.")
    made.add_argument("--resume", action="store_true", help="Carry on the run of that name.")
    made.add_argument("--running_loss", action="store_true", help="Print the loss every few batches.")
    for group, part in (("data", MNISTDataModule), ("trainer", Trainer)):
        made.add_class_arguments(part, group, instantiate=False, sub_configs=True, skip={"source"})
    made.add_argument("--data.source", type=str, help="A class that reads a data set of another kind: mydata.Stripes.")
    actions: list[Any] = made._actions  # jsonargparse has no public way to a type
    for action in actions:
        if hasattr(action, "_typehint"):
            action._typehint = _int_before_float(action._typehint)
    made.set_defaults({f"trainer.{option}": value for option, value in TRAINER_DEFAULTS.items()})
    for option, target in LINKS.items():
        made.link_arguments(option, target)
    return made


def parsed(settings: Settings) -> jsonargparse.Namespace:
    """Plain settings, parsed into the types of the signatures."""
    namespace: jsonargparse.Namespace = parser().parse_object(copy.deepcopy(settings))  # it changes its argument
    return namespace


def _int_before_float(kind: Any) -> Any:
    """The same type with int tried first, so that 1 means one batch to Lightning, not all of them.

    ``Union[int, float]`` becomes ``Union[float, int]`` if any module wrote that earlier: typing caches the two as one.
    """
    members = list(get_args(kind))
    if get_origin(kind) not in (Union, UnionType) or not {int, float} <= set(members):
        return kind
    first, second = sorted((members.index(int), members.index(float)))
    members[first], members[second] = int, float
    return reduce(or_, members)


def _check_combinations(config: jsonargparse.Namespace) -> None:
    """Raise a UsageError for incompatible options, and for those that this project does not support."""
    is_limited = config.trainer.max_steps > 0 or config.trainer.max_time is not None
    if config.epochs < 1 and not (config.epochs == NO_LIMIT and is_limited):
        raise UsageError(f"--epochs must be at least 1, but is {config.epochs}")
    if (
        config.epochs == NO_LIMIT
        and config.trainer.max_steps == -1
        and spans_the_run(_class_spec("lr_scheduler", config))
    ):
        raise UsageError(
            "a schedule over the whole run needs --epochs or --trainer.max_steps: with max_time its steps are unknown"
        )
    if config.trainer.max_steps == 0:
        raise UsageError("--trainer.max_steps must be at least 1, or -1 for no limit")
    if config.resume and config.name is None:
        raise UsageError(NAME_IS_NEEDED)
    if config.trainer.barebones:
        raise UsageError("--trainer.barebones is not supported: it turns off all that a run directory holds")


def _settings(config: jsonargparse.Namespace) -> Settings:
    """Everything that determines a run's results, in plain values."""
    links = {target.split(".")[1] for target in LINKS.values()}
    settings = {option: value for option, value in _plain(config).items() if option not in NOT_SETTINGS}
    for group in ("data", "trainer"):
        settings[group] = {option: value for option, value in settings[group].items() if option not in links}
    settings["trainer"].pop("default_root_dir", None)
    for option in ("check_val_every_n_epoch", "num_sanity_val_steps"):  # for which None has a meaning
        settings["trainer"].setdefault(option, None)
    return settings | {option: _class_spec(option, config) for option in CLASSES}


def _plain(value: Any) -> Any:
    """A parsed value as plain values, without options that are None and without a class's default arguments."""
    if isinstance(value, jsonargparse.Namespace):
        parts = vars(value)
        if "class_path" in parts:
            return {"class_path": parts["class_path"], "init_args": _not_defaults(**parts)}
        return {option: _plain(one) for option, one in parts.items() if one is not None}
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, Enum):
        return value.value
    return value if isinstance(value, str | int | float | None) else str(value)


def _not_defaults(class_path: str, init_args: jsonargparse.Namespace | None = None, **_: Any) -> dict[str, Any]:
    """The arguments of a class that are not its defaults."""
    defaults = inspect.signature(names.import_class(class_path)).parameters
    arguments = vars(init_args) if init_args else {}
    return {
        option: _plain(value)
        for option, value in arguments.items()
        if (value is not None if option not in defaults else value != defaults[option].default)
    }


def _class_spec(option: str, config: jsonargparse.Namespace) -> ClassSpec:
    """A class with its arguments as one class spec; the name alone if it has none."""
    given = config[option]
    chosen: dict[str, Any] = {"class_path": given} if isinstance(given, str) else given
    in_config = {key: value for key, value in chosen.items() if key not in ("class_path", "init_args")}
    arguments = chosen.get("init_args", {}) | in_config | (config[f"{option}_arguments"] or {})
    if "lr" in arguments and option == "optimizer":
        raise UsageError("--optimizer.lr is set with --lr")
    return {"class_path": chosen.get("class_path"), "init_args": arguments} if arguments else chosen["class_path"]


def _default(of: type, parameter: str) -> Any:
    """The default of a setting, which is defined only in the signature of its class."""
    return inspect.signature(of).parameters[parameter].default


def with_size_as_one(arguments: Sequence[str]) -> list[str]:
    """Replace ``--data.size 32 40`` by ``--data.size=[32, 40]``, a single value for the parser."""
    words = list(arguments)
    for at, word in enumerate(words[:-2]):
        if word == "--data.size" and words[at + 1].isdecimal() and words[at + 2].isdecimal():
            words[at : at + 3] = [f"--data.size=[{words[at + 1]}, {words[at + 2]}]"]
            break
    return words


def _with_arguments_apart(arguments: list[str]) -> list[str]:
    """Replace ``--optimizer.momentum`` by ``--optimizer_arguments.momentum``, also if written with init_args."""
    apart = re.compile(rf"--({'|'.join(CLASSES)})\.(init_args\.)?(?!class_path)")
    classes = re.compile(rf"--({'|'.join(CLASSES)})\.class_path")
    return [classes.sub(r"--\1", apart.sub(r"--\1_arguments.", word)) for word in arguments]


def _with_saved_config(arguments: list[str]) -> list[str]:
    """On a resume, put the run's saved settings first, so that they need not be given again."""
    parts = ArgumentParser(add_help=False, allow_abbrev=False)
    parts.add_argument("--name")
    parts.add_argument("--resume", action="store_true")
    parts.add_argument("--trainer.default_root_dir", type=Path, default=Path(), dest="root")
    known, _ = parts.parse_known_args(arguments)
    may_begin = any(word.partition("=")[0] in ("--arch", "--config") for word in arguments)
    if known.resume and not known.name and not may_begin:
        raise UsageError(NAME_IS_NEEDED)
    if not (known.resume and known.name):
        return arguments
    directory = RunDirectory(known.name, known.root)
    if not directory.config.is_file():
        if may_begin:
            return arguments  # comparisons also pass --resume to new runs
        if directory.exists():
            raise UsageError(f"{directory.path} cannot be resumed: it has no {directory.config.name}")
        raise UsageError(f"there is no run {directory.path}: to begin it, give --arch")
    saved = directory.read_config()
    for option in ("callbacks", "logger"):  # otherwise values given with += would be added to the saved ones
        if any(word.startswith(f"--trainer.{option}+") for word in arguments):
            saved["trainer"].pop(option, None)
    return ["--config", yaml.safe_dump(saved), *arguments]
