"""The parser of ``fit``: from words and configs to typed values, and from these to plain ones."""

import inspect
import os
import re
import sys
from argparse import ArgumentParser
from collections.abc import Sequence
from enum import Enum
from functools import cache, reduce
from operator import or_
from types import UnionType
from typing import Any, NoReturn, Union, get_args, get_origin

import jsonargparse
from lightning.pytorch import Trainer

from convblocks import wings
from convblocks.command_line import options_of, with_suggestion
from convblocks.data.module import ImageDataModule
from convblocks.errors import UsageError
from convblocks.model import class_specs
from convblocks.model.class_specs import ClassSpec
from convblocks.model.classifier import ImageClassifier

EPOCHS = 5

TRAINER_DEFAULTS = {
    "enable_model_summary": False,
    "log_every_n_steps": 50,
    "num_sanity_val_steps": 0,
    "sync_batchnorm": True,
}

# Short options, and the options that they set. The latter cannot be given themselves.
LINKS = {"epochs": "trainer.max_epochs", "batch_size": "data.batch_size", "seed": "data.seed"}

# Options that are class specs: --optimizer sgd --optimizer.momentum 0.8. While parsing, the arguments have a key of
# their own, so that they can be added to a class that a config names.
CLASSES = ("optimizer", "lr_scheduler", "loss")

# The same for a LightningModule of the user's own and its data; then the options of images do not apply.
OWN = ("model", "datamodule")
OF_IMAGES = ("arch", "network", "batch_size", "lr", *CLASSES, "data")

# Options of where a run is kept and what it prints, not of what it computes.
NOT_SETTINGS = ("config", "name", "resume", "running_loss", *(f"{option}_arguments" for option in (*CLASSES, *OWN)))

# Options that name folders.
FOLDERS = ("--data.root", "--trainer.default_root_dir")

# The option that prints all options with their values, for ``--config``.
PRINT = "--print_config"

# Endings of the options that jsonargparse adds to others.
VARIANTS = ("+", ".help")

# Types in words. Where several are allowed, the first of them counts.
TYPES = {"float": "a number", "int": "a whole number", "bool": "true or false"}

Settings = dict[str, Any]


class FitParser(jsonargparse.ArgumentParser):
    """Raises a one-line UsageError instead of exiting."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        for option, target in LINKS.items():
            if re.search(rf'(--|"|--> ){re.escape(target)}\b', message):
                raise UsageError(f"{target} is set with --{option}") from ex
        if '"data.size"' in message:
            raise UsageError("--data.size takes a height and a width in pixels, such as 32 40") from ex
        if message.startswith("Unexpected config: "):
            found = " ".join(message.split()[2:]) or "nothing"
            raise UsageError(f"--config: expected lines such as lr: 0.01, but found {found[:80]}") from ex
        if message.startswith("Problems parsing config"):
            message = f"--config: {message}"
        raise UsageError(_shortened(with_suggestion(" ".join(message.split()), known_options(self)))) from ex


class ConfigFile(jsonargparse.ActionConfigFile):  # type: ignore[name-defined, misc]  # it has no types
    """A config whose classes replace those of earlier configs, with all their arguments."""

    def __call__(self, parser: FitParser, cfg: jsonargparse.Namespace, values: str, option_string: Any = None) -> None:
        """Override earlier options by the config's; jsonargparse alone does not know the class of a short name."""
        if earlier := [option for option in (*CLASSES, *OWN) if not isinstance(cfg.get(option), str | None)]:
            chosen = type(cfg)()
            self.apply_config(parser, chosen, self.dest, values)
            for option in earlier:
                if chosen.get(option) is not None:
                    cfg[option] = None
        super().__call__(parser, cfg, values, option_string)


