"""In a terminal a run has a progress bar, tables fit, and commands can be copied."""

import os
import pty
import re
import shlex
import subprocess
import sys
import termios
from pathlib import Path

import pytest

from convblocks.command_line import Parser
from convblocks.console import prose
from convblocks.errors import UsageError
from tests.conftest import DEBUG, REPOSITORY
from tests.quick_python import quick_python

# A control sequence that moves, erases or changes colours; or a character.
SEQUENCE = re.compile(
    r"\x1b\[(?P<numbers>[?\d;]*)(?P<command>[A-Za-z])|(?P<character>.)", re.DOTALL
)


def script_in_terminal(name: str, *arguments: str, cwd: Path) -> str:
    """What ``scripts/<name>.py`` writes to a terminal of 80 columns."""
    command = [str(quick_python()), str(REPOSITORY / "scripts" / f"{name}.py"), *arguments]
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (40, 80))
    environment = {name: value for name, value in os.environ.items() if name != "COLUMNS"} | {
        "TERM": "xterm"
    }
    with subprocess.Popen(
        command, cwd=cwd, env=environment, stdin=theirs, stdout=theirs, stderr=theirs
    ) as process:
        os.close(theirs)
        written = b""
        try:
            while part := os.read(ours, 65536):
                written += part
        except OSError:  # Linux raises it once the other end is closed
            pass
    os.close(ours)
    assert process.returncode == 0, written.decode()
    return written.decode()


def lines_of(written: str) -> list[str]:
    """What is left on a screen without a right edge, including lines that have scrolled off."""
    lines, row, column = [""], 0, 0
    for sequence in SEQUENCE.finditer(written):
        if sequence["character"] == "\n":
            row += 1
            lines += [""] * (row + 1 - len(lines))
        elif sequence["character"] == "\r":
            column = 0
        elif sequence["character"]:
            lines[row] = (
                lines[row][:column].ljust(column) + sequence["character"] + lines[row][column + 1 :]
            )
            column += 1
        elif sequence["command"] == "A":
            row = max(row - int(sequence["numbers"] or 1), 0)
        elif sequence["command"] == "K":
            lines[row] = ""
    return [line.rstrip() for line in lines]


@pytest.mark.parametrize(
    ("option", "suggestion"),
    [
        ("--jbos", ": did you mean --jobs\\?"),
        ("--root", ": did you mean --data.root\\?"),
        ("--quiet", ""),
    ],
)
def test_option_that_is_unknown_suggests_a_similar_one_if_there_is_one(
    option: str, suggestion: str
) -> None:
    parser = Parser()
    for known in ("--jobs", "--data.root", "--show"):
        parser.add_argument(known)
    with pytest.raises(UsageError, match=f"^unrecognized arguments: {option}{suggestion}$"):
        parser.parse_args([option])


def test_sentences_are_broken_between_words_for_a_terminal_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    text = "97 % of block 2's units are dead: at a lower-rate fewer die."
    assert prose(text) == text
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    lines = prose(text).splitlines()
    assert max(map(len, lines)) <= 20
    assert " ".join(lines) == text


@pytest.mark.slow
def test_run_in_a_terminal_shows_a_bar_below_its_rows_and_prints_the_next_commands(
    workspace: Path,
) -> None:
    flags = [*DEBUG, "--trainer.limit_train_batches", "900"]  # enough to be seen
    flags += ["--threads", "1"]  # of which no busy machine has too few
    written = script_in_terminal("fit", *flags, "--arch", "mlp", cwd=workspace)
    begin, heading, columns, first, second, *_ = lines = lines_of(written)
    assert begin == "fit: mlp, epochs 2 -> lightning_logs/mlp/version_N"
    assert heading == "mlp · 79,510 parameters · cpu · seed 0 -> lightning_logs/mlp/version_0"
    assert columns.split() == ["epoch", "train/loss", "train/acc", "test/loss", "test/acc", "time"]
    assert (first[:4], second[:4]) == ("1/2 ", "2/2 ")
    assert len(columns) == len(first) == len(second) <= 80
    assert re.search(r"\repoch 2/2, 00:\d\d left, loss [^\r]*, batch \d+/900 \|", written)
    assert not [line for line in lines if line.startswith("epoch ") and "|" in line]
    commands = re.findall(r"(?:python \S*scripts/|tensorboard ).*", "\n".join(lines))
    evaluate, demo, tensorboard = map(shlex.split, commands)
    assert [Path(evaluate[1]).name, Path(demo[1]).name] == ["evaluate.py", "demo.py"]
    assert tensorboard == ["tensorboard", "--logdir", "lightning_logs"]
    for checkpoint in (evaluate[2], demo[2]):
        assert (workspace / checkpoint).is_file()
