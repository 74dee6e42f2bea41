"""The run directory: the only interface between training and everything after it."""

import os
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath

import yaml
from filelock import FileLock, Timeout

from convblocks.errors import BusyError, UsageError, UserError
from convblocks.record.result import EPOCHS, RunResult, decode, encode
from convblocks.text import Settings, as_shown, as_yaml, flatten
from exact_resume.files import remove_unfinished, write

LOGS = Path("lightning_logs")

LOCK_SECONDS = 5

# Says in a message how to go on with a run.
RESUME_HINT = "continue with --resume"

# The reader that is written in C where libyaml is installed. It is several times as fast, and a
# comparison reads the config of each of its runs.
YAML_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

# The files that a run writes before it trains.
BEFORE_TRAINING = (
    "config.yaml",
    "hparams.yaml",
    "loggers.json",
    "provenance.json",
    "events.out.tfevents.*",
)

# The settings that every config.yaml has.
SETTINGS = {"model", "seed", "threads", "trainer"}

# The prefixes of settings that say which processes train. A resume may change them, since that
# changes results by rounding only.
LAYOUT = ("trainer.devices.", "trainer.num_nodes.", "trainer.strategy.")

# The prefix of the names of training metrics.
TRAINING = "train/"

# The prefix of the names of metrics that are the share of dead units behind a ReLU.
DEAD = "dead/"


