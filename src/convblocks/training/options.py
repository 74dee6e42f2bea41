"""The flags and configs of ``fit.py``: nothing else knows them. They end in plain values."""

import copy
import inspect
import re
from argparse import ArgumentParser
from collections.abc import Sequence
from dataclasses import dataclass
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
from convblocks.training.complaints import LINKS, FitParser
from convblocks.training.plain import plain
from convblocks.training.ranges import check_ranges

EPOCHS = 5

# As Lightning writes it.
NO_LIMIT = -1

TRAINER_DEFAULTS = {
    "enable_model_summary": False,
    "log_every_n_steps": 50,
    "num_sanity_val_steps": 0,
    "sync_batchnorm": True,
    "use_distributed_sampler": False,
}

# What is given as a name and with arguments of its own: --optimizer sgd --optimizer.momentum 0.8. The arguments have a
# key of their own while the command line is read, so that they add to a name that stands in a config.
CLASSES = ("optimizer", "lr_scheduler", "loss")

# Options that say where a run is kept and what it prints, not what it computes.
NOT_SETTINGS = ("config", "name", "resume", "running_loss", *(f"{option}_arguments" for option in CLASSES))

NAME_IS_NEEDED = "--resume needs the --name of the run, for example --name maxpool/version_0"

Settings = dict[str, Any]


@dataclass(frozen=True)
class Options:
    """What a command line says, in plain values.

    Args:
        settings: All that determines the run's results; ``config.yaml`` holds them, and ``--config`` takes them back.
        name: The run directory below ``lightning_logs``, None for the next free version.
        root: The folder in which ``lightning_logs`` lies.
        resume: Whether a run that is there is carried on.
        running_loss: Whether the loss is printed every few batches.
    """

    settings: Settings
    name: str | None
    root: Path
    resume: bool
    running_loss: bool


def parse(arguments: list[str]) -> Options:
    """Check a command line as far as that is possible without building anything.

    Raises:
        UsageError: options that are unknown, out of range, or cannot be combined.
    """
    names.see_current_folder()  # for callbacks and loggers of the user's own
    try:
        config = parser().parse_args(_with_arguments_apart(_with_saved_config(with_size_as_one(arguments))))
    except UnicodeDecodeError as error:
        raise UsageError(f"--config: a file that is no text ({error})") from error
    for group, option in (("data", "val_size"), ("trainer", "max_steps")):
        if option not in config[group]:  # the parser takes a config in which they are one value
            raise UsageError(f"{group} in a config must hold options, as in `{group}: {{{option}: 1}}`")
    if config.epochs is None:  # Lightning's rule: with another limit there is none on the epochs
        config.epochs = EPOCHS if config.trainer.max_steps == -1 and config.trainer.max_time is None else NO_LIMIT
    if config.threads is None:
        config.threads = torch.get_num_threads()  # noted, since a resume must round the same sums alike
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
    """A config whose choice of a class replaces an earlier config's, with all its arguments."""

    def __call__(self, parser: FitParser, cfg: jsonargparse.Namespace, values: str, option_string: Any = None) -> None:
        """Take the config's options over those before; jsonargparse alone cannot tell a short name's class."""
        if earlier := [option for option in CLASSES if not isinstance(cfg.get(option), str | None)]:
            chosen = type(cfg)()
            self.apply_config(parser, chosen, self.dest, values)
            for option in earlier:
                if chosen.get(option) is not None:
                    cfg[option] = None
        super().__call__(parser, cfg, values, option_string)


@cache
def parser() -> FitParser:
    """All options with their types, defaults and help, from the signatures and docstrings of what they set."""
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
    """Plain settings as the parser understands them, with the types of what they set."""
    understood: jsonargparse.Namespace = parser().parse_object(copy.deepcopy(settings))  # it would change them
    return understood


def _int_before_float(kind: Any) -> Any:
    """The same type, tried in an order in which 1 is an int, as Lightning means it: one batch, and not all of them.

    ``Union[int, float]`` is ``Union[float, int]`` where some other module has written that before: typing takes the two
    for the same, and keeps the first.
    """
    members = list(get_args(kind))
    if get_origin(kind) not in (Union, UnionType) or not {int, float} <= set(members):
        return kind
    first, second = sorted((members.index(int), members.index(float)))
    members[first], members[second] = int, float
    return reduce(or_, members)