@cache
def parser() -> FitParser:
    """All options with types, defaults and help, from the signatures and docstrings of the classes that they set."""
    options = FitParser(prog="convblocks fit", allow_abbrev=False)
    options.add_argument("--config", action=ConfigFile, help="A YAML file with options.")
    options.add_argument("--arch", type=str, help="The network to train, or its class.")
    options.add_argument("--network", type=dict[str, Any] | None, help="Arguments of the network: --network.hidden 64.")
    help_text = f"Passes over the training images (default: {EPOCHS}, or without limit if there is another one)."
    options.add_argument("--epochs", type=int | None, help=help_text)
    batch_size, lr = _default(ImageDataModule, "batch_size"), _default(ImageClassifier, "lr")
    options.add_argument("--batch_size", type=int, default=batch_size, help="Images per optimizer step.")
    options.add_argument("--lr", type=float, default=lr, help="Learning rate.")
    for option in CLASSES:
        help_text = f"A short name or a class; its arguments as --{option}.KEY."
        options.add_argument(f"--{option}", type=ClassSpec, default=_default(ImageClassifier, option), help=help_text)
        options.add_argument(f"--{option}_arguments", type=dict[str, Any] | None, help=jsonargparse.SUPPRESS)
    for option, what in (("model", "LightningModule"), ("datamodule", "LightningDataModule")):
        help_text = f"A {what} of your own instead of --arch; its arguments as --{option}.KEY."
        options.add_argument(f"--{option}", type=ClassSpec | None, help=help_text)
        options.add_argument(f"--{option}_arguments", type=dict[str, Any] | None, help=jsonargparse.SUPPRESS)
    options.add_argument("--judge", type=str, help="The metric to judge the model by, such as val/loss:min.")
    help_text = "Seed of the weights, and of the order and movements of the images."
    options.add_argument("--seed", type=int, default=0, help=help_text)
    options.add_argument("--threads", type=int | None, help="CPU threads (they change how sums round).")
    options.add_argument("--name", type=str, help="The run is lightning_logs/NAME.")
    options.add_argument("--resume", action="store_true", help="Carry on the run of that name.")
    options.add_argument("--running_loss", action="store_true", help="Print the loss every few batches.")
    wings.add_options(options)
    for group, part in (("data", ImageDataModule), ("trainer", Trainer)):
        options.add_class_arguments(part, group, instantiate=False, sub_configs=True, skip={"root", "source"})
    help_text = "Folder with pictures as train/CLASS/* and test/CLASS/*, or with MNIST's files (default: MNIST)."
    options.add_argument("--data.root", type=str, help=help_text)
    options.add_argument(
        "--data.source", type=str, help="A class that reads a data set of another kind: mydata.Stripes."
    )
    actions: list[Any] = options._actions  # jsonargparse has no public way to a type
    for action in actions:
        if hasattr(action, "_typehint"):
            action._typehint = _int_before_float(action._typehint)
    options.set_defaults({f"trainer.{option}": value for option, value in TRAINER_DEFAULTS.items()})
    for option, target in LINKS.items():
        options.link_arguments(option, target)
    return options


def known_options(parser: ArgumentParser) -> list[str]:
    """The options that may be given to ``fit``, without their dashes."""
    return [option for option in options_of(parser) if option not in LINKS.values() and not option.endswith(VARIANTS)]


def as_single_words(arguments: Sequence[str]) -> list[str]:
    """Replace ``--data.size 32 40`` by ``--data.size=[32, 40]``, and ``~`` by the home folder, as shells do not always.

    YAML would read it as null.
    """
    words = list(arguments)
    for at, word in enumerate(words):
        option, equals, value = word.partition("=")
        if option in FOLDERS and equals:
            words[at] = f"{option}={os.path.expanduser(value)}"
        elif at and words[at - 1] in FOLDERS and word.startswith("~"):
            words[at] = os.path.expanduser(word)
    for at, word in enumerate(words[:-2]):
        if word == "--data.size" and words[at + 1].isdecimal() and words[at + 2].isdecimal():
            words[at : at + 3] = [f"--data.size=[{words[at + 1]}, {words[at + 2]}]"]
            break
    return words


def parse_words(arguments: Sequence[str]) -> jsonargparse.Namespace:
    """The values of all options.

    ``--optimizer.momentum``, also if written with init_args, is ``optimizer_arguments.momentum``.

    Raises:
        UsageError: an unknown option, or a value of another type.
    """
    options = "|".join((*CLASSES, *OWN))
    apart = re.compile(rf"--({options})\.(init_args\.)?(?!class_path)")
    classes = re.compile(rf"--({options})\.class_path")
    words = [classes.sub(r"--\1", apart.sub(r"--\1_arguments.", word)) for word in as_single_words(arguments)]
    try:
        if PRINT not in words:
            return parser().parse_args(words)
        # Not by jsonargparse, which would leave out the arguments of classes.
        parsed = parser().parse_args([word for word in words if word != PRINT])
    except UnicodeDecodeError as error:
        raise UsageError(f"--config: the file is not text ({error})") from error
    for option in (*CLASSES, *OWN):
        if parsed[option] is not None:
            parsed[option] = class_spec(option, parsed)
        del parsed[f"{option}_arguments"]
    print(parser().dump(parsed, skip_none=False, skip_validation=True), end="")
    sys.exit()


