"""What every script does around its command: help without heavy imports, one-line errors, exit statuses."""

import os
import sys
from importlib import import_module
from pathlib import Path

from convblocks.errors import UserError

INTERRUPTED = 130  # 128 + SIGINT, as shells report it


def run_command(module: str, help_text: str) -> int:
    """Call ``main`` of a module with the command line's arguments and return the exit status.

    The module is imported only here, so that ``--help`` answers at once.
    """
    arguments = sys.argv[1:]
    if "-h" in arguments or "--help" in arguments:
        print(help_text.strip())
        return 0
    return run_module(module, arguments)


def run_module(module: str, arguments: list[str]) -> int:
    """Call ``main(arguments)`` of a module and return the exit status.

    0 for success, 2 for wrong usage, 1 for anything else the user can mend, 130 after Ctrl-C. Errors of the program
    itself keep their traceback.
    """
    try:
        import_module(module).main(arguments)
        sys.stdout.flush()
    except UserError as error:
        if str(error):  # of several processes one speaks for all
            print(f"{Path(sys.argv[0]).name}: {error}", file=sys.stderr)
        return error.exit_status
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # The reader of our output, head say, is gone; so is the place to complain. Python would complain once more
        # when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return 0
