"""The options that name a class with its arguments, on a command line and in configs:
``--optimizer SGD --optimizer.momentum 0.9``.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from convblocks.errors import UsageError
from convblocks.model.class_specs import ClassSpec
from convblocks.settings.words import Words, is_class_name, yaml_value
from convblocks.text import Settings


def take_specs(specs: Mapping[str, ClassSpec | None], settings: Settings, words: Words) -> Words:
    """Give settings the class specs that hold: those of configs, changed by the command
    line, whose other words are returned.

    Args:
        specs: The options that take class specs, by full names, with their defaults. One
            without a default is a section, which stands beside the groups: ``optimizer``.
        settings: The settings of configs, by full names; those of these options are changed.
        words: The command line, as of ``full_words``.

    Raises:
        UsageError: an option's value is no class spec.
    """
    others = []
    of_words: dict[str, Settings] = {spec: {} for spec in specs}
    for word in words:
        option, *values = word
        spec, argument = _place(option.removeprefix("--"), specs)
        if spec and values:
            where = f"{option} {values[0][:80]}"
            of_words[spec][argument] = yaml_value(where, values[0]) if argument else values[0]
        else:
            others.append(word)
    for spec, default in specs.items():
        there = settings.pop(spec, default)
        inner = [name for name in settings if _place(name, [spec])[0]]
        of_configs = {_place(name, [spec])[1]: settings.pop(name) for name in inner}
        changes = [of_configs, of_words[spec]]
        # unless it is a section that nobody gives
        if [default, there, *changes] != [None, None, {}, {}]:
            name = spec.removeprefix("model.")
            settings[name if default is None else spec] = _class_spec(name, there, changes)
    return others


def _place(name: str, specs: Mapping[str, Any] | Sequence[str]) -> tuple[str, str]:
    """The option of a class spec that a full name belongs to, and the argument, "" for the
    class itself; two empty texts for other names.
    """
    for spec in specs:
        if f"{name}.".startswith(f"{spec}."):
            argument = name[len(spec) + 1 :]
            return spec, "" if argument == "class_path" else argument.removeprefix("init_args.")
    return "", ""


def _class_spec(name: str, spec: Any, changes: Sequence[Settings]) -> ClassSpec:
    """A class spec, changed by dotted keys of a config, and by the command line: values
    of arguments and, by the name "", another class, which drops the arguments that were
    there.
    """
    parts = spec if isinstance(spec, dict) else {"class_path": spec}
    arguments = parts.get("init_args") or {}
    known = {"class_path", "init_args"}
    is_spec = isinstance(arguments, dict) and parts.keys() | {"init_args"} == known
    if not is_spec:
        parts, arguments = {"class_path": None}, {}
    class_path = parts["class_path"]
    for given in changes:
        if "" in given:
            class_path, arguments = given.pop(""), {}
        arguments = arguments | given
    if not (isinstance(class_path, str) and class_path):
        raise UsageError(f"--{name} must be a name, or a class_path with init_args")
    return {"class_path": class_path, "init_args": arguments} if arguments else class_path


def take_other_classes(config: Settings, words: Words) -> Words:
    """Give a config the other classes that words name in place of its own, with their
    defaults; returns the other words.

    jsonargparse would drop the arguments of the classes before, and add no defaults.
    """
    others = []
    for word in words:
        option, *values = word
        *path, name = option.removeprefix("--").split(".")
        part = _part_at(path, config)
        before: Any = part.get(name)
        is_class = isinstance(before, dict) and "class_path" in before
        text = "".join(values)
        # one that is the same may have its short name
        if is_class and is_class_name(text) and not f".{before['class_path']}".endswith(f".{text}"):
            part[name] = {"class_path": text}
        else:
            others.append(word)
    return others


def _part_at(path: Sequence[str], config: Settings) -> Settings:
    """The settings at a dotted option, of a class its arguments; empty if there are none."""
    part: Any = config
    for key in path:
        part = part.get(key) if isinstance(part, dict) else None
        part = part.get("init_args", part) if isinstance(part, dict) else None
    return part if isinstance(part, dict) else {}