class RunDirectory:
    """``lightning_logs/<name>``, below the current directory or another one.

    It holds ``config.yaml`` (the settings), ``provenance.json`` (command, code and machine),
    ``metrics.csv`` (a row for each evaluation and epoch), ``checkpoints/last.ckpt`` (where a
    resume goes on: the end of an epoch, or a place within one, with ``last-epoch-end.ckpt``
    beside it then), with a validation split also ``checkpoints/best.ckpt``, and
    ``summary.json``, the ``RunResult``, which training writes last: ``result_after`` says
    whether the run is done. The wing ``evaluate/`` writes ``mistakes.csv`` (the test images
    that the final network gets wrong). TensorBoard's events and ``hparams.yaml`` are there
    unless ``--trainer.logger`` is false, and with other loggers ``loggers.json`` with the ids
    of their runs. ``own_checkpoints/`` has those of the user's
    ModelCheckpoints. ``evaluate`` adds ``report.html``.

    Args:
        name: The run's name, a relative path.
        root: The folder in which ``lightning_logs`` lies; it may begin with ``~``.

    Raises:
        UsageError: a name that leads out of ``lightning_logs``, or that no path should
            have.
    """

    def __init__(self, name: str, root: Path = Path()) -> None:
        parts = PurePosixPath(name).parts
        leads_out = not parts or parts[0].startswith(("/", "-")) or ".." in parts
        if leads_out or not name.isprintable():
            raise UsageError(
                f"--name {name!r} must be a relative path below {LOGS}/ "
                "that does not begin with a dash, such as mlp/first"
            )
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
        self.last_checkpoint = self.path / "checkpoints/last.ckpt"
        self.best_checkpoint = self.path / "checkpoints/best.ckpt"

    def exists(self) -> bool:
        """True if there is anything by this name; an empty folder, or one with hidden files
        that a kill has left, does not count.
        """
        if not self.path.is_dir():
            return self.path.exists()
        return any(not path.name.startswith(".") for path in self.path.iterdir())

    def untrained(self) -> list[Path]:
        """The files of a run that has failed before it trained; none if the directory holds
        anything else.
        """
        files = [*self.path.glob("[!.]*")]
        is_untrained = all(any(map(path.match, BEFORE_TRAINING)) for path in files)
        return files if is_untrained and self.provenance in files else []

    def refuse_existing(self) -> None:
        """Raise a UsageError if there is a run by this name that has trained, or anything else."""
        if self.exists() and not self.untrained():
            raise UsageError(
                f"{as_shown(self.path)} exists: {RESUME_HINT}, or choose another --name"
            )

    def result_after(self, epochs: int) -> RunResult | None:
        """The result of the run if it is done: it has that many epochs (-1: no limit, which none
        has), or something ended it early. None if it is not.

        Also None if the summary is damaged: then a resume finds the epochs in the checkpoint,
        and writes the summary again.
        """
        with suppress(OSError, UserError):
            if self.config.is_file():  # else it is no run, and a resume is refused
                result = self.read_result()
                if result.ended_by != EPOCHS or 0 <= epochs <= len(result.epochs):
                    return result
        return None

    def read_result(self) -> RunResult:
        """The content of ``summary.json``.

        Raises:
            UserError: the file is damaged, or of an older version.
        """
        return decode(self.summary.read_bytes(), self.summary, "resume the run to rewrite it")

    def read_config(self) -> Settings:
        """The settings with which the run was begun.

        Raises:
            UserError: ``config.yaml`` is missing, damaged, or of an older version.
        """
        errors = OSError, ValueError, AttributeError, KeyError, TypeError, RecursionError
        with suppress(*errors, yaml.YAMLError):
            settings: Settings = yaml.load(self.config.read_text(), YAML_LOADER)
            groups = [settings[group] for group in ("model", "trainer")]
            if settings.keys() >= SETTINGS and all(isinstance(group, dict) for group in groups):
                return settings
        raise UserError(
            f"cannot read {self.config}: it is missing, damaged or of an older version: "
            "restore it, or choose another --name"
        )

    def write_config(self, settings: Settings) -> None:
        write(self.config, as_yaml(settings))

    def write_result(self, result: RunResult) -> None:
        write(self.summary, encode(result, indent=2))

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Keep other processes from working here, in a context. Waits a moment for one that is
        ending, and removes unfinished files of killed ones.

        Raises:
            BusyError: another process is working here.
        """
        try:
            with FileLock(self.path / ".lock", timeout=LOCK_SECONDS):
                remove_unfinished(self.path)
                remove_unfinished(self.last_checkpoint.parent)
                yield
        except Timeout as error:
            raise BusyError(
                f"another process is working on {self.path}: wait for it, or stop it"
            ) from error

    def is_free(self) -> bool:
        """True if no process is working here now."""
        with suppress(Timeout), FileLock(self.path / ".lock", timeout=0):
            return True
        return False

    def create(self, exist_ok: bool = True) -> bool:
        """Make the directory; return False if it exists and must not.

        Raises:
            UsageError: its path is no valid Unicode, which TensorBoard needs.
        """
        path = str(self.path.absolute())
        if path.encode(errors="replace").decode() != path:
            raise UsageError(
                f"{path!a}: the folder's name is not valid Unicode: choose another one"
            )
        self.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self.path.mkdir(exist_ok=exist_ok)
        except FileExistsError:
            if not self.path.is_dir():
                raise
            return False
        return True


def is_epoch(row: Mapping[str, float]) -> bool:
    """True for a row of ``metrics.csv`` about an epoch, even one that was cut short; False for
    one about an evaluation within an epoch.
    """
    return any(name.startswith(TRAINING) for name in row)


def first_change(began: Settings, now: Settings, ignored: Collection[str] = ()) -> str | None:
    """The first setting that differs, as ``lr=0.1, not 0.2``; None if all are the same.

    Args:
        began: The settings with which a run was begun.
        now: Those of its resume.
        ignored: Settings that may differ, by full names, beside those of ``LAYOUT``.
    """
    saved = flatten(began)
    current = flatten(now)
    for option in sorted(saved | current):
        before = saved.get(option)
        after = current.get(option)
        may_differ = option in ignored or f"{option}.".startswith(LAYOUT)
        is_nan = before != before and after != after  # nan is not equal to itself
        if before != after and not (may_differ or is_nan):
            return f"{option}={before}, not {after}"
    return None


def next_version(arch: str, root: Path) -> RunDirectory:
    """The first free ``<arch>/version_N`` after the existing ones."""
    number = 0
    for path in RunDirectory(arch, root).path.glob("version_*"):
        version = path.name.removeprefix("version_")
        if version.isdecimal():
            number = max(number, int(version) + 1)
    return RunDirectory(f"{arch}/version_{number}", root)
