"""What goes wrong through no fault of the code: shown to the user as one line, without a traceback."""


class UserError(Exception):
    """Something the user can mend; the message says what is wrong and what to do."""

    exit_status: int = 1


class UsageError(UserError):
    """A command line or a config that cannot be obeyed."""

    exit_status = 2


class BusyError(UserError):
    """Another process is working on the same directory."""


class DataError(UserError):
    """A data set that is missing, damaged or not in a format that is read."""


class NotFiniteError(UserError):
    """Weights or answers of a network that are infinite or nan."""


class Stopped(UserError):  # noqa: N818  # not an error of anybody
    """A signal asked the run to stop, and it has saved where it is."""

    def __init__(self, number: int, message: str) -> None:
        super().__init__(message)
        self.exit_status = 128 + number  # as shells report a process that a signal ended
