"""Commands run in a terminal of a given width, and its screen afterwards."""

import os
import pty
import re
import shlex
import subprocess
import termios
from pathlib import Path
from typing import NamedTuple

from tests.conftest import REPOSITORY
from tests.quick_python import quick_python

# A control sequence that moves, erases or changes colours; or a character.
SEQUENCE = re.compile(r"\x1b\[(?P<numbers>[?\d;]*)(?P<command>[A-Za-z])|(?P<character>.)", re.DOTALL)


class Screen(NamedTuple):
    """The lines at the end, including those that have scrolled off, and all that was written."""

    status: int
    lines: list[str]
    written: str

    def commands(self) -> list[list[str]]:
        """The commands to copy, word by word."""
        commands = re.findall(r"(?:python \S*scripts/|tensorboard ).*", "\n".join(self.lines))
        return [shlex.split(command) for command in commands]


def script_in_terminal(name: str, *arguments: str, cwd: Path, width: int) -> Screen:
    """Run ``scripts/<name>.py`` as a user would, in a terminal of this many columns."""
    command = [str(quick_python()), str(REPOSITORY / "scripts" / f"{name}.py"), *arguments]
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (40, width))
    environment = {name: value for name, value in os.environ.items() if name != "COLUMNS"} | {"TERM": "xterm"}
    with subprocess.Popen(command, cwd=cwd, env=environment, stdin=theirs, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        written = b""
        try:
            while part := os.read(ours, 65536):
                written += part
        except OSError:  # Linux raises it once the other end is closed
            pass
        status = process.wait()
    os.close(ours)
    return Screen(status, lines_of(written.decode()), written.decode())


def lines_of(written: str) -> list[str]:
    """What is left on a screen without a right edge."""
    lines, row, column = [""], 0, 0
    for sequence in SEQUENCE.finditer(written):
        if sequence["character"] == "\n":
            row += 1
            lines += [""] * (row + 1 - len(lines))
        elif sequence["character"] == "\r":
            column = 0
        elif sequence["character"]:
            lines[row] = lines[row][:column].ljust(column) + sequence["character"] + lines[row][column + 1 :]
            column += 1
        elif sequence["command"] == "A":
            row = max(row - int(sequence["numbers"] or 1), 0)
        elif sequence["command"] == "K":
            lines[row] = ""
    return [line.rstrip() for line in lines]
