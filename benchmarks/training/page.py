"""The tables and the figure of the cost of training."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Literal

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.pages import Page
from benchmarks.rows import Label, Labels, Results
from benchmarks.training.ways import LOADING_IMAGES, WARM_UP_STEPS
from convblocks.estimates import Estimate
from convblocks.figures.style import WIDTH, End, Style, foreground, label_ends, log_axis, style
from convblocks.tables import Table, listed
from convblocks.training.parser import EPOCHS

# The names of the ways to train in a sentence that says how long they take.
SLOWER = {"notebook": "the notebook's loop", "lightning-plain": "a usual Lightning project"}

PROFILE = (
    "Profiled once by torch.profiler, which adds some microseconds to each call; the network as `fit` runs it, in the "
    "bare loop. In brackets the share of all operators' time."
)

# The networks that have targets.
NETWORKS = ("mlp", "maxpool", "batchnorm")

# Rows of a network's profile.
OPERATORS = 16

SMALLEST = 64  # images a step of the course's epochs, and at the beginning of growth


def epochs(variant: str, precision: str = "32-true") -> Labels:
    return {"part": "epoch", "variant": variant, "precision": precision}


def steps(variant: str, precision: str = "32-true", batch_size: int = SMALLEST) -> Labels:
    return {"part": "growth", "variant": variant, "precision": precision, "batch_size": batch_size}


def command(name: str, **labels: Label) -> Labels:
    return {"part": "command", "command": name, **labels}


@dataclass(frozen=True)
class Target:
    """The least or the most that a ratio of two cases should be, for each network that has a limit."""

    name: str
    bar: Literal["at least", "at most"]
    of_archs: Sequence[float | None]  # in the order of NETWORKS
    value: str
    above: Labels
    below: Labels

    @property
    def limits(self) -> dict[str, float]:
        limits = zip(NETWORKS, self.of_archs, strict=True)
        return {arch: limit for arch, limit in limits if limit is not None}

    def ratio(self, results: Results, arch: str) -> Estimate:
        return results.ratio(self.value, self.above, self.below, arch=arch)

    def verdict(self, results: Results, arch: str) -> str:
        ratio, limit = self.ratio(results, arch), self.limits[arch]
        return ratio.at_least(limit) if self.bar == "at least" else ratio.at_most(limit)


PLAIN, NOTEBOOK, FIT, MIXED = epochs("lightning-plain"), epochs("notebook"), epochs("fit"), epochs("fit", "bf16-mixed")
TARGETS = (
    Target("epoch: lightning-plain / fit", "at least", [10, 2.2, 2.6], "epoch", PLAIN, FIT),
    Target("epoch: notebook / fit", "at least", [3.5, 1.6, 1.8], "epoch", NOTEBOOK, FIT),
    Target("training steps: fit / bare", "at most", [1.6, 0.92, 1.0], "training", steps("fit"), steps("bare")),
    Target(
        "training steps in bf16-mixed: fit / bare",
        "at most",
        [None, 0.85, None],
        "training",
        steps("fit", "bf16-mixed"),
        steps("bare", "bf16-mixed"),
    ),
    Target("epoch: lightning-plain in 32 bit / fit in bf16-mixed", "at least", [None, 4, 2.5], "epoch", PLAIN, MIXED),
    Target("peak memory above the imports: fit / bare", "at most", [1.3, 1.3, 1.3], "memory", FIT, epochs("bare")),
    Target(
        "start: fit.py to its first step / import lightning, torchvision",
        "at most",
        [1.25, 1.25, 1.25],
        "seconds",
        command("first step"),
        command("imports", arch=""),
    ),
    Target(
        "compare.py: one trial at a time with all threads / one trial a thread",
        "at least",
        [1.3, None, 1.1],
        "seconds",
        command("one by one"),
        command("side by side"),
    ),
)


def archs_of(results: Results) -> list[str]:
    return results.different("arch", part="epoch")


def slower(results: Results, variant: str, arch: str) -> Estimate:
    """How many times as long as this project's an epoch of a variant takes."""
    return results.ratio("epoch", epochs(variant), FIT, arch=arch)


