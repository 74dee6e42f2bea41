"""Reads the settings that are given: the words of a command line and the content of
configs, by full names.

A setting has one name, that of the argument it sets, as in LightningCLI: ``model.lr``,
``data.batch_size``, ``trainer.max_epochs``. ``SHORT`` abbreviates some of them, on the
command line and in configs.
"""

import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import jsonargparse
import yaml

from convblocks.errors import UsageError, one_line
from convblocks.record.directory import RunDirectory
from convblocks.text import Settings, listed
from convblocks.wings import GROUPS

SHORT = {
    "arch": "model.arch",
    "network": "model.network",
    "lr": "model.lr",
    "optimizer": "model.optimizer",
    "lr_scheduler": "model.lr_scheduler",
    "loss": "model.loss",
    "batch_size": "data.batch_size",
    "epochs": "trainer.max_epochs",
    "fast_dev_run": "trainer.fast_dev_run",
}

# The module that a run trains, and its data, if nothing else is named.
MODEL, DATA = "convblocks.ImageClassifier", "convblocks.ImageDataModule"

EPOCHS = 5

# Keys that LightningCLI writes as null where nobody sets them.
UNSET = ("ckpt_path", "weights_only", "optimizer", "lr_scheduler")

# Lightning's value of a limit, such as max_steps, for no limit.
NO_LIMIT = -1

# The longest reason in an error, in characters: jsonargparse may print a whole config.
LONGEST_REASON = 400

# The most values in a config: YAML's aliases could stand for any number of them.
MOST_VALUES = 100_000

# Reads a file once, such as a pipe, in which a second reader finds nothing.
_read_once = cache(Path.read_text)

# The options of a command line, each with the words behind it: ``[["--lr", "0.1"]]``.
Words = list[list[str]]


class Several(str):
    """A list in YAML, ``[32, 40]``, that was given as several values: ``32 40``."""


def by_option(arguments: Sequence[str]) -> Words:
    """The options of a command line, each with the words behind it. Several plain decimals
    become one list: ``--data.size 32 40``.
    """
    options: Words = []
    for word in arguments:
        if word.startswith("--"):
            options.append(word.split("=", 1))
        elif options:
            options[-1].append(word)
        else:
            options.append([word])  # a stray word at the beginning
    for words in options:
        values = words[1:]
        if len(values) > 1 and all(value.replace(".", "", 1).isdecimal() for value in values):
            words[1:] = [Several(f"[{', '.join(values)}]")]
    return options


def full_name(option: str) -> str:
    """``model.lr`` for ``lr``, ``--model.network.depth`` for ``--network.depth``, and for
    LightningCLI's ``--model.init_args.lr`` too ``--model.lr``.
    """
    head, dot, rest = option.partition(".")
    name = head.removeprefix("--")
    if name in ("model", "data"):
        rest = rest.removeprefix("init_args.")
    # replace() keeps the dashes.
    return head.replace(name, SHORT.get(name, name), 1) + dot + rest


def full_words(arguments: Sequence[str]) -> Words:
    """The options of a command line by full names, each with its value, if any:
    ``["--model.lr", "0.1"]``.

    Raises:
        UsageError: the first word is not an option, or one has several values.
    """
    words = []
    for option, *values in by_option(arguments):
        if not option.startswith("--"):
            raise UsageError(f"unrecognized arguments: {option}: an option begins with two dashes")
        full = full_name(option)
        if len(values) > 1:
            raise UsageError(f"{full} takes one value, not {listed(values)}")
        if full == "--trainer.fast_dev_run" and not values:
            values = ["true"]
        words.append([full, *values])
    return words


def is_class_name(text: str) -> bool:
    """True for a value that may be the name of a class: no number, text in quotes or null."""
    return bool(re.fullmatch(r"[A-Za-z_][\w.]*", text)) and yaml_value("", text) == text


def given_options(words: Words) -> Settings:
    """The value of each option of a command line by its full name: the last one if it is given
    several times, "" if it has none: ``{"model.lr": "0.1", "resume": ""}``.
    """
    return {option.removeprefix("--"): values[0] if values else "" for option, *values in words}


def given_settings(words: Words) -> Settings:
    """The settings of a command line, its configs and the run that it resumes, by full names:
    ``{"model": "mine.Net", "model.lr": "0.1"}``.
    """
    return settings_of_files(words) | given_options(words)


def settings_of_files(words: Words) -> Settings:
    """The settings of the run that is resumed, overridden by those of the configs, by full
    names.

    Raises:
        UsageError: one of them cannot be read, or the run is one of another model.
    """
    given = given_options(words)
    settings = _saved_settings(given)
    began = settings.get("model")
    for option, *values in words:
        if option != "--config":
            continue
        if not values:
            raise UsageError("--config needs the name of a YAML file")
        config = by_full_name(read_config(*values))
        # The data gave these arguments of the model (see from_data.py), and are asked for them
        # again, since they may be other data now. A resume keeps the saved values.
        for name in re.findall(r"\w+", str(config.pop("from_data", ""))):
            config.pop(f"model.{name}", None)
        settings |= config
    now = given.get("model") or settings.get("model")
    if began not in (None, now):
        raise UsageError(f"{given['name']} is a run of {began}, not {now}")
    return settings


