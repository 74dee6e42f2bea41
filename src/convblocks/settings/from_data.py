"""Asks the data for arguments that a model demands and nobody gives, such as the number of
classes.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from yaml import YAMLError

from convblocks.errors import UsageError
from convblocks.text import Settings, as_plain, as_yaml


def given_by_data(missing: Sequence[str], make_data: Callable[[], Any]) -> Settings:
    """The values of missing options, by full names: attributes of the data, which are set up
    if they do not have all of them before.

    Raises:
        UsageError: an option is not one of the model, or the data have no such attribute, or
            cannot be set up without a Trainer.
    """
    for option in missing:
        if not option.startswith("model."):
            raise UsageError(f"--{option} is required: its class has no default for it")
    data = make_data()
    names = [option.removeprefix("model.") for option in missing]
    reason = "there are no --data that could have an attribute of this name"
    found: Settings = {}
    if data is not None:
        reason = "the data no attribute of this name that is a number, text or a list"
        found = _found_in(data, names)
    for name in names:
        if name not in found:
            raise UsageError(
                f"--model.{name} is required: the model has no default for it, and {reason}"
            )
    return {f"model.{name}": found[name] for name in names}


def _found_in(data: Any, names: Sequence[str]) -> Settings:
    """The attributes of data that have these names, in plain values. The data are set up if
    they do not have all of them before.
    """
    found = _plain_attributes(data, names)
    if len(found) == len(names):
        return found
    try:
        data.prepare_data()
        data.setup("fit")
    except Exception as error:  # a user's code may raise any
        raise UsageError(
            f"give --model.{names[0]}: the setup of the data, which may know it, "
            f"fails without a Trainer: {error!r}"
        ) from error
    return _plain_attributes(data, names) | found


def _plain_attributes(owner: Any, names: Sequence[str]) -> Settings:
    """The attributes of these names that exist and can be written in YAML."""
    plain = {}
    for name in names:
        value = as_plain(getattr(owner, name, None), _as_number)
        with suppress(YAMLError):
            as_yaml({name: value})
            if value is not None:
                plain[name] = value
    return plain


def _as_number(value: Any) -> Any:
    """A number of NumPy or torch as one of Python's."""
    return value.item() if getattr(value, "ndim", None) == 0 else value
