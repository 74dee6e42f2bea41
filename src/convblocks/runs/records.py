"""Results in files: a run's ``summary.json``, and lines of the records in ``docs/data/``."""

from collections.abc import Sequence
from pathlib import Path

import msgspec

from convblocks.atomic import write
from convblocks.errors import UserError
from convblocks.runs.result import RunResult
from convblocks.tables import as_json


def encode(result: RunResult, indent: int | None = None) -> str:
    """A result as one JSON text; numbers that are not finite are ``"nan"`` and ``"inf"``."""
    return as_json(msgspec.to_builtins(result), indent) + "\n"


def decode(text: str | bytes, path: Path, hint: str) -> RunResult:
    """The result that ``encode`` has written.

    Raises:
        UserError: it is damaged; the message ends with the hint.
    """
    try:
        return msgspec.json.decode(text, type=RunResult, strict=False)
    except (msgspec.MsgspecError, ValueError, UserError, RecursionError) as error:
        raise UserError(f"cannot read {path} ({error}): {hint}") from error


def write_results(path: Path, results: Sequence[RunResult]) -> None:
    """Write results as JSON Lines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write(path, "".join(map(encode, results)))


def read_results(path: Path) -> list[RunResult]:
    """The results that ``write_results`` has written.

    Raises:
        UserError: the file is missing or damaged.
    """
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise UserError(f"cannot read {path} ({error.strerror})") from error
    if not lines:
        raise UserError(f"cannot read {path} (it is empty)")
    hint = "write it again with docs/train.py"
    return [decode(line, path, f"line {number}: {hint}") for number, line in enumerate(lines, start=1)]
