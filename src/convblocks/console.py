"""Entry point shared by all commands: help, one-line errors and exit statuses.

Imports little, so that Ctrl-C is handled almost from the start.
"""

import atexit
import errno
import gc
import os
import shlex
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from types import FrameType
from typing import NamedTuple, NoReturn

from convblocks.errors import UsageError, UserError, printable

INTERRUPTED = 130  # 128 + SIGINT, as shells report it

# Errors that a user can fix: a disk that cannot be written to, and a file or folder that is missing or in the way.
DISK_ERRORS = {errno.EDQUOT, errno.EFBIG, errno.EIO, errno.ENOSPC, errno.EROFS}
FILE_ERRORS = DISK_ERRORS | {
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


# Where a clone of the repository has the commands' scripts.
SCRIPTS = os.path.realpath(os.path.join(os.path.dirname(__file__), "..", "..", "scripts"))

# The command that this process runs, as it is named after ``convblocks``.
_name = ""


def answer(
    command: Command | str, help_text: str | Callable[[], str], arguments: list[str] | None = None, name: str = ""
) -> int:
    """Run a command, or print its help, and return the exit status.

    Args:
        command: A function, or the name of a module of which it is ``main``: ``--help`` then works without importing
            it.
        help_text: What ``--help`` prints, or a function that finds it.
        arguments: Of the command; by default those of this process.
        name: The command's name, if it is one of ``convblocks``.
    """
    global _name
    _name = name

    def run(arguments: list[str]) -> None:
        if "-h" in arguments or "--help" in arguments:
            print((help_text if isinstance(help_text, str) else help_text()).strip())
            return
        # During imports Ctrl-C exits at once: modules sometimes swallow KeyboardInterrupt. Nothing has started yet.
        accepts_ctrl_c = signal.getsignal(signal.SIGINT) is not signal.SIG_IGN  # a shell's background jobs ignore it
        if accepts_ctrl_c:
            signal.signal(signal.SIGINT, _exit_now)
        # Without a home folder that it can write to, matplotlib would announce at length where it keeps its cache.
        import_module("logging").getLogger("matplotlib").setLevel("ERROR")
        with _loading(), _no_search_for_garbage():
            found: Command = import_module(command).main if isinstance(command, str) else command
        if accepts_ctrl_c:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        found(arguments)

    return status_of(run, sys.argv[1:] if arguments is None else arguments)


def status_of(command: Command, arguments: list[str]) -> int:
    """Call a command and return its exit status.

    0 for success, 2 for wrong usage, 1 for other errors that the user can fix, 130 after Ctrl-C. Bugs keep their
    traceback.
    """
    # No command opens a window, and a missing backend would be an error.
    os.environ["MPLBACKEND"] = "agg"
    _fix_streams()
    try:
        _check_current_folder()
        command(arguments)
        sys.stdout.flush()
    except UserError as error:
        if str(error):  # empty in all processes but one
            print_error(str(error))
        return error.exit_status
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # the reader of our output, such as head, has exited
        return 1
    except OSError as error:
        if error.errno not in (FILE_ERRORS if error.filename else DISK_ERRORS):
            raise
        print_error(f"{error.filename or 'cannot write the output'}: {error.strerror}")
        return 1
    finally:
        _discard_unwritable_output()
    return 0


def end(status: int) -> NoReturn:
    """End the process like Python, without unloading some 4,000 modules, which takes a second or more.

    If another program runs the script, such as a notebook or a profiler, that program goes on.
    """
    frame: FrameType | None = sys._getframe(1)
    while frame and frame.f_globals.get("__name__") in ("__main__", "runpy", f"{__package__}.__main__"):
        frame = frame.f_back
    if frame:
        sys.exit(status)
    import threading  # slow to load

    try:
        threading._shutdown()  # type: ignore[attr-defined]  # waits for threads that are not daemons
        atexit._run_exitfuncs()
    except KeyboardInterrupt:
        status = INTERRUPTED
    _discard_unwritable_output()
    os._exit(status)


def echo(line: str = "") -> None:
    """Print a line, wrapped at words if it is too long for the terminal.

    Raises:
        UserError: standard output goes to a file on a full disk.
    """
    _print(wrapped(line, _width()) if sys.stdout.isatty() else line)


class CommandLine(NamedTuple):
    """A command to copy: the text before it, and its words, quoted for a shell."""

    label: str
    words: Sequence[str]


def echo_command(words: Sequence[str], label: str = "") -> None:
    """Print a command to copy, with long lines continued after a backslash.

    Args:
        words: The command's words, quoted for a shell; the first two stay on one line.
        label: Text before the command.

    Raises:
        UserError: standard output goes to a file on a full disk.
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


def command_words(name: str) -> list[str]:
    """The words that run another command as this one was started: a script, ``convblocks``, or Python's -m.

    They are quoted for a shell.
    """
    folder, file = os.path.split(sys.argv[0])
    if file == "__main__.py":
        return ["python", "-m", "convblocks", name]
    if os.path.realpath(folder) == SCRIPTS:
        return ["python", shlex.quote(os.path.join(folder, f"{name}.py"))]
    return ["convblocks", name]


def print_error(message: str) -> None:
    """Print a line to standard error, if that is writable."""
    folder, file = os.path.split(sys.argv[0])
    if file == "__main__.py":
        file = os.path.basename(folder)
    program = f"convblocks {_name}" if _name and file != f"{_name}.py" else file
    try:
        print(printable(f"{program}: {message}"), file=sys.stderr)
    except OSError:
        _redirect_to_devnull(sys.stderr.fileno())


def _print(text: str) -> None:
    try:
        print(printable(text, allowed="\n"), flush=True)
    except OSError as error:
        if error.errno not in DISK_ERRORS:
            raise
        raise UserError(f"cannot write the output: {error.strerror}") from error


def wrapped(text: str, width: int) -> str:
    """Lines wrapped at words to so many columns; longer words, such as paths, stay whole."""
    from textwrap import fill

    return "\n".join(
        fill(line, width, break_long_words=False, break_on_hyphens=False) if len(line) > width else line
        for line in text.split("\n")
    )


def _width() -> int:
    """The columns of the terminal; 80 without one, unless COLUMNS is set."""
    import shutil  # slow to load

    return shutil.get_terminal_size().columns


@contextmanager
def _loading() -> Iterator[None]:
    """Show on a terminal, while PyTorch is imported, that something happens; one of a run's processes shows it."""
    shown = "Loading PyTorch ..."
    if "torch" in sys.modules or not sys.stdout.isatty() or os.environ.get("LOCAL_RANK", "0") != "0":
        yield
        return
    print(shown, end="", flush=True)
    try:
        yield
    finally:
        print("\r" + " " * len(shown), end="\r", flush=True)


@contextmanager
def _no_search_for_garbage() -> Iterator[None]:
    """Import PyTorch without Python's searches for garbage, which would find little and take half a second or more."""
    if "torch" in sys.modules or not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()  # later searches skip what was imported
        gc.enable()


def _exit_now(number: int, frame: FrameType | None) -> None:
    os._exit(INTERRUPTED)


def _fix_streams() -> None:
    """Make sure that all three standard streams are open and accept any text."""
    if None in (sys.stdin, sys.stdout, sys.stderr):
        # Otherwise the next opened file would get the descriptor of a closed stream, and our output would go there.
        while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
            pass
        os.close(descriptor)
        sys.stdout, sys.stderr = (
            stream or os.fdopen(number, "w") for number, stream in ((1, sys.stdout), (2, sys.stderr))
        )
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # tests and notebooks replace the streams
            stream.reconfigure(errors="backslashreplace")


def _check_current_folder() -> None:
    try:
        os.getcwd()  # pathlib is slow to load
    except FileNotFoundError as error:
        raise UsageError("the current folder has been deleted: change to another one") from error


def _discard_unwritable_output() -> None:
    """Flush the streams, or discard what cannot be written: Python would try again at exit, and print an error."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            _redirect_to_devnull(stream.fileno())


def _redirect_to_devnull(descriptor: int) -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), descriptor)
