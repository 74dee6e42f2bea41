"""What the commands' own command lines have in common; ``fit.py`` alone has another parser."""

from argparse import SUPPRESS, ArgumentParser
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from difflib import SequenceMatcher
from pathlib import Path
from typing import BinaryIO, NoReturn

from convblocks.atomic import atomic_write
from convblocks.errors import UsageError, UserError

# How argparse and jsonargparse begin to complain of options that there are not.
UNKNOWN = "unrecognized arguments: "

# How alike an option must be to one that there is, for that to be meant: --lrate and --lr are.
ALIKE = 0.57

# How much less alike is what has a group and what has none.
WITHOUT_ITS_GROUP = 0.9


class Parser(ArgumentParser):
    """Complains in one line, and leaves the exit to the caller.

    Options are not completed: a new option must not change what an old command line means.
    """

    def __init__(self) -> None:
        super().__init__(allow_abbrev=False)

    def error(self, message: str) -> NoReturn:
        raise UsageError(with_suggestion(message, options_of(self)))


def options_of(parser: ArgumentParser) -> list[str]:
    """The options that a parser tells of, without their dashes."""
    told = [option for action in parser._actions if action.help != SUPPRESS for option in action.option_strings]
    return [option.removeprefix("--") for option in told if option.startswith("--")]


def with_suggestion(message: str, options: Iterable[str]) -> str:
    """A complaint of unknown options, with what was perhaps meant by the first of them; any other as it is."""
    if not message.startswith(UNKNOWN):
        return message
    unknown = next((word for word in message.split() if word.startswith("--")), "").partition("=")[0].removeprefix("--")
    likeness, _, nearest = max((_likeness(unknown, option), -len(option), option) for option in options)
    return f"{message}: did you mean --{nearest}?" if likeness >= ALIKE else message


def _likeness(unknown: str, option: str) -> float:
    """From 0 to 1, by what follows the group, as in ``trainer.max_steps``, unless the groups differ."""
    (group, _, name), (own_group, _, own_name) = unknown.rpartition("."), option.rpartition(".")
    if group and own_group and group != own_group:
        return SequenceMatcher(None, unknown, option).ratio()
    return SequenceMatcher(None, name, own_name).ratio() * (1 if group == own_group else WITHOUT_ITS_GROUP)


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