def plain_settings(parsed: jsonargparse.Namespace) -> Settings:
    """Everything that determines a run's results, in plain values."""
    links = {target.split(".")[1] for target in LINKS.values()}
    others = {*NOT_SETTINGS, *wings.options()}
    settings = {option: value for option, value in _plain(parsed).items() if option not in others}
    for group in ("data", "trainer"):
        settings[group] = {option: value for option, value in settings[group].items() if option not in links}
    settings["trainer"].pop("default_root_dir", None)
    for option in ("check_val_every_n_epoch", "num_sanity_val_steps"):  # for which None has a meaning
        settings["trainer"].setdefault(option, None)
    if parsed.model is None:
        return settings | {option: class_spec(option, parsed) for option in CLASSES}
    general = {option: value for option, value in settings.items() if option not in OF_IMAGES}
    return general | {option: class_spec(option, parsed) for option in OWN if parsed[option] is not None}


def _plain(value: Any) -> Any:
    """A parsed value as plain values, without options that are None and without a class's default arguments."""
    if isinstance(value, jsonargparse.Namespace):
        parts = vars(value)
        if "class_path" in parts:
            more = {"dict_kwargs": _plain(parts["dict_kwargs"])} if parts.get("dict_kwargs") else {}
            return {"class_path": parts["class_path"], "init_args": _not_defaults(**parts)} | more
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
    defaults = inspect.signature(class_specs.import_class(class_path)).parameters
    arguments = vars(init_args) if init_args else {}
    return {
        option: _plain(value)
        for option, value in arguments.items()
        if (value is not None if option not in defaults else value != defaults[option].default)
    }


def class_spec(option: str, parsed: jsonargparse.Namespace) -> ClassSpec:
    """A class with its arguments as one class spec; the name alone if it has none."""
    given = parsed[option]
    chosen: dict[str, Any] = {"class_path": given} if isinstance(given, str) else given
    init_args = chosen.get("init_args") or {}
    if not (isinstance(chosen.get("class_path"), str) and isinstance(init_args, dict)):
        raise UsageError(f"--{option} must be a name, or a class_path with init_args")
    in_config = {key: value for key, value in chosen.items() if key not in ("class_path", "init_args")}
    arguments = init_args | in_config | (parsed[f"{option}_arguments"] or {})
    if not all(isinstance(name, str) for name in arguments):
        raise UsageError(f"--{option}: the names of its arguments must be words")
    if "lr" in arguments and option == "optimizer":
        raise UsageError("--optimizer.lr is set with --lr")
    return {"class_path": chosen["class_path"], "init_args": arguments} if arguments else chosen["class_path"]


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


def _default(of: type, parameter: str) -> Any:
    """The default of a setting, which is defined only in the signature of its class."""
    return inspect.signature(of).parameters[parameter].default


def _shortened(message: str) -> str:
    """Jsonargparse's message about a wrong value, without the list of all types that it tried."""
    found = re.match(r'(?:Parser key|Key) "([\w.]+)":(.*)', message)
    if found is None:
        return message
    option, problem = found.groups()
    problem = re.sub(r"- Not a valid subclass of .*? \(implicit class_path\)", "", problem)  # how to write any class
    reasons = problem.partition(" Given value")[0].strip().removeprefix("- ").split(" - ")
    if specific := [reason for reason in reasons if not re.match(r"Expected |Does not validate", reason)]:
        return f"--{option}: {specific[-1]}"
    value = re.split(r"alue: ?", problem)[-1]
    expected = [words for name, words in TYPES.items() if re.search(rf"Expected (a )?<class '{name}'>", problem)][:1]
    if choices := ", ".join(re.findall(r"Expected a typing\.Literal\[(.*?)\]", problem)):
        expected.append(f"one of {choices}")
    if not expected or re.search(r"<class '\w+\.", problem):  # a class would do too
        return f"--{option} cannot be {value!r}"
    return f"--{option} must be {' or '.join(expected)}, not {value!r}"
