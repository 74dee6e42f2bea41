"""``fit ... --check_resume``, and the same for any Trainer: is a run that is stopped and resumed the run that was not?

Trainings in processes of their own: one goes on after it has saved a checkpoint, another resumes from it. The first
stops within its first epoch; and at the end of an epoch that is cut short, and within the second one.
"""

import json
import os
import pickle
import subprocess
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from jsonargparse import ArgumentParser

import convblocks
from convblocks.check.part import Training, training_of_run, training_of_trainer
from convblocks.check.recorder import FIRST, SHORT, STOPS, WHOLE
from convblocks.check.verdict import Report, report
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
        UsageError: the function cannot be imported, or a launcher has started this process.
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
            pickle.dump(sys.path, file)
            try:
                pickle.dump(make, file)
            except (pickle.PicklingError, AttributeError, TypeError) as error:
                text = f"{OPTION} needs a function of a module, which other processes import: {error}"
                raise UsageError(text) from error
        _train([root / length / WHOLE for length in (FIRST, SHORT)])
        stops = [root / length / stop for length, places in STOPS.items() for stop in places]
        _train([stop for stop in stops if stop.is_dir()])
        return report({stop.name: _records(stop) for stop in stops})


def _records(stop: Path) -> list[list[Any]]:
    """Of each process: the record of the whole training, and that of the one resumed at a stop, if there is one."""
    folders = [stop.with_name(WHOLE), *([stop] if stop.is_dir() else [])]
    names = sorted(path.name for path in folders[0].glob("record_*.json"))
    return [[json.loads((folder / name).read_text()) for folder in folders] for name in names]


def _train(folders: Sequence[Path]) -> None:
    """Let each training end in processes of its own, side by side.

    Raises:
        UserError: one of them fails.
    """
    paths = [str(Path(convblocks.__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))}
    processes = []
    try:
        for folder in folders:
            folder.mkdir(parents=True, exist_ok=True)
            with (folder / "errors").open("w") as errors:
                command = [sys.executable, "-m", "convblocks.check.part", str(folder)]
                processes.append(subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=errors))
        for folder, process in zip(folders, processes, strict=True):
            if process.wait():
                raise _error((folder / "errors").read_text())
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
