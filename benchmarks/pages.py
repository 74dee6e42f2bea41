"""What every page with numbers needs: its raw numbers, kept and read again, and pictures in both themes."""

import json
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from convblocks.atomic import write
from convblocks.errors import UserError
from convblocks.tables import as_json

Results = TypeVar("Results")

# Beside the pages.
DATA = "data"


def write_raw_numbers(folder: Path, name: str, results: Any) -> None:
    """Write a dataclass of results to ``<name>.json``."""
    folder.mkdir(parents=True, exist_ok=True)
    write(folder / f"{name}.json", as_json(asdict(results), indent=1) + "\n")


def read_raw_numbers(folder: Path, name: str, kind: type[Results]) -> Results:
    """The results, of that dataclass, that ``write_raw_numbers`` has written.

    Raises:
        UserError: the file is missing or damaged, or of something else.
    """
    path = folder / f"{name}.json"
    try:
        results: Results = _restored(kind, json.loads(path.read_text()))
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise UserError(f"cannot read {path} ({reason})") from error
    return results


def picture(path: str, description: str) -> str:
    """An image as GitHub shows it in light and in dark: ``path.png`` and ``path-dark.png``, relative to the page."""
    return (
        "<picture>\n"
        f'  <source media="(prefers-color-scheme: dark)" srcset="{path}-dark.png">\n'
        f'  <img alt="{description}" src="{path}.png">\n'
        "</picture>"
    )


def _restored(kind: Any, value: Any) -> Any:
    """What ``asdict`` made into plain values: dataclasses, and lists of them."""
    if is_dataclass(kind):
        hints = get_type_hints(kind)
        return kind(**{name: _restored(hints[name], one) for name, one in value.items()})  # type: ignore[operator]  # not an instance
    if get_origin(kind) is list:
        (inner,) = get_args(kind)
        return [_restored(inner, one) for one in value]
    return value
