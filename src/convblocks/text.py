"""Values as text: counts, shares, CSV, YAML, JSON."""

import csv
import io
import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import yaml

from exact_resume.errors import listed as listed

# Options and their values; the arguments of model, data and Trainer in groups.
Settings = dict[str, Any]


def as_shown(path: Path) -> str:
    """A path relative to the current folder if it lies there, otherwise as given."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


def counted(count: int, noun: str) -> str:
    """``1 epoch``, ``2 epochs``."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def percent(accuracy: float) -> str:
    return f"{100 * accuracy:.2f} %"


def as_csv(rows: Sequence[Mapping[str, Any]], first_columns: Sequence[str] = ()) -> str:
    """Rows as CSV text, with a column for each of ``first_columns`` and every key of any row."""
    columns = list(dict.fromkeys(chain(first_columns, *rows)))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


class _Dumper(yaml.SafeDumper):
    """Quotes text such as 1e3, which jsonargparse reads as a number, as YAML 1.2 does,
    but PyYAML does not.
    """


_Dumper.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?[\d.]+[eE][-+]?\d+$"), list("-+.0123456789")
)


def as_yaml(settings: Settings) -> str:
    """Settings as YAML, in their order."""
    return yaml.dump(settings, Dumper=_Dumper, sort_keys=False)


def as_json(value: Any, indent: int | None = 2) -> str:
    """A value as JSON text, which has no number for infinity and nan: they become
    ``"inf"`` and ``"nan"``.
    """
    return json.dumps(as_plain(value, _finite), indent=indent, allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value


def as_plain(value: Any, change: Callable[[Any], Any] = lambda leaf: leaf) -> Any:
    """Nested dicts and lists, from mappings, lists and tuples, with each key and value in
    them changed.
    """
    if isinstance(value, Mapping):
        return {change(key): as_plain(part, change) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [as_plain(part, change) for part in value]
    return change(value)


def as_list(value: Any) -> list[Any]:
    """A list, from an option that may be a list, a single value or None."""
    if value is None:
        return []
    return list(value) if isinstance(value, list | tuple) else [value]


def flatten(nested: Settings, prefix: str = "") -> Settings:
    """Nested settings as one level of dotted options: ``{"trainer": {"max_epochs":
    1}}`` as ``trainer.max_epochs``.

    A class is a value, and its arguments stand below it: ``{"model": {"class_path":
    "a.B", "init_args": {"lr": 1}}}`` as ``model`` and ``model.lr``.
    """
    flat = {}
    for option, value in nested.items():
        if option == "class_path" and prefix:
            flat[prefix.removesuffix(".")] = value
        elif isinstance(value, dict):
            flat |= flatten(value, prefix if option == "init_args" else f"{prefix}{option}.")
        else:
            flat[f"{prefix}{option}"] = value
    return flat
