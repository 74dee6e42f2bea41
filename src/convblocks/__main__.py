"""Train small convolutional networks and compare them properly.

usage: convblocks COMMAND [options]
"""

import signal

if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # quiet from the first moment, until the imports are done

import ast
import os
import re
import sys
from contextlib import suppress
from importlib.util import find_spec
from typing import NoReturn

from convblocks import wings
from convblocks.console import answer, command_words, end
from convblocks.errors import UsageError


def main() -> NoReturn:
    """Run the command that the first word names, and end the process."""
    name, *arguments = sys.argv[1:] or ["--help"]
    run(name, arguments)


def run(name: str, arguments: list[str] | None = None) -> NoReturn:
    """Run a command with these arguments, by default all of this process's, and end the process."""
    os.environ["PYTHONSAFEPATH"] = "1"  # no further process may take a random.py of the user's for Python's own
    if name == "fit":
        from convblocks.run import signals

        signals.install()  # before the heavy imports: a job may be told to stop while they run
    if (module := wings.commands().get(name)) is None:
        end(answer(refuse, overview(), [name]))
    end(answer(module, help_of(name), arguments))


def refuse(arguments: list[str]) -> None:
    """Print the version, or refuse a word that is no command.

    Raises:
        UsageError: it is another word.
    """
    if arguments == ["--version"]:
        import convblocks

        print(f"convblocks {convblocks.__version__}")
        return
    raise UsageError(f"there is no command {arguments[0]}: choose one of {', '.join(wings.commands())}")


def overview() -> str:
    """The help of ``convblocks`` itself."""
    lines = [f"  {name:<12}{_docstring(module).partition(chr(10))[0]}" for name, module in wings.commands().items()]
    return "\n".join([str(__doc__), *lines, "", "convblocks COMMAND --help lists the options of a command."])


def help_of(name: str) -> str:
    """A command's help: its module's docstring, with commands as this process was started."""
    text, names = _docstring(wings.commands()[name]), "|".join([*wings.COMMANDS, name])
    return re.sub(rf"\bconvblocks ({names})\b", lambda found: " ".join(command_words(found[1])), text)


def _docstring(module: str) -> str:
    """A module's docstring, without importing it; none if another package's wing names a module that is not there."""
    path = os.devnull
    with suppress(ImportError):
        spec = find_spec(module)
        path = (spec and spec.origin) or path
    with open(path, encoding="utf-8") as file:
        return ast.get_docstring(ast.parse(file.read())) or ""


if __name__ == "__main__":
    main()