def gain(results: Results) -> str:
    """The gain of a user: seconds of an epoch, and how many times as long the others take."""
    archs = archs_of(results)
    seconds = listed([f"{results.median('epoch', **FIT, arch=arch):.1f} s for {arch}" for arch in archs])
    others, uncertain = [], []
    for variant, name in SLOWER.items():
        ratios = {arch: slower(results, variant, arch) for arch in archs}
        others.append(f"{name} takes {listed([f'{one.value:.1f}' for one in ratios.values()])} times as long")
        uncertain += [f"{arch} against {name}" for arch, one in ratios.items() if one.at_least(1) != "met"]
    doubt = f" Not certain, since the interval holds 1: {listed(uncertain)}." if uncertain else ""
    return f"An epoch takes {seconds}; {listed(others)}.{doubt}"


def texts(results: Results) -> dict[str, object]:
    archs, most = archs_of(results), results.settings["steps"]
    of_pair = results.of(**steps("fit"), arch=archs[0])
    shares = [(arch, *milliseconds(results, arch)) for arch in archs]
    verdicts = Counter(target.verdict(results, arch) for target in TARGETS for arch in target.limits if arch in archs)
    counts = ", ".join(f"{verdicts[verdict]} {verdict}" for verdict in ("met", "missed", "undecided"))
    return {
        "gain": gain(results),
        "limited": "" if most is None else f"; epochs of {most} steps",
        "batch_size": SMALLEST,
        "warm_up": min(int(most or WARM_UP_STEPS), WARM_UP_STEPS),
        "repeats": len(of_pair) // results.rounds,
        "steps_of_pair": of_pair[0].labels["steps"],
        "loop": ", ".join(f"{(loop - bare) / fit:.0%} for {arch}" for arch, bare, loop, fit in shares),
        "verdicts": f"Of {verdicts.total()} targets: {counts}.",
    }


def gain_table(results: Results) -> Table:
    """How much faster an epoch of this project is than the notebook's and a usual project's."""
    rows = []
    for arch in archs_of(results):
        seconds = [results.median("epoch", **epochs(variant), arch=arch) for variant in ("fit", *LOADING_IMAGES)]
        ratios = [str(slower(results, variant, arch)) for variant in LOADING_IMAGES]
        rows.append([arch, *(f"{one:.1f}" for one in seconds), *ratios])
    header = ["network", "this project", *LOADING_IMAGES, *(f"{variant} / this project" for variant in LOADING_IMAGES)]
    return Table("How long an epoch takes", header, rows)


def wait_table(results: Results) -> Table:
    """Seconds of a whole run, and its parts."""
    rows = []
    for arch in archs_of(results):
        start = results.median("seconds", **command("first step"), arch=arch)
        trained, evaluated = (EPOCHS * results.median(value, **FIT, arch=arch) for value in ("training", "evaluation"))
        parts = [start, trained, evaluated]
        rows.append([arch, *(f"{part:.1f} ({part / sum(parts):.0%})" for part in parts), f"{sum(parts):.1f}"])
    header = ["network", "start", "training", "evaluation, logs, checkpoints", "seconds in all"]
    return Table(f"What {EPOCHS} epochs of fit.py are made of", header, rows)


def rates(results: Results, arch: str, variant: str) -> dict[int, float]:
    """Batch size -> training steps a second, by the median time of its rounds."""
    found = {}
    for size in results.numbers("batch_size", part="growth", arch=arch):
        (count,) = results.numbers("steps", **steps(variant, batch_size=size), arch=arch)
        found[size] = count / results.median("training", **steps(variant, batch_size=size), arch=arch)
    return found


