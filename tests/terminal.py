"""Commands run in a terminal of a given width, and what stands on its screen afterwards."""

import os
import pty
import re
import shlex
import subprocess
import sys
import termios
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from tests.conftest import REPOSITORY

ROWS = 40

# What a terminal is told: to move, to erase, to change colours; and otherwise a character.
TOLD = re.compile(r"\x1b\[(?P<numbers>[?\d;]*)(?P<command>[A-Za-z])|(?P<character>.)", re.DOTALL)


class Screen(NamedTuple):
    """What is left at the end, scrolled off or not, and all that was written."""

    status: int
    lines: list[str]
    widest: int  # of all lines, those that vanished too
    written: str

    def commands(self) -> list[list[str]]:
        """The commands that are told to be copied, word by word."""
        text = re.sub(r" \\\n *", " ", "\n".join(self.lines))
        return [shlex.split(found) for found in re.findall(r"(?:python scripts/|tensorboard ).*", text)]


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
        except OSError:  # Linux says so where nobody has the other end any more
            pass
        status = process.wait()
    os.close(ours)
    return screen_of(status, written.decode())


def script_in_terminal(name: str, *arguments: str, cwd: Path, width: int) -> Screen:
    """Run ``scripts/<name>.py`` as a user would."""
    return in_terminal([sys.executable, str(REPOSITORY / "scripts" / f"{name}.py"), *arguments], cwd, width)


def screen_of(status: int, written: str) -> Screen:
    """What a terminal without a right edge would show."""
    lines, row, column, widest = [""], 0, 0, 0
    for told in TOLD.finditer(written):
        number, character = int(told["numbers"] or 1) if (told["numbers"] or "1").isdecimal() else 1, told["character"]
        if character == "\n":
            row += 1
            lines += [""] * (row + 1 - len(lines))
        elif character == "\r":
            column = 0
        elif character is not None:
            lines[row] = lines[row][:column].ljust(column) + character + lines[row][column + 1 :]
            column += 1
            widest = max(widest, len(lines[row].rstrip()))
        elif told["command"] == "A":
            row = max(row - number, 0)
        elif told["command"] == "K":
            lines[row] = ""
    return Screen(status, [line.rstrip() for line in lines], widest, written)
