"""Errors that are not bugs: shown to the user as one line, without a traceback."""

from collections.abc import Iterable
from difflib import get_close_matches

from exact_resume.errors import ResumeError


def printable(text: str, allowed: str = "") -> str:
    """The text on one line, with control characters as escapes unless allowed: they
    could command a terminal.
    """
    return "".join(
        char if char.isprintable() or char in allowed else char.encode("unicode_escape").decode()
        for char in text
    )


def one_line(error: object) -> str:
    """The message of an error without its line breaks."""
    return " ".join(str(error).split())


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """``: did you mean NAME?``, with the name that is most like a word; "" if none is."""
    nearest = "".join(get_close_matches(word, [*known], n=1))
    return f": did you mean {nearest}?" if nearest else ""


class UserError(ResumeError):
    """Something the user can fix; the message says what is wrong and what to do."""


class UsageError(UserError):
    """An invalid command line or config."""

    exit_status = 2


class NotImportedError(UsageError):
    """The name of a class whose module is not imported."""


class BusyError(UserError):
    """Another process is working on the same directory."""


class DataError(UserError):
    """A data set that is missing, damaged or in an unsupported format."""


class NotFiniteError(UserError):
    """Weights or outputs of a network that are infinite or nan."""
