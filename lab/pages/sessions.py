"""What commands print, as README.md and docs/manual/use.md show it.

`python -m lab.train sessions` runs the commands and keeps what they print, `python -m
lab.pages` puts it into the pages.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from datetime import date
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from textwrap import fill

from PIL import Image

from convblocks.errors import UserError
from convblocks.record.directory import LOGS
from convblocks.record.provenance import describe_machine, git_commit
from convblocks.text import as_json
from exact_resume.files import write
from lab.benchmarks.handwriting.drawing import draw_all
from lab.pages.writing import REPOSITORY, write_sections

README = "README.md"
USE = "docs/manual/use.md"

LAST = "checkpoints/last.ckpt"

# Of the drawings of seed 0, which docs/lab/handwriting.md shows: digit, form, background.
PICTURES = (
    (8, "cmr10", "colours"),
    (7, "crossed", "photo"),
    (9, "curved stem", "photo"),
    (2, "looped", "transparent"),
    (5, "loose hat", "colours"),
    (4, "open", "paper"),
)

# Commands for a shell, each called in the folder that holds what the ones before it
# have left. What one prints is shown where a page has marks of its name; the picture
# that it is to --show goes into docs/manual/.
SESSIONS = {
    "fit": "python scripts/fit.py --arch maxpool",
    "evaluate": f"python scripts/evaluate.py {LOGS}/maxpool/{LAST}",
    "predict": f"python scripts/predict.py {LOGS}/batchnorm/{LAST} pics --show predictions.png",
}

# How often a command is run whose time README shows, so that there is a range.
TIMES = {"fit": 5}

# How a command must end, where that is not 0: one of the pictures cannot be recognised.
STATUS = {"predict": 1}

# Longer lines are wrapped on a page, but for commands, which are to be copied.
WIDTH = 80

# What a page shows, where that is not all that a command prints.
SHOWN = {"fit": r"^test accuracy.*?(?=^try next)", "evaluate": r"^lightning_logs/maxpool/report.*"}


def shown_on(page: str) -> list[str]:
    """The names of the commands of which a page shows what they print."""
    return re.findall(
        r"^<!-- session (.*): begin -->$", (REPOSITORY / page).read_text(), re.MULTILINE
    )


def write_transcripts(page: str, data: Path, out: Path) -> None:
    """Put what the page's commands printed into their places, and on what machine they ran.

    Raises:
        UserError: what is kept is of another command.
    """
    sections = {}
    origins = []
    for name in shown_on(page):
        origin, printed = read(data, name, SESSIONS[name])
        (shown,) = re.findall(SHOWN.get(name, ".+"), printed, re.MULTILINE | re.DOTALL)
        sections[f"session {name}"] = f"```\n{wrapped(shown.rstrip())}\n```"
        origins.append(f"Printed on {origin}.")
    where = "\n".join(dict.fromkeys(origins))
    if len(sections) > 1:
        sections["sessions"] = where
    else:
        # Below the only one, without versions.
        brief = where.partition(", python ")[0]
        seconds = json.loads((data / "sessions" / "seconds.json").read_text())[name]
        times = f"whole command {min(seconds)} to {max(seconds)} s, {len(seconds)} runs"
        sections = {name: f"{shown}\n\n{brief}, idle: {times}." for name, shown in sections.items()}
    write_sections(out, page, sections)


def wrapped(text: str) -> str:
    """Lines wrapped at words to the width of a page; longer words, such as paths, stay whole."""
    lines = text.split("\n")
    is_command = re.compile(r"\bpython scripts/")
    wrap = partial(fill, width=WIDTH, break_long_words=False, break_on_hyphens=False)
    return "\n".join(line if is_command.search(line) else wrap(line) for line in lines)


def read(data: Path, name: str, command: str) -> tuple[str, str]:
    """Where and when a session ran, and what it printed."""
    path = data / "sessions" / f"{name}.txt"
    origin, typed, printed = path.read_text().split("\n", maxsplit=2)
    if typed != f"$ {command}":
        raise UserError(
            f"{path} is of another command than {command}: run python -m lab.train sessions"
        )
    return origin, printed.rstrip("\n")


def run(sessions: Mapping[str, str], held: Mapping[str, Path], data: Path) -> None:
    """Run commands in a new folder and keep what they print in docs/data/, and their
    pictures beside the pages.

    The folder holds copies of others from the beginning: ``held``, by the paths that
    these have there.

    Raises:
        UserError: a command did not end as it should.
    """
    seconds: dict[str, list[int]] = {}
    origin = f"{describe_machine()}; commit {git_commit() or 'unknown'}; {date.today().isoformat()}"
    with TemporaryDirectory() as temporary:
        folder = Path(temporary)
        (folder / "scripts").symlink_to(REPOSITORY / "scripts")
        for place, path in held.items():
            shutil.copytree(path, folder / place)
        for name, command in sessions.items():
            print(f"$ {command}", flush=True)
            for _ in range(TIMES.get(name, 1)):
                began = time.monotonic()
                printed = printed_by(command, folder, STATUS.get(name, 0))
                seconds.setdefault(name, []).append(round(time.monotonic() - began))
            write(data / "sessions" / f"{name}.txt", f"{origin}\n$ {command}\n{printed}")
            picture = re.search(r"--show (\S+)", command)
            if picture:
                shutil.copy(folder / picture[1], data.parent / "manual")
    write(data / "sessions" / "seconds.json", as_json(seconds) + "\n")


def printed_by(command: str, folder: Path, status: int) -> str:
    """What a command prints in a folder, errors included, without spaces at the ends of lines."""
    # This Python's own commands, in a terminal of the usual width.
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "COLUMNS": str(WIDTH),
    }
    finished = subprocess.run(
        ["bash", "-c", f"exec 2>&1\n{command}"],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    if finished.returncode != status:
        raise UserError(f"{command} ended with status {finished.returncode}:\n{finished.stdout}")
    lines = finished.stdout.replace(f"{REPOSITORY}/", "").splitlines()
    return "".join(f"{line.rstrip()}\n" for line in lines)


def draw_pictures(folder: Path) -> None:
    """The pictures that are recognised: some of the drawings of
    docs/lab/handwriting.md, and a blank one.
    """
    folder.mkdir()
    for drawing in draw_all(seed=0):
        if (drawing.digit, drawing.form, drawing.background) in PICTURES:
            ending = "jpg" if drawing.background == "photo" else "png"
            name = f"{drawing.form}-{drawing.background}.{ending}".replace(" ", "-")
            (folder / name).write_bytes(drawing.content)
    Image.new("L", (200, 200), 255).save(folder / "blank.png")
