"""What the commands' own command lines have in common; ``fit.py`` alone has another parser."""

from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, NoReturn

from convblocks.atomic import atomic_write
from convblocks.errors import UsageError, UserError


class Parser(ArgumentParser):
    """Complains in one line, and leaves the exit to the caller.

    Options are not completed: a new option must not change what an old command line means.
    """

    def __init__(self) -> None:
        super().__init__(allow_abbrev=False)

    def error(self, message: str) -> NoReturn:
        raise UsageError(message)


def output_folder(path: Path) -> Path:
    """Make a folder that a command line names, where it is not there yet, or raise a UserError that says why not."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot write to {path}: {error.strerror}") from error
    return path


@contextmanager
def output_file(path: Path) -> Iterator[BinaryIO]:
    """Open a file that a command line names, as ``atomic_write`` does, or raise a UserError that says why not."""
    if not path.name:
        raise UserError(f"cannot write {path}: it is a folder")
    try:
        with atomic_write(path) as file:
            yield file
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}") from error
