"""A result as JSON, in a run's ``summary.json`` and in files of many results."""

from pathlib import Path

import msgspec

from convblocks.errors import UserError
from convblocks.run.result import RunResult
from convblocks.text import as_json


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
