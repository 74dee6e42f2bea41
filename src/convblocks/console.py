"""What every command does around its work: help without heavy imports, one-line errors, exit statuses."""

import os
import sys
from argparse import ArgumentParser
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, NoReturn

from convblocks.atomic import atomic_write
from convblocks.errors import UsageError, UserError

INTERRUPTED = 130  # 128 + SIGINT, as shells report it

Command = Callable[[list[str]], None]


class Parser(ArgumentParser):
    """Complains in one line, and leaves the exit to the caller.

    Options are not completed: a new option must not change what an old command line means.
    """

    def __init__(self) -> None:
        super().__init__(allow_abbrev=False)

    def error(self, message: str) -> NoReturn:
        raise UsageError(message)


@contextmanager
def output_file(path: Path) -> Iterator[BinaryIO]:
    """Open a file that a command line names, as ``atomic_write`` does, or raise a UserError that says why not."""
    try:
        with atomic_write(path) as file:
            yield file
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}") from error


def answer(command: Command, help_text: str) -> int:
    """Obey the command line of a script, or print its help, and return the exit status.

    A script's command does its imports when it is called, so that ``--help`` answers at once.
    """
    arguments = sys.argv[1:]
    if "-h" in arguments or "--help" in arguments:
        print(help_text.strip())
        return 0
    return status_of(command, arguments)


def status_of(command: Command, arguments: list[str]) -> int:
    """Call a command and return its exit status.

    0 for success, 2 for wrong usage, 1 for anything else the user can mend, 130 after Ctrl-C. Errors of the program
    itself keep their traceback.
    """
    try:
        command(arguments)
        sys.stdout.flush()
    except UserError as error:
        if str(error):  # of several processes one speaks for all
            print(f"{Path(sys.argv[0]).name}: {error}", file=sys.stderr)
        return error.exit_status
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # The reader of our output, head say, is gone; so is the place to complain. Python would complain once more
        # when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return 0