def _saved_settings(given: Settings) -> Settings:
    """The saved settings of the run that is resumed, so that they need not be given again; empty
    if no run is, or if it has not begun yet.
    """
    if "resume" not in given:
        return {}
    if not given.get("name"):
        raise UsageError(
            "--resume needs the --name of the run, for example --name maxpool/version_0, "
            "or the --arch or --model whose last unfinished run it continues"
        )
    directory = RunDirectory(given["name"], Path(given.get("trainer.default_root_dir", "")))
    if directory.config.is_file():
        settings = by_full_name(directory.read_config())
        # A resume may repeat the first command line, whose ``+=`` would append to a saved list what
        # the list already has.
        for option in ("trainer.callbacks", "trainer.logger"):
            if f"{option}+" in given:
                settings.pop(option, None)
        return settings
    # There is no run yet, but comparisons pass --resume to new runs too.
    if given.keys() & {"model", "model.arch", "config"}:
        return {}
    if directory.exists():
        raise UsageError(f"{directory.path} cannot be resumed: it has no {directory.config.name}")
    raise UsageError(f"there is no run {directory.path}: to begin it, give --arch or --model")


def read_config(path: str) -> Settings:
    """The content of a YAML file, or of YAML itself.

    Raises:
        UsageError: it cannot be read, or does not hold settings.
    """
    # Path.is_file raises at a text that is too long for a name.
    is_file = os.path.isfile(path)  # noqa: PTH113
    is_yaml = re.search(": |\n", path) and not is_file
    read = Path.read_text if is_file else _read_once
    named = f"--config {' '.join(path.split())[:80]}"
    try:
        content = yaml_value(named, path if is_yaml else read(Path(path)))
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{named}: {getattr(error, 'strerror', error)}") from error
    if not isinstance(content, dict):
        found = str(content or "nothing")[:80]
        raise UsageError(f"{named}: expected lines such as lr: 0.01, but found {found}")
    if "config" in content:
        raise UsageError(f"{named}: a config cannot name another one: give --config several times")
    return content


def by_full_name(config: Mapping[Any, Any]) -> Settings:
    """The settings of a config by full names. The class of a group is the value of the group's
    own name, and its arguments stand beside it, without ``init_args``:
    ``{"model": "mine.Net", "model.lr": 0.1, "seed": 3}``.

    Raises:
        UsageError: a group holds something else than options.
    """
    settings: Settings = {}
    for key, value in config.items():
        if value is None and key in UNSET:
            continue
        name = full_name(str(key))
        group, _, option = name.partition(".")
        if group in GROUPS:
            settings |= _of_group(group, {option: value} if option else (value or {}))
        # In LightningCLI's configs a bool names no seed: true stands for any.
        elif not (isinstance(value, bool) and key == "seed_everything"):
            settings[name.replace("seed_everything", "seed")] = value
    return settings


def _of_group(group: str, parts: Any) -> Settings:
    if not (isinstance(parts, dict) and isinstance(parts.get("init_args", {}), dict)):
        raise UsageError(f"{group} in a config must hold options, as in `{group}: {{option: 1}}`")
    arguments = parts | parts.get("init_args", {})
    arguments.pop("init_args", None)
    named = arguments.pop("class_path", group)
    if not (isinstance(named, str) and named):
        raise UsageError(f"{group}.class_path in a config must be the name of a class")
    settings = {f"{group}.{name}": value for name, value in arguments.items()}
    return settings | ({group: named} if "class_path" in parts else {})


def nested(settings: Settings) -> Settings:
    """Settings by full names as a config holds them, the reverse of ``by_full_name``:
    ``data.size`` becomes ``size`` inside ``data``, and ``trainer.logger.name``, where
    ``trainer.logger`` names a class, ``name`` inside the ``init_args`` of that class, in whatever
    order they come.
    """
    inner = {name: value for name, value in settings.items() if "." not in name}
    for key, value in settings.items():
        name, _, rest = key.partition(".")
        if not rest:
            continue
        there = inner.get(name)
        if isinstance(there, str):
            there = {"class_path": there}
        parts = dict(there or {})
        if "class_path" in parts and rest.partition(".")[0] != "init_args":
            rest = f"init_args.{rest}"
        inner[name] = nested(parts | {rest: value})
    return inner


def yaml_value(option: str, text: str) -> Any:
    """The value that a text in YAML stands for.

    Args:
        option: The name of the option, for a message.
        text: The text.

    Raises:
        UsageError: the text is no YAML, or a part of it would be lost.
    """
    try:
        _refuse_odd_nodes(option, text)
        return jsonargparse.get_loader("yaml")(text)
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        reason = one_line(error)[:LONGEST_REASON]
        raise UsageError(f"{option}: {reason}") from error


def _refuse_odd_nodes(option: str, text: str) -> None:
    """Refuse a key that stands twice, since YAML would drop the first of them, and aliases
    that stand for too many values.
    """
    nodes = [yaml.compose(text, yaml.SafeLoader)]
    for number, node in enumerate(nodes):
        if number == MOST_VALUES:
            raise UsageError(f"{option}: it has more than {MOST_VALUES:,} values, or holds itself")
        if isinstance(node, yaml.SequenceNode):
            nodes += node.value
        elif isinstance(node, yaml.MappingNode):
            keys = Counter(str(key.value) for key, _ in node.value)
            for key, times in keys.items():
                if times > 1:
                    raise UsageError(f"{option}: {key} is given {times} times")
            nodes += [value for _, value in node.value]
