"""Commands run in a terminal of a given width, and its screen afterwards."""

import os
import pty
import re
import shlex
import subprocess
import termios
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from tests.conftest import REPOSITORY
from tests.quick_python import quick_python

ROWS = 40

# A control sequence that moves, erases or changes colours; or a character.
SEQUENCE = re.compile(r"\x1b\[(?P<numbers>[?\d;]*)(?P<command>[A-Za-z])|(?P<character>.)", re.DOTALL)


class Screen(NamedTuple):
    """The lines at the end, including those that have scrolled off, and all that was written."""

    status: int
    lines: list[str]
    widest: int  # of all lines, those that vanished too
    written: str

    def commands(self) -> list[list[str]]:
        """The commands to copy, word by word."""
        text = re.sub(r" \\\n *", " ", "\n".join(self.lines))
        return [shlex.split(found) for found in re.findall(r"(?:python \S*scripts/|tensorboard ).*", text)]


def in_terminal(command: Sequence[str], cwd: Path, width: int) -> Screen:
    """Run a command in a terminal that is so many columns wide."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (ROWS, width))
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
    return screen_of(status, written.decode())


def script_in_terminal(name: str, *arguments: str, cwd: Path, width: int) -> Screen:
    """Run ``scripts/<name>.py`` as a user would."""
    return in_terminal([str(quick_python()), str(REPOSITORY / "scripts" / f"{name}.py"), *arguments], cwd, width)


def screen_of(status: int, written: str) -> Screen:
    """The screen of a terminal without a right edge."""
    lines, row, column, widest = [""], 0, 0, 0
    for one in SEQUENCE.finditer(written):
        number, character = int(one["numbers"] or 1) if (one["numbers"] or "1").isdecimal() else 1, one["character"]
        if character == "\n":
            row += 1
            lines += [""] * (row + 1 - len(lines))
        elif character == "\r":
            column = 0
        elif character is not None:
            lines[row] = lines[row][:column].ljust(column) + character + lines[row][column + 1 :]
            column += 1
            widest = max(widest, len(lines[row].rstrip()))
        elif one["command"] == "A":
            row = max(row - number, 0)
        elif one["command"] == "K":
            lines[row] = ""
    return Screen(status, [line.rstrip() for line in lines], widest, written)
