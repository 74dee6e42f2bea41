"""Errors that are not bugs: shown to the user as one line, without a traceback."""

from collections.abc import Sequence


def listed(words: Sequence[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    parts = [", ".join(words[:-1]), *words[-1:]]
    return " and ".join(filter(None, parts))


class ResumeError(Exception):
    """Something the user can fix; the message says what is wrong and what to do.

    With an empty message another process reports the error: print nothing, use
    ``exit_status`` only.
    """

    exit_status = 1


class Stopped(ResumeError):  # noqa: N818  # not really an error
    """A signal asked the training to stop, and it has saved its state."""

    def __init__(self, number: int, message: str) -> None:
        super().__init__(message)
        self.exit_status = 128 + number  # as shells report a process that a signal ended

    def _render_traceback_(self) -> list[str]:
        """What IPython shows instead of a traceback."""
        return [str(self)]
