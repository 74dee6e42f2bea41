"""The run directory: the only interface between training and everything after it."""

import csv
import os
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from tempfile import TemporaryFile
from typing import Any

import yaml
from filelock import FileLock, Timeout

from convblocks.errors import BusyError, UsageError, UserError
from convblocks.files import remove_unfinished, write
from convblocks.run.records import decode, encode
from convblocks.run.result import RunResult
from convblocks.text import flatten

LOGS = Path("lightning_logs")

LOCK_SECONDS = 5

# Written in C where libyaml is there: ten times as fast.
YAML_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

# File systems allow names of 255 bytes, and files here get endings.
LONGEST_NAME = 200

# The settings that every config.yaml has.
SETTINGS = {"model", "seed", "threads", "trainer"}

# The layout of processes, which a resume may change: results depend on it only by rounding.
LAYOUT = ("trainer.devices", "trainer.num_nodes", "trainer.strategy")

# The prefix of training metrics.
TRAINING = "train/"

# The prefix of the shares of dead units behind each ReLU.
DEAD = "dead/"

# The metrics of an epoch's speed.
SPEED = ("seconds", "images_per_second")


class RunDirectory:
    """``lightning_logs/<name>``, below the current directory or another one.

    It holds TensorBoard's events, ``config.yaml`` (the settings), ``provenance.json`` (command, code and machine),
    ``metrics.csv`` (a row for each evaluation and epoch), ``checkpoints/last.ckpt`` (the last finished epoch), with a
    validation split also ``checkpoints/best.ckpt``, ``mistakes.csv`` (the test images that the final network gets
    wrong), and ``summary.json``, the ``RunResult``, which is written last: a run that has one is done. With other
    loggers ``loggers.json`` has the ids of their runs. ``evaluate`` adds ``report.html``.

    Args:
        name: The run's name, a relative path.
        root: The folder in which ``lightning_logs`` lies; it may begin with ``~``.

    Raises:
        UsageError: a name that leads out of ``lightning_logs``, or that is no file name.
    """

    def __init__(self, name: str, root: Path = Path()) -> None:
        parts = PurePosixPath(name).parts
        if not parts or parts[0].startswith(("/", "-")) or ".." in parts:
            raise UsageError(
                f"--name {name!r} must be a relative path below {LOGS}/ that begins with no dash, such as mlp/first"
            )
        if not name.isprintable() or any(len(os.fsencode(part)) > LONGEST_NAME for part in parts):
            raise UsageError(f"--name must be plain text, of at most {LONGEST_NAME} bytes between two slashes")
        self.name = name
        self.logs = Path(os.path.expanduser(root)) / LOGS
        self.path = self.logs / name
        self.config = self.path / "config.yaml"
        self.provenance = self.path / "provenance.json"
        self.loggers = self.path / "loggers.json"
        self.metrics = self.path / "metrics.csv"
        self.mistakes = self.path / "mistakes.csv"
        self.summary = self.path / "summary.json"
        self.report = self.path / "report.html"
        self.last_checkpoint = self.path / "checkpoints" / "last.ckpt"
        self.best_checkpoint = self.path / "checkpoints" / "best.ckpt"

    @classmethod
    def of(cls, checkpoint: Path) -> "RunDirectory | None":
        """The directory of the run that wrote a checkpoint; None if the checkpoint was moved or renamed."""
        path = checkpoint.absolute()
        for logs in (folder for folder in path.parents[2:] if folder.name == LOGS.name):
            with suppress(UsageError):
                own = cls(path.parents[1].relative_to(logs).as_posix(), logs.parent)
                if path in (own.last_checkpoint, own.best_checkpoint):
                    return own
        return None

    def exists(self) -> bool:
        """Whether there is anything under this name, except an empty folder or hidden files left by a kill."""
        if not self.path.is_dir():
            return self.path.exists()
        return any(not path.name.startswith(".") for path in self.path.iterdir())

    def refuse_run(self) -> None:
        """Raise a UsageError if this is the directory of a run, in which no other runs belong."""
        if self.config.is_file():
            raise UsageError(f"{self.path} is a single run: choose another --name")

    def result_after(self, epochs: int) -> RunResult | None:
        """The result of a run that is done: it has that many epochs, or something ended it early.

        None with a damaged summary: resumed, the run finds its epochs in the checkpoint and rewrites the summary.
        """
        try:
            result = self.read_result() if self.config.is_file() else None
        except UserError:
            return None
        return result if result and result.is_done(epochs) else None

    def read_result(self) -> RunResult:
        """The content of ``summary.json``.

        Raises:
            UserError: it is missing or damaged.
        """
        resume = "resume the run to rewrite it"
        try:
            return decode(self.summary.read_bytes(), self.summary, resume)
        except OSError as error:
            raise UserError(f"cannot read {self.summary} ({error.strerror}): {resume}") from error

    def read_metrics(self) -> list[dict[str, float]]:
        """The rows of ``metrics.csv``; none if there is no such file yet."""
        if not self.metrics.is_file():
            return []
        try:
            with self.metrics.open() as file:
                rows = list(csv.DictReader(file))
            return [
                {name: int(value) if value.isdecimal() else float(value) for name, value in row.items() if value}
                for row in rows
            ]
        except (OSError, ValueError, AttributeError, csv.Error) as error:
            raise UserError(f"cannot read {self.metrics}: resume the run to rewrite it") from error

    def read_config(self) -> dict[str, Any]:
        """The settings with which the run was begun.

        Raises:
            UserError: ``config.yaml`` is missing or damaged.
        """
        hint = "restore it, or choose another --name"
        try:
            settings = yaml.load(self.config.read_text(), YAML_LOADER)
        except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
            raise UserError(f"cannot read {self.config}, which is missing or damaged: {hint}") from error
        parts: dict[str, Any] = settings if isinstance(settings, dict) else {}
        if "arch" in parts or "epochs" in parts:
            raise UserError(f"{self.config} was written by an older version of convblocks: choose another --name")
        if parts.keys() >= SETTINGS and all(isinstance(parts[group], dict) for group in ("model", "trainer")):
            return parts
        raise UserError(f"{self.config} lacks some of the run's settings: {hint}")

    def changed_settings(self, settings: Mapping[str, Any], ignored: Collection[str] = ()) -> str | None:
        """The first setting, as a phrase, that differs from those with which the run was begun; None if none does.

        The layout may differ.
        """
        changed = first_change(self.read_config(), settings, ignored)
        return changed and f"{self.path} was begun with {changed}"

    def write_config(self, settings: Mapping[str, Any]) -> None:
        write(self.config, yaml.safe_dump(settings, sort_keys=False))

    def write_result(self, result: RunResult) -> None:
        write(self.summary, encode(result, indent=2))

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Keep other processes from working here, after waiting a moment for one that is ending.

        Removes unfinished files of killed processes.

        Raises:
            BusyError: another process is working on it.
        """
        try:
            with FileLock(self.path / ".lock", timeout=LOCK_SECONDS):
                for folder in (self.path, self.last_checkpoint.parent):
                    remove_unfinished(folder)
                yield
        except Timeout as error:
            raise BusyError(f"another process is working on {self.path}: wait for it, or stop it") from error

    def create(self, exist_ok: bool = True) -> bool:
        """Make the directory; returns False if it exists and must not.

        Raises:
            UserError: it cannot be made or written to.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.mkdir(exist_ok=exist_ok)
            with TemporaryFile(dir=self.path):
                pass
        except FileExistsError as error:
            if self.path.is_dir():
                return False
            reason = "it is a broken link" if self.path.is_symlink() else error.strerror
            raise UserError(f"cannot write to {self.path}: {reason}") from error
        except OSError as error:
            raise UserError(f"cannot write to {self.path}: {error.strerror}") from error
        return True