def milliseconds(results: Results, arch: str) -> tuple[float, float, float]:
    """Of a training step in plain torch, in Lightning's loop and in this project."""
    bare, loop, project = (1000 / rates(results, arch, way)[SMALLEST] for way in ("bare", "barebones", "fit"))
    return bare, loop, project


def steps_table(results: Results) -> Table:
    """The cost of a training step in plain torch, and what Lightning's loop and this project add."""
    rows = []
    for arch in archs_of(results):
        bare, loop, project = milliseconds(results, arch)
        rows.append([arch, f"{bare:.2f}", f"{loop - bare:.2f}", f"{project - loop:.2f}", f"{project:.2f}"])
    header = ["network", "bare", "the Trainer's loop adds", "this project adds or saves", "fit"]
    return Table("Where a training step's milliseconds go", header, rows)


def operator_tables(results: Results) -> list[Table]:
    """The operators that take longest, for each network that was profiled."""
    tables: list[Table] = []
    for arch in results.different("arch", part="operator"):
        times: dict[tuple[Label, Label], dict[tuple[Label, Label], float]] = {}
        for row in results.of(part="operator", arch=arch):
            own = times.setdefault((row.labels["operator"], row.labels["shape"]), {})
            own[row.labels["precision"], row.labels["threads"]] = row.values["microseconds"]
        ways = list(dict.fromkeys(way for operator in times.values() for way in operator))
        sums = {way: sum(operator.get(way, 0.0) for operator in times.values()) for way in ways}
        longest = sorted(times.items(), key=lambda item: -max(item[1].get(way, 0.0) / sums[way] for way in ways))
        rows = [
            [f"{name}", f"{shape}", *(f"{own.get(way, 0.0):.0f} ({own.get(way, 0.0) / sums[way]:.0%})" for way in ways)]
            for (name, shape), own in longest[:OPERATORS]
        ]
        columns = [f"{precision}, {threads} thread{'' if threads == 1 else 's'}" for precision, threads in ways]
        title = f"What is left of {arch}'s arithmetic: microseconds a step"
        tables.append(Table(title, ["operator", "first input", *columns], rows, [] if tables else [PROFILE]))
    return tables


def epochs_tables(results: Results) -> list[Table]:
    """The profiles, and seconds and memory of every variant."""
    rows = []
    for arch in archs_of(results):
        for precision in results.different("precision", part="epoch"):
            for variant in results.different("variant", part="epoch", precision=precision):
                own = epochs(variant, precision) | {"arch": arch}
                trained, rest, peak = (results.median(value, **own) for value in ("training", "evaluation", "memory"))
                workers = results.different("workers", **own)[0] if variant in LOADING_IMAGES else ""
                rows.append([arch, precision, variant, workers, f"{trained:.2f} + {rest:.2f}", f"{peak / 1e6:.0f}"])
    columns = ["network", "precision", "variant", "workers", "seconds", "memory [MB]"]
    return [*operator_tables(results), Table("Epochs", columns, rows)]


def growth_table(results: Results) -> Table:
    """Training steps a second, and how many images that is, at growing batch sizes."""
    rows = [
        [arch, variant, *(f"{rate:.1f} ({rate * size:,.0f})" for size, rate in rates(results, arch, variant).items())]
        for arch in archs_of(results)
        for variant in results.different("variant", part="growth")
    ]
    sizes = map(str, results.numbers("batch_size", part="growth"))
    return Table("Steps (images) a second by batch size", ["network", "variant", *sizes], rows)


def commands_table(results: Results) -> Table:
    """Seconds of whole commands."""
    threads = results.settings["threads"]
    names = {
        "imports": 'python -c "import lightning, torchvision"',
        "first step": "fit.py, to its first step",
        "one epoch": "fit.py, one epoch",
        "side by side": f"compare.py, {threads} trials of 1 thread side by side",
        "one by one": f"compare.py, one trial of {threads} threads at a time",
    }
    rows = [
        [text, arch, f"{results.median('seconds', **command(name), arch=arch):.1f}"]
        for name, text in names.items()
        for arch in sorted(results.different("arch", **command(name)))
    ]
    return Table("Commands", ["command", "network", "seconds"], rows)


