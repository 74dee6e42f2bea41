"""Parser and output files shared by all commands but ``fit``, which has a parser of its own."""

import os
import re
from argparse import SUPPRESS, ArgumentParser, ArgumentTypeError
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from difflib import SequenceMatcher
from pathlib import Path
from typing import BinaryIO, NoReturn

from convblocks.errors import UsageError, UserError
from convblocks.files import atomic_write

# The beginning of argparse's and jsonargparse's message for unknown options.
UNKNOWN = "unrecognized arguments: "

# The least similarity for a suggestion: --lrate and --lr have it.
ALIKE = 0.57

# The factor on the similarity if only one of the two options has a group.
WITHOUT_ITS_GROUP = 0.9


class Parser(ArgumentParser):
    """Raises a one-line UsageError instead of exiting.

    Options cannot be abbreviated: a new option must not change the meaning of an old command line.
    """

    def __init__(self) -> None:
        super().__init__(allow_abbrev=False)

    def error(self, message: str) -> NoReturn:
        raise UsageError(with_suggestion(message, options_of(self)))


def options_of(parser: ArgumentParser) -> list[str]:
    """The options in a parser's help, without their dashes."""
    shown = [option for action in parser._actions if action.help != SUPPRESS for option in action.option_strings]
    return [option.removeprefix("--") for option in shown if option.startswith("--")]


def with_suggestion(message: str, options: Iterable[str]) -> str:
    """A parser's error message; if it is about unknown options, with a suggestion for the first of them."""
    if not message.startswith(UNKNOWN):
        return message
    unknown = next((word for word in message.split() if word.startswith("--")), "").partition("=")[0].removeprefix("--")
    likeness, _, nearest = max((_likeness(unknown, option), -len(option), option) for option in options)
    return f"{message}: did you mean --{nearest}?" if likeness >= ALIKE else message


def _likeness(unknown: str, option: str) -> float:
    """Similarity from 0 to 1 of the parts after the group, as in ``trainer.max_steps``, unless the groups differ."""
    (group, _, name), (own_group, _, own_name) = unknown.rpartition("."), option.rpartition(".")
    if own_name == "".join(part[:1] for part in re.split("[-_]", name)):
        return 1.0  # --learning_rate is --lr
    if group and own_group and group != own_group:
        return SequenceMatcher(None, unknown, option).ratio()
    return SequenceMatcher(None, name, own_name).ratio() * (1 if group == own_group else WITHOUT_ITS_GROUP)


def output_folder(path: Path) -> Path:
    """Create a folder given on the command line if it does not exist, or raise a UserError that says why not."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot write to {path}: {error.strerror}") from error
    return path


# Folders of a data root with its files.
DATA_FOLDERS = {"train", "test", "raw"}


def refuse_to_overwrite(path: Path, read: Iterable[Path]) -> None:
    """Raise a UsageError if a file given on the command line is one that the command reads, or no regular file.

    Args:
        path: The file.
        read: Files, and data roots.
    """
    exists = os.path.exists(path)  # noqa: PTH110  # at a name that is too long Path.exists raises
    if exists and not (path.is_file() or path.is_dir()):
        raise UsageError(f"cannot write {path}: it is not a regular file")
    own = Path(os.path.realpath(path))  # at a link to itself Path.resolve raises
    for one in (Path(os.path.realpath(one)) for one in read):
        below = set(own.relative_to(one).parts[:-1]) if one in own.parents else set()
        if own == one or (exists and (below & DATA_FOLDERS or (one in own.parents and "ubyte" in own.name))):
            raise UsageError(f"{path} is read by this command, and would be overwritten: give another name")


@contextmanager
def output_file(path: Path) -> Iterator[BinaryIO]:
    """Like ``atomic_write`` for a file given on the command line, with a UserError that says why it failed."""
    if not path.name:
        raise UserError(f"cannot write {path}: it is a folder")
    try:
        with atomic_write(path) as file:
            yield file
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}") from error


def at_least(least: int) -> Callable[[str], int]:
    """The type of an option that is a number."""

    def number(text: str) -> int:
        if int(text) < least:
            raise ArgumentTypeError(f"must be at least {least}, but is {text}")
        return int(text)

    return number
