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
        UserError: it is damaged, and the message ends with the hint; or it is of an older version.
    """
    try:
        return msgspec.json.decode(text, type=RunResult, strict=False)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        if _is_of_an_older_version(text):
            raise UserError(
                f"{path} was written by an older version of convblocks: train its runs again, or read it with that one"
            ) from error
        raise UserError(f"cannot read {path} ({error}): {hint}") from error


def _is_of_an_older_version(text: str | bytes) -> bool:
    """Whether it is a result, but without ``facts``."""
    try:
        found = msgspec.json.decode(text)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return False
    return isinstance(found, dict) and "arch" in found and "facts" not in found
