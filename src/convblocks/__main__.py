"""Train small convolutional networks and compare them properly.

usage: convblocks COMMAND [options]
"""

import signal

if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    # Quiet from the first moment, until the imports are done.
    signal.signal(signal.SIGINT, signal.SIG_DFL)

import ast
import os
import sys
from functools import partial
from importlib import import_module
from typing import NoReturn

import convblocks
from convblocks import wings
from convblocks.console import answer, echo, end, imported, only_json
from convblocks.errors import UsageError
from convblocks.model.names import RECORDS
from exact_resume import slurm

# The help of a command is its docstring, in which the first text stands for the second: the names
# of the registered networks.
NETWORKS = ("{NETWORKS}", f"{{{','.join(RECORDS)},module.Network}}")


def main() -> NoReturn:
    """Run the command that the first word names, and end the process."""
    name, *arguments = sys.argv[1:] or ["--help"]
    run(name, arguments)


def run(name: str, arguments: list[str] | None = None) -> NoReturn:
    """Run a command with these arguments, by default all of this process's, and end the process."""
    # No further process may take a random.py of the user's for Python's own.
    os.environ["PYTHONSAFEPATH"] = "1"
    if name == "fit":
        from exact_resume import signals

        signals.install()  # before the heavy imports: a job may be told to stop while they run
        if slurm.is_further_process():
            signals.leave_interrupts()
    if module := wings.commands().get(name):
        end(answer(partial(perform, name, module), docstring(module), arguments))
    end(answer(print_version, overview(), [name]))


def perform(name: str, module: str, arguments: list[str]) -> None:
    """Import a command and call it.

    Before that, which takes seconds, the first process says what will be done, or refuses
    the words.
    """
    if name in wings.BEGINS and not slurm.is_further_process(of_all_machines=True):
        first = import_module(f"convblocks.{wings.BEGINS[name]}")
        with only_json("--json" in arguments):
            for line in first.begin(name, arguments):
                echo(line)
    imported(module)(arguments)


def print_version(arguments: list[str]) -> None:
    """Print the version.

    Raises:
        UsageError: the word is neither a command nor ``--version``.
    """
    if arguments != ["--version"]:
        raise UsageError(
            f"there is no command {arguments[0]}: choose one of {', '.join(wings.commands())}"
        )
    print(f"convblocks {convblocks.__version__}")


def overview() -> str:
    """The help of ``convblocks`` itself."""
    commands = [
        f"  {name:<12}{docstring(module).partition(chr(10))[0]}"
        for name, module in wings.commands().items()
    ]
    return "\n".join(
        [str(__doc__), *commands, "", "convblocks COMMAND --help lists the options of a command."]
    )


def docstring(module: str) -> str:
    """A module's docstring, without importing it or its package, with what NETWORKS stands for."""
    path = os.path.join(convblocks.__path__[0], os.pardir, *module.split("."))
    with open(f"{path}.py", encoding="utf-8") as file:
        text = ast.get_docstring(ast.parse(file.read())) or ""
    return text.replace(*NETWORKS)


if __name__ == "__main__":
    main()
