"""Entry point shared by all commands: help, one-line errors and exit statuses.

Imports little: ``--help`` is quick, and Ctrl-C is handled almost from the start.
"""

import atexit
import errno
import gc
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import redirect_stdout, suppress
from importlib import import_module
from io import TextIOWrapper
from shlex import quote
from shutil import get_terminal_size
from textwrap import fill
from types import FrameType
from typing import NoReturn, TextIO

from convblocks.errors import printable
from exact_resume import slurm
from exact_resume.errors import ResumeError

# Errors that a user can fix, whether or not they name a file: a disk that cannot be written to.
DISK_ERRORS = {errno.EDQUOT, errno.EFBIG, errno.EIO, errno.ENOSPC, errno.EROFS}

Command = Callable[[list[str]], None]


def answer(command: Command, help_text: str, arguments: list[str] | None = None) -> int:
    """Run a command, or print its help, and return the exit status.

    Args:
        command: A function.
        help_text: The text that ``--help`` prints.
        arguments: The words of the command; by default those of this process.
    """

    def run(arguments: list[str]) -> None:
        if {"-h", "--help"}.intersection(arguments):
            print(help_text.strip())
        else:
            command(arguments)

    return status_of(run, sys.argv[1:] if arguments is None else arguments)


def imported(module: str) -> Command:
    """A module's ``main``, imported without Python's searches for garbage, which take
    most of a second.
    """
    gc.disable()
    main: Command = import_module(module).main
    gc.freeze()  # later searches skip what was imported
    gc.enable()
    # Not until now: modules sometimes swallow KeyboardInterrupt.
    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    return main


def see_current_folder() -> None:
    """Let Python import modules from the current folder too, not only from the script's."""
    if "" not in sys.path:
        sys.path.append("")


def status_of(command: Command, arguments: list[str]) -> int:
    """Call a command and return its exit status.

    0 for success, 2 for wrong usage, 1 for other errors that the user can fix, 130
    after Ctrl-C. Bugs keep their traceback.
    """
    _open_closed_streams()
    # No command opens a window, and a missing backend would be an error.
    os.environ["MPLBACKEND"] = "agg"
    # Torch's stores would print a C++ backtrace when the process that holds them dies.
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    # Matplotlib would print a warning where there is no home folder for its cache of fonts.
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # notebooks replace the streams
            stream.reconfigure(errors="backslashreplace")
    try:
        slurm.refuse_odd_numbers()
        command(arguments)
        sys.stdout.flush()
    except ResumeError as error:
        if str(error):  # empty in all processes but one
            print_error(str(error))
        return error.exit_status
    except KeyboardInterrupt:
        return 130  # 128 + SIGINT, as shells report it
    except BrokenPipeError:  # the reader of our output, such as head, has exited
        return 1
    except OSError as error:
        if not error.filename and error.errno not in DISK_ERRORS:
            raise
        print_error(f"{error.filename or 'cannot write the output'}: {error.strerror}")
        return 1
    return 0


def _open_closed_streams() -> None:
    """Open /dev/null in place of standard streams that a shell has closed, as by ``2>&-``: the
    next file would otherwise get their numbers, and so what is printed.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            # The file stays open until the process ends.
            setattr(sys, name, open(os.devnull, mode))  # noqa: SIM115


def end(status: int) -> NoReturn:
    """End the process like Python, without unloading some 4,000 modules, which takes a
    fifth of a second or more.

    If another program runs the script, such as a notebook or a profiler, that program
    goes on.
    """
    ours = ("__main__", "runpy", "convblocks.__main__")
    frame: FrameType | None = sys._getframe(1)
    while frame and frame.f_globals.get("__name__") in ours:
        frame = frame.f_back
    if frame:
        sys.exit(status)
    threading._shutdown()  # type: ignore[attr-defined]  # waits for threads that are not daemons
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):  # a full disk, or a reader that has exited
            stream.flush()
    os._exit(status)


def echo(line: str) -> None:
    """Print a line at once; control characters in names from elsewhere are escaped."""
    print(printable(line, allowed="\n"), flush=True)


def prose(text: str) -> str:
    """Sentences, for a terminal in lines that end between words; no command, which is
    copied in one line.
    """
    if not sys.stdout.isatty():
        return text
    return fill(text, get_terminal_size().columns, break_long_words=False, break_on_hyphens=False)


def only_json(is_wanted: bool) -> redirect_stdout[TextIO]:
    """Meanwhile, print to standard error if standard output is for JSON alone."""
    return redirect_stdout(sys.stderr if is_wanted else sys.stdout)


def command_text(name: str, *words: str) -> str:
    """A command line that runs another command as this one was started, for a shell: a
    script, ``convblocks``, or Python's -m.
    """
    folder, file = os.path.split(sys.argv[0])
    script = os.path.join(folder, f"{name}.py")
    begin = f"convblocks {name}"
    if file == "__main__.py":
        begin = f"python -m {begin}"
    elif file.endswith(".py") and os.path.isfile(script):
        begin = f"python {quote(script)}"
    return " ".join([begin, *map(quote, words)])


def print_error(message: str) -> None:
    """Print a line to standard error, after the program's name."""
    folder, file = os.path.split(sys.argv[0])
    program = os.path.basename(folder) if file == "__main__.py" else file
    print(printable(f"{program}: {message}"), file=sys.stderr)