def targets_table(results: Results) -> Table:
    """A ratio, how it varied, and whether the target is met; empty where there is none."""
    archs = archs_of(results)
    rows = [
        [
            one.name,
            *(
                f"{one.ratio(results, arch)}, {one.bar} {one.limits[arch]:g}: {one.verdict(results, arch)}"
                if arch in one.limits
                else ""
                for arch in archs
            ),
        ]
        for one in TARGETS
    ]
    return Table("Ratios and targets", ["ratio", *archs], rows)


def performance_figure(results: Results) -> Figure:
    """A row for each network: seconds an epoch of every way to train, and images a second by batch size."""
    variants = [*results.different("variant", part="epoch"), *results.different("variant", part="growth")]
    looks = {variant: style(number) for number, variant in enumerate(dict.fromkeys(variants))}
    archs = archs_of(results)
    figure = Figure(figsize=(WIDTH, 0.8 + 2.1 * len(archs)), layout="constrained")
    axes = figure.subplots(len(archs), 2, sharex="col", squeeze=False)
    for panel, arch in zip(axes[:, 0], archs, strict=True):
        _epochs(panel, results, arch, looks)
    panels = [(panel, _growth(panel, results, arch, looks)) for panel, arch in zip(axes[:, 1], archs, strict=True)]
    left, right = axes[-1]
    log_axis(left, "x", results.values("epoch", part="epoch", precision="32-true"))
    left.set_xlabel("seconds an epoch with evaluation, 32 bit")
    sizes = results.numbers("batch_size", part="growth")
    right.set(xscale="log", xlabel="images a step")
    right.set_xticks(sizes, map(str, sizes))
    right.minorticks_off()
    label_ends(figure, panels)
    return figure


def _epochs(axes: Axes, results: Results, arch: str, looks: Mapping[str, Style]) -> None:
    """Every round a dot, the median a stroke with its number beside it."""
    variants = results.different("variant", part="epoch")
    for row, variant in enumerate(variants):
        look = looks[variant]
        seconds = results.values("epoch", **epochs(variant), arch=arch)
        axes.plot(seconds, [row] * len(seconds), look.marker, color=look.colour, markersize=6, alpha=0.75, gid="rounds")
        middle = median(seconds)
        axes.plot([middle] * 2, [row - 0.35, row + 0.35], color=foreground(), linewidth=1.8, gid="medians")
        axes.text(1.02, row, f"{middle:.1f}", transform=axes.get_yaxis_transform(), va="center")
    axes.set_yticks(range(len(variants)), variants)
    axes.set(ylim=(len(variants) - 0.5, -0.5), title=arch)
    axes.tick_params(axis="y", length=0)


def _growth(axes: Axes, results: Results, arch: str, looks: Mapping[str, Style]) -> list[End]:
    """A curve for each way to train; in images, since the steps of large batches are few in any way."""
    ends: list[End] = []
    shown: list[float] = []
    for variant in results.different("variant", part="growth"):
        look = looks[variant]
        found = rates(results, arch, variant)
        images = [size * rate for size, rate in found.items()]
        axes.plot(list(found), images, look.line, color=look.colour, marker=look.marker, gid="rates")
        ends.append(End(variant, list(found)[-1], images[-1], look.colour))
        shown += images
    log_axis(axes, "y", shown, most=5)
    axes.set_ylabel("images a second")
    return ends


PAGE = Page(
    Path(__file__).with_name("performance.md"),
    {
        "epoch_ratios": gain_table,
        "wait": wait_table,
        "step": steps_table,
        "epochs": epochs_tables,
        "growth": growth_table,
        "commands": commands_table,
        "targets": targets_table,
    },
    texts,
    performance_figure,
)
