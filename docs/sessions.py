"""What commands print, as README.md and docs/manual/use.md show it.

`python docs/train.py sessions` runs the commands and keeps what they print, `python docs/pages.py` puts it into the
pages.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from PIL import Image

from benchmarks.handwriting.drawing import draw_all
from convblocks.atomic import write
from convblocks.errors import UserError
from convblocks.runs.directory import LOGS
from convblocks.runs.provenance import describe_machine, git_commit
from docs.comparisons import REPOSITORY
from docs.sections import write_sections

README, USE = "README.md", "docs/manual/use.md"

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


class Session(NamedTuple):
    """A command, to be called in a folder that holds what the ones before it have left.

    Args:
        page: Where what it prints is shown, between marks that bear its name; None where only its picture is.
        command: For a shell.
        picture: A file that it writes, which goes into docs/.
        status: How it must end: 1 where it tells what cannot be done.
        since: The page shows only the end of what is printed, from the first line that begins so.
    """

    page: str | None
    command: str
    picture: str | None = None
    status: int = 0
    since: str = ""


SESSIONS = {
    "fit": Session(README, "python scripts/fit.py --arch maxpool", since="test accuracy"),
    "evaluate": Session(
        USE, f"python scripts/evaluate.py {LOGS}/maxpool/{LAST} --show evaluation.png", "evaluation.png"
    ),
    "predict": Session(
        USE, f"python scripts/predict.py {LOGS}/batchnorm/{LAST} pics --show predictions.png", "predictions.png", 1
    ),
    "draw-shapes": Session(
        None,
        "python -c 'from pathlib import Path; from tests.data.pictures import SHAPES, write_pictures\n"
        'write_pictures(Path("shapes"), classes=tuple(SHAPES), train=1200, test=360, size=(32, 40))\'',
    ),
    "fit-shapes": Session(
        USE, "python scripts/fit.py --data.root shapes --arch batchnorm --epochs 2 --name shapes --threads 1"
    ),
    "evaluate-shapes": Session(
        None,
        f"python scripts/evaluate.py {LOGS}/shapes/{LAST} --data.root shapes --show pictures-panels.png",
        "pictures-panels.png",
    ),
    "predict-shapes": Session(
        USE, f"python scripts/predict.py {LOGS}/shapes/{LAST} shapes/test/cross/4.png shapes/test/cross/316.png"
    ),
    "export": Session(USE, f"python scripts/export.py {LOGS}/maxpool/{LAST} --output maxpool"),
}


def numbers_of(page: str) -> tuple[str, ...]:
    """What a page is made of: files in docs/data/, without their endings."""
    return tuple(f"sessions/{name}" for name, session in SESSIONS.items() if session.page == page)


def write_transcripts(page: str, data: Path, out: Path) -> None:
    """Put what the page's commands printed into their places, and on what machine they ran.

    Raises:
        UserError: what is kept is of another command.
    """
    own = {name: session for name, session in SESSIONS.items() if session.page == page}
    kept = {name: read(data, name, session.command) for name, session in own.items()}
    shown = {name: the_end(printed, own[name].since) for name, (_, printed) in kept.items()}
    sections = {f"session {name}": f"```\n{printed}\n```" for name, printed in shown.items()}
    origins = dict.fromkeys(origin for origin, _ in kept.values())
    write_sections(out, page, sections | {"sessions": "\n".join(f"Printed on {origin}." for origin in origins)})


def read(data: Path, name: str, command: str) -> tuple[str, str]:
    """Where and when a session ran, and what it printed."""
    path = path_of(data, name)
    origin, _, rest = path.read_text().partition("\n")
    if not rest.startswith(f"$ {command}\n"):
        raise UserError(f"{path} is of another command than {command}: run python docs/train.py sessions")
    return origin, rest.removeprefix(f"$ {command}\n").rstrip("\n")


def the_end(printed: str, since: str) -> str:
    """What was printed from the first line on that begins so; all if there is none."""
    lines = printed.splitlines()
    start = next((number for number, line in enumerate(lines) if line.startswith(since)), 0)
    return "\n".join(lines[start:])


def run(sessions: Mapping[str, Session], held: Mapping[str, Path], data: Path) -> None:
    """Run all sessions in a new folder and keep what they print, and their pictures beside the pages.

    Args:
        sessions: By their names.
        held: Folders of which the new one holds copies from the beginning, by the paths that these have there.
        data: docs/data/.

    Raises:
        UserError: a command did not end as it should.
    """
    origin = f"{describe_machine()}; commit {git_commit() or 'unknown'}; {date.today().isoformat()}"
    (data / "sessions").mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for name in ("scripts", "tests"):
            (folder / name).symlink_to(REPOSITORY / name)
        for place, path in held.items():
            shutil.copytree(path, folder / place)
        for name, session in sessions.items():
            print(f"$ {session.command}", flush=True)
            write(path_of(data, name), f"{origin}\n$ {session.command}\n{printed_by(session, folder)}")
            if session.picture:
                shutil.copy(folder / session.picture, data.parent / "manual")


def printed_by(session: Session, folder: Path) -> str:
    """What a command prints in a folder, errors included, without spaces at the ends of lines."""
    # This Python's own commands, in a terminal of the usual width.
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "COLUMNS": "80"}
    finished = subprocess.run(
        ["bash", "-c", session.command],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if finished.returncode != session.status:
        raise UserError(f"{session.command} ended with status {finished.returncode}:\n{finished.stdout}")
    lines = finished.stdout.replace(f"{REPOSITORY}/", "").splitlines()
    return "".join(f"{line.rstrip()}\n" for line in lines)


def draw_pictures(folder: Path) -> None:
    """The pictures that are recognised: some of the drawings of docs/lab/handwriting.md, and a blank one."""
    folder.mkdir()
    for drawing in draw_all(seed=0):
        if (drawing.digit, drawing.form, drawing.background) in PICTURES:
            ending = "jpg" if drawing.background == "photo" else "png"
            name = f"{drawing.form}-{drawing.background}.{ending}".replace(" ", "-")
            (folder / name).write_bytes(drawing.content)
    Image.new("L", (200, 200), 255).save(folder / "blank.png")


def path_of(data: Path, name: str) -> Path:
    return data / "sessions" / f"{name}.txt"
