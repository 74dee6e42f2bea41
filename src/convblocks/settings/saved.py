"""Makes the settings that ``config.yaml`` saves: plain values, which jsonargparse reads as
the same again.
"""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cache, reduce
from operator import getitem
from types import MappingProxyType
from typing import Any

from jsonargparse import Namespace
from yaml import YAMLError

from convblocks.errors import UsageError
from convblocks.settings.parser import SECTIONS, FitParser
from convblocks.settings.words import yaml_value
from convblocks.text import Settings, as_plain, as_yaml
from convblocks.wings import GROUPS

# The settings that determine a run's results, beside the arguments of model, data and Trainer.
OTHERS = ("judge", "seed", "threads", *SECTIONS)

NOTHING: Mapping[str, Any] = MappingProxyType({})


def saved_settings(
    parser: FitParser, parsed: Namespace, given: Mapping[str, Any] = NOTHING
) -> Settings:
    """Everything that determines a run's results, in plain values by full names, in the
    parser's order.

    What is None by default is left out, unless the parameter demands a value; so is a
    default that no plain value stands for: the class has it on a resume too.

    Args:
        parser: The parser that has read them.
        parsed: The settings that are given, in the types of the signatures.
        given: The same settings as a person gave them, by full names: saved where
            jsonargparse cannot read again what it writes.

    Raises:
        UsageError: a value can be saved in neither form.
    """
    defaults = _settings_in(parser.all_defaults)
    changed = {
        option: value
        for option, value in _settings_in(parsed).items()
        if option in parser.required or not is_same(value, defaults[option])
    }
    saved = plain_defaults(parser) | _plain(parser, changed, given)
    # copies, since the defaults are those of every run
    return {option: as_plain(saved[option]) for option in defaults if option in saved}


def as_config(names: Mapping[str, str], saved: Settings, from_data: Sequence[str]) -> Settings:
    """Saved settings by full names in the form of ``config.yaml``, which is LightningCLI's.

    Args:
        names: The names of the classes of ``model`` and ``data``.
        saved: The settings, as of ``saved_settings``.
        from_data: The arguments of the model that its data have given.
    """
    groups: dict[str, Settings] = {group: {} for group in (*names, "trainer")}
    others = {}
    for option, value in saved.items():
        group, dot, argument = option.partition(".")
        if dot:
            groups[group][argument] = value
        else:
            others[option] = value
    parts = {
        group: {"class_path": name, "init_args": groups[group]} for group, name in names.items()
    }
    if from_data:
        others["from_data"] = from_data
    return parts | others | {"trainer": groups["trainer"]}


@cache
def plain_defaults(parser: FitParser) -> Settings:
    """The defaults for which plain values stand, by full names."""
    defaults = _settings_in(parser.all_defaults)
    values = {option: value for option, value in defaults.items() if value is not None}
    with suppress(UsageError):
        return _plain(parser, values)
    plain: Settings = {}
    for option, value in values.items():
        with suppress(UsageError):
            plain |= _plain(parser, {option: value})
    return plain


def _settings_in(values: Namespace) -> Settings:
    """The values of a parser that determine a run's results, by full names."""
    settings: Settings = {}
    for name, value in vars(values).items():
        if name in GROUPS:
            settings |= {f"{name}.{argument}": part for argument, part in vars(value).items()}
        elif name in OTHERS:
            settings[name] = value
    settings.pop("trainer.default_root_dir", None)
    return settings


def _plain(parser: FitParser, values: Settings, given: Mapping[str, Any] = NOTHING) -> Settings:
    """Plain values that the parser reads as these values again.

    Raises:
        UsageError: there are none for one of the values.
    """
    if not values:
        return {}
    for plain in _candidates(parser, values, given):
        with suppress(UsageError, YAMLError):
            as_yaml(plain)
            again = parser.read(plain)
            if all(is_same(again[option], value) for option, value in values.items()):
                return plain
    if len(values) > 1:
        each = [_plain(parser, {option: value}, given) for option, value in values.items()]
        return {option: value for plain in each for option, value in plain.items()}
    ((option, value),) = values.items()
    raise UsageError(
        f"--{option}: {str(value)[:80]} cannot be saved in a form that a resume could read: "
        "give a number, text, or a class with its arguments"
    )


def _candidates(
    parser: FitParser, values: Settings, given: Mapping[str, Any]
) -> Iterator[Settings]:
    with suppress(ValueError, Warning, YAMLError, UsageError):
        yield _written(parser, values)
    if given.keys() >= values.keys():
        typed = {option: given[option] for option in values}
        yield typed
        with suppress(UsageError):
            yield {
                option: yaml_value("", value) if isinstance(value, str) else value
                for option, value in typed.items()
            }


def _written(parser: FitParser, values: Settings) -> Settings:
    """The values as jsonargparse writes them; values that are plain already are left so."""
    objects = {option: value for option, value in values.items() if not _is_plain(value)}
    if not objects:
        return values
    holder: Any = Namespace()  # type: ignore[no-untyped-call]
    for option, value in objects.items():
        holder[option] = value
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # jsonargparse warns of what it cannot write
        text = parser.dump(holder, skip_unset=False, skip_validation=True)
    content = yaml_value("", text)
    return values | {option: reduce(getitem, option.split("."), content) for option in objects}


def _is_plain(value: Any) -> bool:
    if isinstance(value, dict):
        return all(map(_is_plain, [*value, *value.values()]))
    if isinstance(value, list):
        return all(map(_is_plain, value))
    return type(value) in (str, int, float, bool, type(None))


def is_same(left: Any, right: Any) -> bool:
    """True if two values have the same type and are equal. Here nan equals nan, and a list
    does not equal a tuple.
    """
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
    except Exception:  # values of other types, such as arrays, may have no single answer
        return False
