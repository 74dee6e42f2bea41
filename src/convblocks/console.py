"""What every command does around its work: help without heavy imports, one-line errors, exit statuses.

Light itself, so that there is next to no time in which Ctrl-C finds nobody to take it.
"""

import atexit
import errno
import os
import signal
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from types import FrameType
from typing import NoReturn

from convblocks.errors import UsageError, UserError

INTERRUPTED = 130  # 128 + SIGINT, as shells report it

# What the system says of a disk that takes no more, and of a file or folder that is not as a command needs it. A user
# can mend all of them.
OF_DISKS = {errno.EDQUOT, errno.EFBIG, errno.EIO, errno.ENOSPC, errno.EROFS}
OF_FILES = OF_DISKS | {
    errno.EACCES,
    errno.EEXIST,
    errno.EISDIR,
    errno.ELOOP,
    errno.ENAMETOOLONG,
    errno.ENOENT,
    errno.ENOTDIR,
    errno.ENOTEMPTY,
    errno.EPERM,
}

Command = Callable[[list[str]], None]


def answer(command: Command | str, help_text: str) -> int:
    """Obey the command line of a script, or print its help, and return the exit status.

    The command may be named by the module of which it is ``main``: ``--help`` then answers without its imports.
    """

    def obey(arguments: list[str]) -> None:
        if "-h" in arguments or "--help" in arguments:
            print(help_text.strip())
            return
        # Within imports an exception is sometimes swallowed, and the command would go on; nothing is begun yet.
        heeds_ctrl_c = signal.getsignal(signal.SIGINT) is not signal.SIG_IGN  # a shell's background jobs do not
        if heeds_ctrl_c:
            signal.signal(signal.SIGINT, _leave)
        found: Command = import_module(command).main if isinstance(command, str) else command
        if heeds_ctrl_c:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        found(arguments)

    return status_of(obey, sys.argv[1:])


def status_of(command: Command, arguments: list[str]) -> int:
    """Call a command and return its exit status.

    0 for success, 2 for wrong usage, 1 for anything else the user can mend, 130 after Ctrl-C. Errors of the program
    itself keep their traceback.
    """
    # No command opens a window, and one whose backend is not there would be an error of matplotlib's.
    os.environ["MPLBACKEND"] = "agg"
    _see_to_the_streams()
    try:
        _check_current_folder()
        command(arguments)
        sys.stdout.flush()
    except UserError as error:
        if str(error):  # of several processes one speaks for all
            print_error(str(error))
        return error.exit_status
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # the reader of our output, head say, is gone
        return 1
    except OSError as error:
        if error.errno not in (OF_FILES if error.filename else OF_DISKS):
            raise
        print_error(f"{error.filename or 'cannot write the output'}: {error.strerror}")
        return 1
    finally:
        _drop_what_nobody_takes()
    return 0


def end(status: int) -> NoReturn:
    """End the process as Python does, but do not take its some 4,000 modules apart: a second and more.

    Where another program runs the script, a notebook or a profiler say, that one goes on.
    """
    frame: FrameType | None = sys._getframe(1)
    while frame and frame.f_globals.get("__name__") in ("__main__", "runpy"):
        frame = frame.f_back
    if frame:
        sys.exit(status)
    import threading  # slow to load

    try:
        threading._shutdown()  # type: ignore[attr-defined]  # waits for those that are no daemons
        atexit._run_exitfuncs()
    except KeyboardInterrupt:
        status = INTERRUPTED
    _drop_what_nobody_takes()
    os._exit(status)


def echo(line: str = "") -> None:
    """Print a line of what goes on; what is too long for a terminal is broken between words.

    Raises:
        UserError: the disk on which the output lies is full; no file of the command has to do with it.
    """
    _print(_fitted(line) if sys.stdout.isatty() else line)


def echo_command(words: Sequence[str], label: str = "") -> None:
    """Print a command to copy: behind a backslash goes on, in the next line, what does not fit into this one.

    Args:
        words: The command, as a shell takes it: of the first two none stands alone.
        label: What stands before it.

    Raises:
        UserError: the disk on which the output lies is full.
    """
    (opening, *others), indent = [" ".join(words[:2]), *words[2:]], " " * (len(label) + 4)
    lines = [f"{label}{opening}"]
    for left, word in zip(range(len(others) - 1, -1, -1), others, strict=True):
        if len(f"{lines[-1]} {word}") + (2 if left else 0) <= _width():
            lines[-1] += f" {word}"
        else:
            lines[-1] += " \\"
            lines.append(f"{indent}{word}")
    _print("\n".join(lines))


def print_error(message: str) -> None:
    """Print a line where errors go; in vain if nobody takes that either."""
    try:
        print(f"{os.path.basename(sys.argv[0])}: {message}", file=sys.stderr)  # noqa: PTH119  # pathlib is slow to load
    except OSError:
        _silence(sys.stderr.fileno())


def _print(text: str) -> None:
    try:
        print(text, flush=True)
    except OSError as error:
        if error.errno not in OF_DISKS:
            raise
        raise UserError(f"cannot write the output: {error.strerror}") from error


def _fitted(text: str) -> str:
    """Lines that are too long for the terminal, broken between words; a longer word, a path say, stays whole."""
    from textwrap import fill

    width = _width()
    return "\n".join(
        fill(line, width, break_long_words=False, break_on_hyphens=False) if len(line) > width else line
        for line in text.split("\n")
    )


def _width() -> int:
    """The columns of the terminal; 80 in a pipe, unless COLUMNS is set."""
    import shutil  # slow to load

    return shutil.get_terminal_size().columns


def _leave(number: int, frame: FrameType | None) -> None:
    os._exit(INTERRUPTED)


def _see_to_the_streams() -> None:
    """Make sure that all three streams are there, and take any text."""
    if None in (sys.stdin, sys.stdout, sys.stderr):
        # A closed one's number would be given to the next file that is opened, and our output would go there.
        while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
            pass
        os.close(descriptor)
        sys.stdout, sys.stderr = (
            stream or os.fdopen(number, "w") for number, stream in ((1, sys.stdout), (2, sys.stderr))
        )
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # not where a test or a notebook has put its own in place
            stream.reconfigure(errors="backslashreplace")


def _check_current_folder() -> None:
    try:
        os.getcwd()  # noqa: PTH109  # pathlib is slow to load
    except FileNotFoundError as error:
        raise UsageError("the current folder has been deleted: change to another one") from error


def _drop_what_nobody_takes() -> None:
    """Write what is in the buffers, or empty them: Python would try once more when it ends, and complain."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            _silence(stream.fileno())


def _silence(descriptor: int) -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), descriptor)
