"""``fit ... --check_resume``, and the same for any Trainer: is a run that is stopped and resumed the run that was not?

Three trainings in processes of their own: one goes on after it has saved a checkpoint, two resume from it. Where these
two agree, but not with the first, something is missing in the checkpoint; where they do not, the training is not
deterministic by itself. The first stops within its first epoch, at the end of an epoch and within the second one.
"""

import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType
from typing import Any, BinaryIO, NoReturn

from jsonargparse import ArgumentParser

import convblocks
from convblocks.check.recorder import FIRST, LONG, RESUMED, SHORT, STOPS, WHOLE
from convblocks.check.trainings import Parts, Training, of_run, of_trainer
from convblocks.check.verdict import Records, Report, has_other_batches, report
from convblocks.console import echo
from convblocks.errors import Stopped, UsageError, UserError
from convblocks.run import signals, slurm
from convblocks.run.config import Config
from convblocks.text import as_yaml

OPTION = "check_resume"

ENDING = [signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else [])]  # not on Windows


def check_resume(make: Callable[[], Parts]) -> Report:
    """Check that a training which is stopped and resumed goes on with the same bits, by a few of its steps.

    Args:
        make: Returns a Trainer, its module, and the data: a LightningDataModule, or loaders. A function of a module,
            which other processes import; it seeds what it draws. Loggers are turned off, and checkpoints kept apart.

    Raises:
        UsageError: the function cannot be imported, or a launcher has started this process.
        UserError: the training fails.
    """
    return _check(partial(of_trainer, make))


def add_option(parser: ArgumentParser) -> None:
    """Add ``--check_resume`` to the options of fit."""
    help_text = "Only check, in a few steps, that this run would resume with the same bits."
    parser.add_argument(f"--{OPTION}", action="store_true", help=help_text)


def instead(config: Config) -> None:
    """Check the run of a command line, print the result, and exit with 0 if it is exact, 1 if not.

    Raises:
        UserError: the run fails.
    """
    settings = as_yaml(config.settings | {"trainer": config.settings["trainer"] | {"logger": False}})
    options = [f"--{name}={value}" for name, value in config.options.items() if name != OPTION and value is not None]
    echo("checking on a few steps whether this run resumes exactly; nothing is written")
    found = _check(partial(of_run, ["--config", settings, *options]))
    for line in found.lines:
        echo(line)
    if not found.is_exact:
        sys.exit(1)


def _check(make: Callable[[Path], Training]) -> Report:
    if {slurm.SLURM, slurm.TORCHRUN} & slurm.visible().keys():
        raise UsageError(f"{OPTION} starts its processes itself: call it outside of srun and torchrun")
    with TemporaryDirectory() as folder, _ended_by_signals():
        root = Path(folder)
        with (root / "make").open("wb") as file:
            _dump(make, file)
        _train([root / length / WHOLE for length in (FIRST, SHORT)])
        records = {**_resumed(root / FIRST), **_resumed(root / SHORT)}
        if has_other_batches(records):
            echo("the batches differ after an epoch that was cut short: trying whole ones")
            _train([root / LONG / WHOLE])
            records.update(_resumed(root / LONG))
        return report(records)


def _resumed(folder: Path) -> Records:
    """The records of a training and, by the place, of those that are resumed from its checkpoint there."""
    found = {}
    for place in STOPS[folder.name]:
        names = [WHOLE]
        if (folder / place).is_dir():
            names += [f"{place}_{number}" for number in RESUMED]
            _train([Path(shutil.copytree(folder / place, folder / name)) for name in names[1:]])
        files = sorted(path.name for path in (folder / WHOLE).glob("record_*.json"))
        found[place] = [[json.loads((folder / name / file).read_text()) for name in names] for file in files]
    return found


def _dump(make: Callable[..., Any], file: BinaryIO) -> None:
    """Write where modules are found, and a function by its name."""
    pickle.dump(sys.path, file)
    try:
        pickle.dump(make, file)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise UsageError(f"{OPTION} needs a function of a module, which other processes import: {error}") from error


def _train(folders: Sequence[Path]) -> None:
    """Let each training end in processes of its own, side by side.

    Raises:
        UserError: one of them fails.
    """
    paths = [str(Path(convblocks.__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))}
    environment |= {signals.FIRST_PROCESS: str(os.getpid())}  # they end with this one
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


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Let signals end a check at once: it has nothing to save, and a folder to remove."""

    def end(number: int, frame: FrameType | None) -> NoReturn:
        raise Stopped(number, "stopped")

    before = {number: signal.signal(number, end) for number in ENDING}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
