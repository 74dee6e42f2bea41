"""Settings in plain values, of which a run's file is made: they read back as they are."""

import sys
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from enum import Enum
from typing import Any

import numpy as np
from jsonargparse import Namespace
from yaml import YAMLError

from convblocks.errors import UsageError
from convblocks.settings.parser import SECTIONS, FitParser
from convblocks.settings.words import yaml_value
from convblocks.text import Settings, as_plain, as_yaml
from convblocks.wings import GROUPS


def plain_settings(
    parser: FitParser,
    parsed: Namespace,
    names: Mapping[str, str],
    typed: Settings | None = None,
    with_unset: bool = False,
) -> Settings:
    """Everything that determines a run's results, without what is None by default. None
    stays for a parameter that has no default.

    A default that no plain value stands for is left out: the class has it on a resume
    too.

    Args:
        parser: The one that reads them.
        parsed: All values in the types of the signatures.
        names: Those of the classes of ``model`` and ``data``.
        typed: What a person has given, by dotted names, which is saved where the plain
            form of its value does not read back.
        with_unset: Also what is None by default.

    Raises:
        UsageError: neither does.
    """

    def kept(values: Settings, defaults: Namespace, demanded: Collection[str] = ()) -> Settings:
        # in the parser's order, wherever they were given
        return {
            name: values[name]
            for name, usual in vars(defaults).items()
            if name in values
            and (with_unset or name in demanded or not (values[name] is None and usual is None))
        }

    values, defaults = as_plain(parsed.as_dict(), _plain), parser.usual
    settings: Settings = {}
    for group, name in names.items():
        # a class without parameters has no group
        demanded = parser.demanded if group == "model" else ()
        arguments = kept(values[group], defaults[group], demanded) if group in values else {}
        settings[group] = {"class_path": name, "init_args": arguments}
    saved = "judge", "seed", "threads", *SECTIONS, "from_data"
    # The options of some models lack the last ones.
    options = {option: values[option] for option in saved if option in values}
    trainer = kept(values["trainer"], defaults.trainer)
    trainer.pop("default_root_dir", None)
    settings |= kept(options, defaults) | {"trainer": trainer}
    if not _reads_back(parser, settings, parsed):
        for group in [*names, "trainer"]:
            arguments = settings[group].get("init_args", settings[group])
            for option in [*arguments]:
                _mend(parser, parsed, f"{group}.{option}", arguments, typed or {})
    return settings


def _mend(
    parser: FitParser, parsed: Namespace, option: str, arguments: Settings, typed: Settings
) -> None:
    """Let one of a group's arguments read back, or leave it out."""
    group, name = option.split(".", 1)
    value, usual = parsed[group][name], parser.usual[group][name]
    for plain in _candidates(arguments[name], typed.get(option)):
        with suppress(UsageError, YAMLError):
            as_yaml({name: plain})
            if is_same(_read(parser, parsed, group, name, plain), value):
                arguments[name] = plain
                return
    if not is_same(value, usual):
        raise UsageError(
            f"--{option}: {str(value)[:80]} could not be saved so that a resume reads it again: "
            "give a number, text, or a class with its arguments"
        )
    del arguments[name]


def _candidates(plain: Any, typed: Any) -> Iterator[Any]:
    yield plain
    if typed is not None:
        yield typed
    if isinstance(typed, str):
        with suppress(UsageError):
            yield yaml_value("", typed)


def _read(parser: FitParser, parsed: Namespace, group: str, name: str, plain: Any) -> Any:
    """What a plain value of an argument is read as."""
    # With no defaults, which their own types may refuse.
    others: Any = Namespace()  # type: ignore[no-untyped-call]
    for option, value in parsed.items():
        if option != f"{group}.{name}" and not is_same(value, parser.usual.get(option)):
            others[option] = value
    chosen = {group: {name: plain}}
    return parser.parse_object(chosen, namespace=others, defaults=False)[group][name]


def _reads_back(parser: FitParser, settings: Settings, parsed: Namespace) -> bool:
    # YAML has no text for some values.
    with suppress(UsageError, YAMLError):
        again = parser.read(settings)
        groups = [group for group in GROUPS if group in parsed]
        return all(
            is_same(again[group].get(name), value)
            for group in groups
            for name, value in vars(parsed[group]).items()
            if f"{group}.{name}" != "trainer.default_root_dir"
        )
    return False


def is_same(left: Any, right: Any) -> bool:
    """Whether two values are of one type and equal: nan is nan, and a list no tuple."""
    if type(left) is not type(right):
        return False
    if isinstance(left, Namespace):
        return is_same(vars(left), vars(right))
    if isinstance(left, Mapping):
        return left.keys() == right.keys() and all(is_same(left[key], right[key]) for key in left)
    if isinstance(left, list | tuple):
        return len(left) == len(right) and all(map(is_same, left, right))
    if left is right:
        return True
    try:
        return bool(left == right) or bool(left != left and right != right)
    except Exception:  # of a type that we do not know, such as an array
        return False


def _plain(value: Any) -> Any:
    """A parsed value as jsonargparse reads it."""
    if isinstance(value, Enum):
        return value.name
    name = getattr(value, "__name__", "")
    # a function or class
    if name and getattr(sys.modules.get(value.__module__), name, None) is value:
        return f"{value.__module__}.{name}"
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, str | int | float | None):
        return value
    return str(value)