def is_epoch(row: Mapping[str, float]) -> bool:
    """Whether a row of ``metrics.csv`` is of an epoch, whole or cut short, not of an evaluation within one."""
    return any(name.startswith(TRAINING) for name in row)


def has_dead_layer(row: Mapping[str, float]) -> bool:
    """Whether all units behind a ReLU output 0 for every image."""
    return any(share == 1 for name, share in row.items() if name.startswith(DEAD))


def first_change(began: Mapping[str, Any], now: Mapping[str, Any], ignored: Collection[str] = ()) -> str | None:
    """The first setting that differs, as in ``lr=0.1, not 0.2``; None if none does. The layout may differ."""
    saved, current = flatten(began), flatten(now)
    for option in sorted(saved | current):
        if saved.get(option) != current.get(option) and option not in ignored and not _is_of_layout(option):
            return f"{option}={saved.get(option)}, not {current.get(option)}"
    return None


def next_version(arch: str, root: Path) -> RunDirectory:
    """The first free ``<arch>/version_N`` after the existing ones."""
    versions = [path.name.removeprefix("version_") for path in RunDirectory(arch, root).path.glob("version_*")]
    number = max((int(version) for version in versions if version.isdecimal()), default=-1) + 1
    return RunDirectory(f"{arch}/version_{number}", root)


def _is_of_layout(option: str) -> bool:
    return any(f"{option}.".startswith(f"{part}.") for part in LAYOUT)
