"""A trial: a command line of ``fit`` with a seed, in a run directory that its options determine."""

import csv
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

from convblocks import wings
from convblocks.errors import UsageError, UserError
from convblocks.record.directory import RunDirectory
from convblocks.record.result import Overrides, RunResult
from convblocks.text import as_json

# The option that sets where a trial is kept, not what it computes.
ROOT = "trainer.default_root_dir"

# Options of where and how a trial runs, not of what it computes.
NO_SETTINGS = (ROOT, *wings.modules("OPTIONS"))

# The option that holds training images out.
VAL_SIZE = "data.val_size"

# Options whose values are paths.
PATHS = ("config", "data.root")

# Below the folder of the trials that have chosen the settings.
CONFIRM = "/confirm"

# An arm is what trials of different seeds share: what is trained, and its options.
Arm = tuple[str, Overrides]


@dataclass(frozen=True)
class Trial:
    """A run of ``fit``. Its result, and how far it has got, are read from its run
    directory.

    Args:
        comparison: The folder of all trials, below ``lightning_logs``.
        arch: What is trained: a network or a LightningModule.
        common: The options that all trials share.
        chosen: The options by which it differs from others.
        seed: The seed of weights, image order and augmentation.
        option: The option of ``fit`` that takes ``arch``: "arch" or "model".
        place: The name of its run directory within that folder, such as ``trial_3``; by
            default its options name it.
    """

    comparison: str
    arch: str
    common: Overrides
    chosen: Overrides
    seed: int
    option: str = "arch"
    place: str = ""

    @property
    def overrides(self) -> Overrides:
        """All of its options but those that every trial has."""
        return self.common + self.chosen

    @property
    def arm(self) -> Arm:
        """The arm that it shares with the trials of other seeds."""
        return self.arch, self.overrides

    @property
    def name(self) -> str:
        """``compare/maxpool,lr=1e-3/1f3a9c2e/seed_0``: what differs, a hash of what all
        trials share, the seed.
        """
        if self.place:
            return f"{self.comparison}/{self.place}"
        words = ",".join([self.arch, *_equations(_short(self.chosen).items())])
        shared = hashlib.sha256(as_json(_short(self.common)).encode()).hexdigest()[:8]
        return f"{self.comparison}/{words}/{shared}/seed_{self.seed}"

    @property
    def label(self) -> str:
        """``maxpool lr=1e-3 seed 0``, or its place."""
        words = [self.arch, *_equations(self.chosen), f"seed {self.seed}"]
        return self.place or " ".join(words)

    @property
    def run(self) -> RunDirectory:
        return RunDirectory(self.name, root_of(self.common))

    @property
    def directory(self) -> RunDirectory:
        """The directory of the comparison, which holds all its trials."""
        return RunDirectory(self.comparison, root_of(self.common))

    @property
    def log(self) -> Path:
        """The output of the run."""
        return self.directory.path / "logs" / f"{self.name.replace('/', '_')}.log"

    def arguments(self) -> list[str]:
        """The words of ``fit`` that start or resume the run."""
        identity = (self.option, self.arch), ("seed", str(self.seed)), ("name", self.name)
        return [*command_line([*self.overrides, *identity]), "--resume"]

    def confirming(self, seed: int, place: str = "") -> "Trial":
        """A trial of the same settings with a fresh seed, on all training images; a user's own
        data stay as they are.
        """
        common = tuple(
            (option, "0" if option == VAL_SIZE else value) for option, value in self.common
        )
        return replace(
            self, comparison=f"{self.comparison}{CONFIRM}", common=common, seed=seed, place=place
        )

    @property
    def is_confirming(self) -> bool:
        """True for a trial with a fresh seed, at settings that others have chosen."""
        return self.comparison.endswith(CONFIRM)

    def result(self) -> RunResult | None:
        """The result; None if the run is not done, or its summary is damaged or that of
        another seed: a resume writes it again.
        """
        try:
            result = self.run.read_result()
        except (OSError, UserError):
            return None
        is_own = result.seed == self.seed
        return replace(result, overrides=self.overrides) if is_own else None

    def cause(self, status: int) -> str:
        """The last line of the log of a run that failed with this exit status."""
        if status < 0 or not self.log.is_file():  # killed
            return f"see {self.log}"
        lines = self.log.read_text(errors="replace").strip()
        return lines.rpartition("\n")[2].removeprefix("convblocks: ")

    def metrics(self) -> list[dict[str, float]]:
        """The rows of its metrics so far; none if they are not readable, since the run
        rewrites them.
        """
        try:
            with self.run.metrics.open() as file:
                rows = list(csv.DictReader(file))
            return [{name: float(text) for name, text in row.items() if text} for row in rows]
        except (OSError, ValueError):
            return []


def all_trials(
    comparison: str,
    archs: Sequence[str],
    seeds: Sequence[int],
    common: Overrides,
    grid: Mapping[str, Sequence[str]],
    option: str = "arch",
) -> list[Trial]:
    """Every network with every seed at every point of the grid."""
    points = [tuple(zip(grid, values, strict=True)) for values in product(*grid.values())]
    return [
        Trial(comparison, arch, common, point, seed, option)
        for point, arch, seed in product(points, archs, seeds)
    ]


def command_line(options: Sequence[tuple[str, str]]) -> list[str]:
    """Options as words of ``fit``; a config comes first, since later options win."""
    ordered = sorted(options, key=lambda pair: pair[0] != "config")
    return [f"--{equation}" for equation in _equations(ordered)]


def settings_text(overrides: Overrides, options: Sequence[str]) -> str:
    """The values of those of the options that an arm sets, for people: ``lr 1e-2, onecycle``."""
    words = []
    for option, value in overrides:
        if option in options:
            shown = value.rstrip("/").rpartition("/")[2] if option in PATHS else value
            words.append(shown if option == "lr_scheduler" else f"{option} {shown}")
    return ", ".join(words) or "none"


def refuse_run(directory: RunDirectory) -> None:
    """Raise a UsageError if this is the directory of a run, in which no other runs belong."""
    if directory.config.is_file():
        raise UsageError(f"{directory.path} is a single run: choose another --name")


def root_of(options: Overrides) -> Path:
    """The folder in which ``lightning_logs`` lies."""
    return Path(dict(options).get(ROOT, ""))


def _equations(options: Iterable[tuple[str, str]]) -> list[str]:
    return [f"{option}={value}" for option, value in options]


def _short(options: Overrides) -> dict[str, str]:
    """The options that change what is computed, in the order of their names."""
    return {
        option: value.replace("/", "_")
        for option, value in sorted(options)
        if option not in NO_SETTINGS
    }
