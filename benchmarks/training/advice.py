"""Which settings are fastest, by the pace that was measured of each, and the flags that say so."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median

from benchmarks.training.case import Precision
from convblocks.tables import Table

# A setting is not faster than another, whatever was measured, unless it is so by this factor.
LEAST_GAIN = 1.05

# Fewer do not tell how much they vary.
LEAST_MEASUREMENTS = 2

# How a line begins that is a command.
COMMAND = "  "

LEGEND = (
    "Median [lowest, highest] of all jobs together; ~ where measured once; what is hopeless is not measured again, or "
    f"not at all. tied: the difference from the fastest is within the noise, or below {LEAST_GAIN - 1:.0%}. Of those "
    "that tie, the one nearest to the command's defaults is chosen."
)


@dataclass(frozen=True)
class Setting:
    """How a network can be trained.

    Args:
        accelerator: As Lightning calls it: cpu, cuda, mps.
        precision: As Lightning calls it.
        jobs: Runs side by side.
        threads: CPU threads of each run.
    """

    accelerator: str
    precision: Precision
    jobs: int
    threads: int

    def __str__(self) -> str:
        return f"{self.accelerator} {self.precision}, jobs {self.jobs}, threads {self.threads}"

    def departures(self, default: "Setting") -> int:
        """In how many ways it differs from the default; another precision, which changes the numbers, weighs most."""
        others = (self.accelerator, self.jobs, self.threads), (default.accelerator, default.jobs, default.threads)
        changed = sum(own != other for own, other in zip(*others, strict=True))
        return changed + (len(others[0]) + 1) * (self.precision != default.precision)


@dataclass
class Pace:
    """Images a second of all jobs together, as they were measured one after the other."""

    measured: list[float] = field(default_factory=list)

    @property
    def is_known(self) -> bool:
        return len(self.measured) >= LEAST_MEASUREMENTS

    @property
    def value(self) -> float:
        return median(self.measured)

    def is_clearly_above(self, other: "Pace") -> bool:
        """Whether the intervals lie apart, and far enough for it to matter."""
        return min(self.measured) > max(other.measured) and self.value >= LEAST_GAIN * other.value


Paces = dict[Setting, Pace]


@dataclass(frozen=True)
class Choice:
    """What is best for a purpose, among the settings that serve it.

    Args:
        paces: These settings' pace.
        default: What the command does without flags; perhaps not measured.
    """

    paces: Paces
    default: Setting

    @property
    def tied(self) -> list[Setting]:
        """The settings that the fastest one is not clearly faster than: all, as long as no pace is known."""
        known = [pace for pace in self.paces.values() if pace.is_known]
        if not known:
            return list(self.paces)
        fastest = max(known, key=lambda pace: pace.value)
        return [setting for setting, pace in self.paces.items() if not fastest.is_clearly_above(pace)]

    @property
    def best(self) -> Setting:
        """Of the settings that tie the one that is nearest to the default; what is not known yet is no alternative."""
        known = [one for one in self.tied if self.paces[one].is_known or one == self.default]
        return min(known or self.tied, key=lambda one: (one.departures(self.default), -self.paces[one].value))

    def verdict(self, setting: Setting) -> str:
        """A table's cell."""
        if setting == self.best:
            return "chosen"
        if setting not in self.paces:
            return ""
        return "tied" if setting in self.tied else "slower"

    def reason(self) -> str:
        """Why the best setting is, held against the default."""
        if self.default not in self.paces:
            return "the default was not measured"
        default = self.paces[self.default]
        if self.best != self.default:
            return f"{self.paces[self.best].value / default.value:.2f} times as fast as the default"
        if any(pace.value >= LEAST_GAIN * default.value and not pace.is_known for pace in self.paces.values()):
            return "the default; there was no time to make sure that something else is faster"
        return "the default; nothing else is clearly faster"


@dataclass(frozen=True)
class Advice:
    """What is fastest for a network, for one run and for many.

    Args:
        arch: The network's name.
        paces: All that was measured.
        fit_default: What ``fit.py`` does without flags.
        compare_default: What ``compare.py`` does without flags.
    """

    arch: str
    paces: Paces
    fit_default: Setting
    compare_default: Setting

    @property
    def one_run(self) -> Choice:
        single = {setting: pace for setting, pace in self.paces.items() if setting.jobs == 1}
        return Choice(single, self.fit_default)

    @property
    def many_runs(self) -> Choice:
        return Choice(self.paces, self.compare_default)

    def table(self) -> Table:
        """All settings that were measured; the device only where there are several."""
        with_device = len({setting.accelerator for setting in self.paces}) > 1
        rows = []
        for setting, pace in self.paces.items():
            device = [setting.accelerator] if with_device else []
            numbers = [setting.precision, str(setting.jobs), str(setting.threads), _interval(pace)]
            rows.append([*device, *numbers, self.one_run.verdict(setting), self.many_runs.verdict(setting)])
        device = ["device"] if with_device else []
        columns = [*device, "precision", "jobs", "threads", "images a second", "one run", "many runs"]
        return Table(f"{self.arch}: what is fastest here", columns, rows, [LEGEND])

    def commands(self) -> list[str]:
        """What to copy, each below its reason, with all flags: nobody needs to know which are the defaults."""
        one, many = self.one_run, self.many_runs
        fit = ["python scripts/fit.py --arch", self.arch, *_flags(one.best, self._has_accelerator)]
        fit += ["--threads", str(one.best.threads)]
        compare = ["python scripts/compare.py --arch", self.arch, *_flags(many.best, self._has_accelerator)]
        compare += ["--jobs", str(many.best.jobs), "--threads", str(many.best.threads)]
        return [
            f"One run ({one.reason()}):",
            f"{COMMAND}{' '.join(fit)}",
            f"Many runs ({many.reason()}):",
            f"{COMMAND}{' '.join(compare)}",
        ]

    @property
    def _has_accelerator(self) -> bool:
        return self.fit_default.accelerator != "cpu"


def _flags(setting: Setting, name_device: bool) -> Sequence[str]:
    """Options of the Trainer; the device only where there is a choice."""
    device = ["--trainer.accelerator", setting.accelerator, "--trainer.devices", "1"] if name_device else []
    return [*device, "--trainer.precision", setting.precision]


def _interval(pace: Pace) -> str:
    if not pace.is_known:
        return f"~{pace.value:,.0f}"
    return f"{pace.value:,.0f} [{min(pace.measured):,.0f}, {max(pace.measured):,.0f}]"
