"""What the commands other than fit.py share of their command lines."""

from argparse import ArgumentParser
from typing import NoReturn

from convblocks.errors import UsageError


class Parser(ArgumentParser):
    """Complains in one line, and leaves the exit to the caller.

    Options are not completed: a new option must not change what an old command line means.
    """

    def __init__(self) -> None:
        super().__init__(allow_abbrev=False)

    def error(self, message: str) -> NoReturn:
        raise UsageError(message)
