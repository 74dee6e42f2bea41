"""Errors that are not bugs: shown to the user as one line, without a traceback."""

from collections.abc import Sequence


def listed(words: Sequence[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    parts = [", ".join(words[:-1]), *words[-1:]]
    return " and ".join(filter(None, parts))


class ResumeError(Exception):
    """An error that the user can fix; the message says what is wrong and what to do.

    The message is empty where another process reports the error: then a program prints
    nothing, and ends with ``exit_status``.
    """

    exit_status = 1


class NotRepeated(ResumeError):  # noqa: N818  # as the one below
    """A resume within an epoch cannot be exact, since its loaders do not give again the
    batches that they gave; a resume from the end of the epoch before is exact.

    Args:
        reason: Why the loaders do not.
        way_back: What to do.
    """

    def __init__(self, reason: str = "", way_back: str = "") -> None:
        super().__init__(": ".join(filter(None, (reason, way_back))))
        self.reason = reason


class ReadingStopped(Exception):  # noqa: N818  # not an error
    """A signal came while a resume was reading batches again.

    Args:
        number: The number of the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


class Stopped(ResumeError):  # noqa: N818  # not really an error
    """A signal asked the training to stop, and it has saved its state."""

    def __init__(self, number: int, message: str) -> None:
        super().__init__(message)
        self.exit_status = 128 + number  # as shells report a process that a signal ended

    def _render_traceback_(self) -> list[str]:
        """Called by IPython for the lines to show in place of a traceback."""
        return [str(self)]