def _check_combinations(config: jsonargparse.Namespace) -> None:
    """Refuse options that make no sense with others, or in this project."""
    is_limited = config.trainer.max_steps > 0 or config.trainer.max_time is not None
    if config.epochs < 1 and not (config.epochs == NO_LIMIT and is_limited):
        raise UsageError(f"--epochs must be at least 1, but is {config.epochs}")
    if config.epochs == NO_LIMIT and config.trainer.max_steps == -1 and spans_the_run(_choice("lr_scheduler", config)):
        raise UsageError("a schedule that spans the run needs --epochs, or --trainer.max_steps: max_time is no length")
    if config.trainer.max_steps == 0:
        raise UsageError("--trainer.max_steps must be at least 1, or -1 for no limit")
    if config.resume and config.name is None:
        raise UsageError(NAME_IS_NEEDED)
    if config.trainer.barebones:
        raise UsageError("--trainer.barebones makes no sense here: it leaves out all that a run directory holds")


def _settings(config: jsonargparse.Namespace) -> Settings:
    """What determines a run's results, as YAML and JSON can hold it."""
    links = {target.split(".")[1] for target in LINKS.values()}
    settings = {option: value for option, value in plain(config).items() if option not in NOT_SETTINGS}
    for group in ("data", "trainer"):
        settings[group] = {option: value for option, value in settings[group].items() if option not in links}
    settings["trainer"].pop("default_root_dir", None)
    for option in ("check_val_every_n_epoch", "num_sanity_val_steps"):  # of which None says something
        settings["trainer"].setdefault(option, None)
    return settings | {option: _choice(option, config) for option in CLASSES}


def _choice(option: str, config: jsonargparse.Namespace) -> ClassSpec:
    """A class and its arguments, as one value: its name alone where it has none."""
    given = config[option]
    chosen: dict[str, Any] = {"class_path": given} if isinstance(given, str) else given
    in_config = {key: value for key, value in chosen.items() if key not in ("class_path", "init_args")}
    arguments = chosen.get("init_args", {}) | in_config | (config[f"{option}_arguments"] or {})
    if "lr" in arguments and option == "optimizer":
        raise UsageError("--optimizer.lr is set with --lr")
    return {"class_path": chosen.get("class_path"), "init_args": arguments} if arguments else chosen["class_path"]


def _default(of: type, parameter: str) -> Any:
    """A setting's default has one home: the signature of the class that uses it."""
    return inspect.signature(of).parameters[parameter].default


def with_size_as_one(arguments: Sequence[str]) -> list[str]:
    """``--data.size 32 40`` as one value, which the parser takes for one option's."""
    words = list(arguments)
    for at, word in enumerate(words[:-2]):
        if word == "--data.size" and words[at + 1].isdecimal() and words[at + 2].isdecimal():
            words[at : at + 3] = [f"--data.size=[{words[at + 1]}, {words[at + 2]}]"]
            break
    return words


def _with_arguments_apart(arguments: list[str]) -> list[str]:
    """``--optimizer.momentum`` as ``--optimizer_arguments.momentum``, also where init_args is written out."""
    apart = re.compile(rf"--({'|'.join(CLASSES)})\.(init_args\.)?(?!class_path)")
    classes = re.compile(rf"--({'|'.join(CLASSES)})\.class_path")
    return [classes.sub(r"--\1", apart.sub(r"--\1_arguments.", word)) for word in arguments]


def _with_saved_config(arguments: list[str]) -> list[str]:
    """On a resume the run's own settings come first, so that they need not be given again."""
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
            return arguments  # a comparison resumes what it has not begun
        if directory.exists():
            raise UsageError(f"{directory.path} cannot be resumed: it has no {directory.config.name}")
        raise UsageError(f"there is no run {directory.path}: to begin it, give --arch")
    saved = directory.read_config()
    for option in ("callbacks", "logger"):  # to what is given anew with += it would be added
        if any(word.startswith(f"--trainer.{option}+") for word in arguments):
            saved["trainer"].pop(option, None)
    return ["--config", yaml.safe_dump(saved), *arguments]
