"""``fit ... --check_resume``, and the same for any Trainer: is a run that is stopped and resumed the run that was not?

Trainings in processes of their own: one goes on after it has saved checkpoints, within each of two short epochs and
between them; others resume from these.
"""

import json
import os
import pickle
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from jsonargparse import ArgumentParser

from convblocks.check.part import Training, training_of_run, training_of_trainer
from convblocks.check.verdict import PLACES, Record, Report, report
from convblocks.console import echo
from convblocks.errors import UsageError, UserError
from convblocks.run import signals, slurm
from convblocks.run.config import Config
from convblocks.text import as_yaml

OPTION = "check_resume"


def check_resume(make: Callable[[], Sequence[Any]]) -> Report:
    """Check that a training which is stopped and resumed goes on with the same bits, by a few of its steps.

    Args:
        make: Returns a Trainer, its module, and the data: a LightningDataModule, or loaders. A function of a module,
            which other processes import; it seeds what it draws. Loggers are turned off, and checkpoints kept apart.

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
    """Check the run of a command line, print the result, and exit with 0 if it is exact, 1 if not.

    Raises:
        UserError: the run fails.
    """
    signals.uninstall()  # there is nothing to save
    settings = as_yaml(config.settings | {"trainer": config.settings["trainer"] | {"logger": False}})
    options = [f"--{name}={value}" for name, value in config.options.items() if name != OPTION and value is not None]
    echo("checking on a few steps whether this run resumes exactly; nothing is written")
    result = _check(partial(training_of_run, ["--config", settings, *options]))
    for line in result.lines:
        echo(line)
    if not result.is_exact:
        sys.exit(1)


def _check(make: Callable[[Path], Training]) -> Report:
    if {slurm.SLURM, slurm.TORCHRUN} & slurm.visible().keys():
        raise UsageError(f"{OPTION} starts its processes itself: call it outside of srun and torchrun")
    with TemporaryDirectory() as folder:
        root = Path(folder)
        with (root / "make").open("wb") as file:
            pickle.dump(make, file)
        _train([root / "whole"])
        _train([root / place for place in PLACES if (root / place).is_dir()])
        return report(_records(root / "whole"), {place: _records(root / place) for place in PLACES})


def _records(folder: Path) -> list[Record]:
    """Those of each process of a training; none if it could not be stopped there."""
    return [json.loads(path.read_text()) for path in sorted(folder.glob("record_*.json"))]


def _train(folders: Sequence[Path]) -> None:
    """Let each training end in processes of its own, side by side.

    Raises:
        UserError: one of them fails.
    """
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    environment |= {signals.FIRST_PROCESS: str(os.getpid())}  # they end with this one

    def train(folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        command = [sys.executable, "-P", "-m", "convblocks.check.part", str(folder)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise _error(done.stderr)

    with ThreadPoolExecutor() as threads:
        list(threads.map(train, folders))


def _error(text: str) -> UserError:
    """What a training has reported: one line, or a traceback, which is printed as it is."""
    for line in text.splitlines():
        if line.startswith("part.py: "):
            return UserError(line.removeprefix("part.py: "))
    print(text, file=sys.stderr, end="")
    return UserError("the training that was to be checked has failed")
