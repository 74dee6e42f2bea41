"""``fit ... --check_resume``, and the same for any Trainer: is a run that is stopped and resumed the run that was not?

Three trainings in processes of their own: one goes on after it has saved a checkpoint, two resume from it. Where these
two agree, but not with the first, something is missing in the checkpoint; where they do not, the training is not
deterministic by itself. One such check stops within an epoch, another at the end of one.
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
from convblocks.check.recorder import AT_END, AT_WHOLE_END, RESUMED, SAVED, WHOLE, WITHIN
from convblocks.check.trainings import Parts, Training, of_run, of_trainer
from convblocks.check.verdict import Report, has_other_batches, report
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
        UserError: the run keeps no checkpoints, or fails.
    """
    trainer = config.settings["trainer"]
    if not trainer.get("enable_checkpointing", True) or trainer["fast_dev_run"]:
        raise UsageError(
            f"--{OPTION} needs a run that keeps checkpoints: leave enable_checkpointing and fast_dev_run out"
        )
    settings = as_yaml(config.settings | {"trainer": trainer | {"logger": False}})
    options = [f"--{name}={value}" for name, value in config.options.items() if name != OPTION and value is not None]
    echo("checking on a few steps whether this run resumes exactly; nothing is written")
    found = _check(partial(of_run, ["--config", settings, *options]))
    for line in found.lines:
        echo(line)
    if not found.is_exact:
        sys.exit(1)


def _check(make: Callable[[Path, bool], Training]) -> Report:
    if {slurm.SLURM, slurm.TORCHRUN} & slurm.visible().keys():
        raise UsageError(f"{OPTION} starts its processes itself: call it outside of srun and torchrun")
    with TemporaryDirectory() as folder, _ended_by_signals():
        root = Path(folder)
        with (root / "make").open("wb") as file:
            _dump(make, file)
        records = _stop_and_resume(root, WITHIN, AT_END)
        if has_other_batches(records[AT_END]):
            echo("the batches differ after an epoch that was cut short: trying whole ones")
            records |= {AT_END: _stop_and_resume(root, AT_WHOLE_END)[AT_WHOLE_END]}
        return report(records)


def _stop_and_resume(root: Path, *places: str) -> dict[str, list[list[Any]]]:
    """The records of trainings that are stopped in these places, if they can be, and resumed."""
    _train([root / place / WHOLE for place in places])
    for folder in (root / place for place in places):
        if (folder / SAVED).is_dir():
            _train([Path(shutil.copytree(folder / SAVED, folder / name)) for name in RESUMED])
    return {place: _records(root / place) for place in places}


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


def _records(folder: Path) -> list[list[Any]]:
    """What each process has recorded, in the whole training and in the resumed ones if there are any."""
    names = [name for name in (WHOLE, *RESUMED) if (folder / name).is_dir()]
    files = sorted(path.name for path in (folder / WHOLE).glob("record_*.json"))
    return [[json.loads((folder / name / file).read_text()) for name in names] for file in files]


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
