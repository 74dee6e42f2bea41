"""What every page with numbers needs: its raw numbers, kept and read again, and pictures in both themes."""

from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from convblocks.atomic import write
from convblocks.errors import UserError
from convblocks.tables import as_json

Results = TypeVar("Results")

# Below --out: the raw numbers, and the pages.
DATA, PAGES = "data", "lab"


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
        return msgspec.json.decode(path.read_bytes(), type=kind, strict=False)  # reads "nan" as a number
    except (OSError, ValueError, RecursionError) as error:  # msgspec's own errors are ValueErrors
        reason = error.strerror if isinstance(error, OSError) else error
        raise UserError(f"cannot read {path} ({reason})") from error


def picture(path: str, description: str) -> str:
    """An image as GitHub shows it in light and in dark: ``path.png`` and ``path-dark.png``, relative to the page."""
    return (
        "<picture>\n"
        f'  <source media="(prefers-color-scheme: dark)" srcset="{path}-dark.png">\n'
        f'  <img alt="{description}" src="{path}.png">\n'
        "</picture>"
    )
