"""``fit ... --check_resume``, and the same for any Trainer: is a run that is stopped
and resumed the run that was not?

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

from jsonargparse import ArgumentParser

from convblocks.check.part import Training, training_of_run, training_of_trainer
from convblocks.console import echo
from convblocks.errors import UsageError, UserError
from convblocks.run import signals, slurm
from convblocks.run.config import Config
from convblocks.text import as_yaml, listed

OPTION = "check_resume"

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
        UsageError: a launcher has started this process.
        UserError: the training fails.
    """
    return _check(partial(training_of_trainer, make))


def add_option(parser: ArgumentParser) -> None:
    """Add ``--check_resume`` to the options of fit."""
    help_text = "Only check, in a few steps, that this run would resume with the same bits."
    parser.add_argument(f"--{OPTION}", action="store_true", help=help_text)


def instead(config: Config) -> None:
    """Check the run of a command line, and print the result.

    Raises:
        UsageError: a launcher has started this process.
        UserError: the run fails or, without a message, is not exact.
    """
    signals.uninstall()  # there is nothing to save
    settings = as_yaml(
        config.settings | {"trainer": config.settings["trainer"] | {"logger": False}}
    )
    options = [
        f"--{name}={value}"
        for name, value in config.options.items()
        if name != OPTION and value is not None
    ]
    echo("checking on a few steps whether this run resumes exactly; nothing is written")
    result = _check(partial(training_of_run, ["--config", settings, *options]))
    for line in result.lines:
        echo(line)
    if not result.is_exact:
        raise UserError(
            ""
        )  # all is said; sys.exit would let Python unload torch, whose extensions may complain


def _check(make: Callable[[Path], Training]) -> Report:
    if {slurm.SLURM, slurm.TORCHRUN} & slurm.visible().keys():
        raise UsageError(
            f"{OPTION} starts its processes itself: call it outside of srun and torchrun"
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
    exact, lines, lost = list[str](), list[str](), dict[str, None]()
    is_exact = True
    for place, where in PLACES.items():
        if not resumed[place]:
            lines.append(f"not checked {where}: {whole[0]['reason']}.")
            continue
        pairs = [
            (dict(left["states"]), dict(right["states"]))
            for left, right in zip(whole, resumed[place], strict=True)
        ]
        if text := next(filter(None, (difference(*pair) for pair in pairs)), ""):
            is_exact = False
            lines.append(f"not exact {where}: {text}")
        else:
            exact.append(where)
        for pair in pairs:
            lost |= dict.fromkeys(lost_parts(*pair))
    if exact:
        lines.insert(0, f"exact {listed(exact)}")
    if lost:
        lines.append(
            f"not restored: {listed([*lost])}. Keep it in on_save_checkpoint, and put it back in on_load_checkpoint"
        )
    return Report(bool(exact) and is_exact, lines)


def difference(whole: Mapping[int, State], resumed: Mapping[int, State]) -> str:
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
        counts = ("attribute",) if number == numbers[-1] else CAUSES
        if names := [part for part in parts if not part.startswith(counts)]:
            further = [f"{len(names) - 3} more"] if len(names) > 3 else []
            return (
                f"a resume differs from batch {number + 1} on in {listed([*names[:3], *further])}"
            )
    return ""


def lost_parts(whole: Mapping[int, State], resumed: Mapping[int, State]) -> list[str]:
    """The causes that differ both right after a resume and at the end: others were made
    again before their use.
    """
    first, last = (
        _changed(whole.get(number, {}), resumed[number]) for number in (min(resumed), max(resumed))
    )
    return [part for part in first if part in last and part.startswith(CAUSES)]


def _changed(left: State, right: State) -> list[str]:
    return [part for part in left | right if left.get(part) != right.get(part)]


def _records(folder: Path) -> list[Record]:
    """Those of each process of a training; none if it could not be stopped there."""
    return [json.loads(path.read_text()) for path in sorted(folder.glob("record_*.json"))]


def _train(folders: Sequence[Path]) -> None:
    """Let a training end in each folder, in processes of its own, side by side.

    Raises:
        UserError: one of them fails.
    """
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    processes = []
    try:
        for folder in folders:
            folder.mkdir(exist_ok=True)
            command = [sys.executable, "-P", "-m", "convblocks.check.part", str(folder)]
            with folder.with_suffix(".errors").open("w") as errors:
                processes.append(
                    subprocess.Popen(
                        command, env=environment, stdout=subprocess.DEVNULL, stderr=errors
                    )
                )
        for folder, process in zip(folders, processes, strict=True):
            if process.wait():
                raise _error(folder.with_suffix(".errors").read_text())
    finally:
        for process in processes:
            process.kill()
            process.wait()


def _error(text: str) -> UserError:
    """What a training has reported: one line, or a traceback, which is printed as it is."""
    for line in text.splitlines():
        if line.startswith("part.py: "):
            return UserError(line.removeprefix("part.py: "))
    print(text, file=sys.stderr, end="")
    return UserError("the training that was to be checked has failed")
