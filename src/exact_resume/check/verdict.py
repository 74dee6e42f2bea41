"""Is a training that is stopped and resumed the training that was not?

Trainings in processes of their own: one goes on after it has saved checkpoints, within
each of two short epochs and between them; others resume from these.
"""

import json
import os
import pickle
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from exact_resume import slurm
from exact_resume.check.part import PREFIX, Training, training_of_trainer
from exact_resume.errors import ResumeError

# Where a check stops a training, by the names of the folders in which it resumes.
PLACES = {
    "within": "within the first epoch",
    "end": "at the end of an epoch",
    "later": "within the second epoch",
}

# Kinds of parts that a resume must restore; parts of other kinds are results, which
# follow from these and the data.
CAUSES = ("metric", "buffer", "attribute", "random")

# The record of a process: its ``states``, and the ``reason`` why it could not be
# stopped everywhere.
Record = Mapping[str, Any]

# Digests of the parts of a state, by the kind of a part and its name.
State = dict[str, str]

# Those of a process by the number of batches before.
States = Mapping[int, State]


class Report(NamedTuple):
    """What a check has found: whether all resumes were exact, and the lines that say so."""

    is_exact: bool
    lines: list[str]

    def __str__(self) -> str:
        return "\n".join(self.lines)


def check_resume(make: Callable[[], Sequence[Any]]) -> Report:
    """Check that a training which is stopped and resumed goes on with the same bits, by
    a few of its steps.

    Args:
        make: Returns a Trainer, its module, and the data: a LightningDataModule, or
            loaders. A function of a module, which other processes import; it seeds what
            it draws. Loggers are turned off, and checkpoints kept apart.

    Raises:
        ResumeError: a launcher has started this process, or the training fails.
    """
    return check(partial(training_of_trainer, make))


def check(make: Callable[[Path], Training]) -> Report:
    """The same of a training that has an ExactResume, by a function of its folder.

    Raises:
        ResumeError: as above.
    """
    if {slurm.SLURM, slurm.TORCHRUN} & slurm.visible().keys():
        raise ResumeError(
            "a check of exact resume starts its processes itself: call it outside of srun and "
            "torchrun"
        )
    with TemporaryDirectory() as folder:
        root = Path(folder)
        with (root / "make").open("wb") as file:
            pickle.dump(make, file)
        _train([root / "whole"])
        _train([root / place for place in PLACES if (root / place).is_dir()])
        return report(_records(root / "whole"), {place: _records(root / place) for place in PLACES})


def report(whole: Sequence[Record], resumed: Mapping[str, Sequence[Record]]) -> Report:
    """Compare resumed trainings with the one that went on.

    Args:
        whole: What each process has recorded of the whole training.
        resumed: By place, what each has recorded of the training that was resumed
            there; empty if it could not be.
    """
    exact, differing = list[str](), list[str]()
    lines, lost = list[str](), dict[str, None]()
    for place, where in PLACES.items():
        if not resumed[place]:
            lines.append(f"not checked {where}: {whole[0]['reason']}.")
            continue
        pairs = [
            (dict(left["states"]), dict(right["states"]))
            for left, right in zip(whole, resumed[place], strict=True)
        ]
        differences = [text for pair in pairs if (text := difference(*pair))]
        if differences:
            differing.append(where)
            lines.append(f"not exact {where}: {differences[0]}")
        else:
            exact.append(where)
        for pair in pairs:
            lost |= dict.fromkeys(lost_parts(*pair))
    if exact:
        lines.insert(0, f"exact {_listed(exact)}")
    if lost:
        lines.append(
            f"not restored: {_listed([*lost])}. Keep it in on_save_checkpoint, and put it back "
            "in on_load_checkpoint"
        )
    return Report(bool(exact) and not differing, lines)


def difference(whole: States, resumed: States) -> str:
    """What differs first between a training and a resume, by the number of batches
    before; empty if nothing does.
    """
    begin = min(resumed)
    if begin == 0:
        return "a resume finds no checkpoint, and begins again"
    numbers = sorted(number for number in whole.keys() | resumed.keys() if number >= begin)
    for number in numbers:
        parts = _changed(whole.get(number, {}), resumed.get(number, {}))
        # Causes count if they last; attributes do not, since some measure time.
        ignored = ("attribute",) if number == numbers[-1] else CAUSES
        names = [part for part in parts if not part.startswith(ignored)]
        if names:
            further = [f"{len(names) - 3} more"] if len(names) > 3 else []
            said = _listed([*names[:3], *further])
            return f"a resume differs from batch {number + 1} on in {said}"
    return ""


def lost_parts(whole: States, resumed: States) -> list[str]:
    """The causes that differ both right after a resume and at the end: others were made
    again before their use.
    """
    first, last = min(resumed), max(resumed)
    changed = _changed(whole.get(first, {}), resumed[first])
    lasting = _changed(whole.get(last, {}), resumed[last])
    return [part for part in changed if part in lasting and part.startswith(CAUSES)]


def _changed(left: State, right: State) -> list[str]:
    return [part for part in left | right if left.get(part) != right.get(part)]


def _listed(words: Sequence[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    return " and ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))


def _records(folder: Path) -> list[Record]:
    """Those of each process of a training; none if it could not be stopped there."""
    return [json.loads(path.read_text()) for path in sorted(folder.glob("record_*.json"))]


def _train(folders: Sequence[Path]) -> None:
    """Let a training end in each folder, in processes of its own, side by side.

    Raises:
        ResumeError: one of them fails.
    """
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    processes = []
    try:
        for folder in folders:
            folder.mkdir(exist_ok=True)
            command = [sys.executable, "-P", "-m", "exact_resume.check.part", str(folder)]
            with _errors_of(folder).open("w") as errors:
                processes.append(
                    subprocess.Popen(
                        command, env=environment, stdout=subprocess.DEVNULL, stderr=errors
                    )
                )
        for folder, process in zip(folders, processes, strict=True):
            if process.wait():
                raise _error(_errors_of(folder).read_text())
    finally:
        for process in processes:
            process.kill()
            process.wait()


def _errors_of(folder: Path) -> Path:
    return folder.with_suffix(".errors")


def _error(text: str) -> ResumeError:
    """What a training has reported: one line, or a traceback, which is printed as it is."""
    for line in text.splitlines():
        if line.startswith(PREFIX):
            return ResumeError(line.removeprefix(PREFIX))
    print(text, file=sys.stderr, end="")
    return ResumeError("the training that was to be checked has failed")
