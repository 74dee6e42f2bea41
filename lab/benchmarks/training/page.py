"""The tables and the figure of the cost of training."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain

from convblocks.compare.statistics import mean_interval
from convblocks.diagnosis.advice import whole_percent
from convblocks.figures.estimates import PERCENT, SECONDS, number
from convblocks.figures.tables import Table
from convblocks.settings.words import EPOCHS
from convblocks.text import listed
from lab import NETWORKS
from lab.benchmarks.rows import Labels, Results, judged, side
from lab.benchmarks.training.figure import archs_of, performance_figure, training
from lab.benchmarks.training.history import Measurement, history_table
from lab.benchmarks.training.moments import PARTS as PARTS_OF_A_COMMAND
from lab.benchmarks.training.parts import LOOKS_EVERY, OTHER, PARTS, TAKEN_APART, Part
from lab.benchmarks.training.ways import EPOCH_STEPS
from lab.estimates import Bar, target_text
from lab.pages.writing import Block, Picture, origin, table

# The ways to train that a headline has, with their names in it.
SLOWER = {"notebook": "the notebook's loop", "lightning-plain": "a usual Lightning project"}

# The accuracy that a sprint is to reach, and the most seconds that it may take from the
# command, on two CPUs.
FAST = 0.99
SPRINT_TARGETS = {"bf16-mixed": 12, "32-true": 20}


def command(name: str, **labels: str) -> Labels:
    return {"part": "command", "command": name, **labels}


@dataclass(frozen=True)
class Target:
    """The least or the most that a ratio of two cases should be, for each network that
    has a limit; of others it is only shown, where it was measured.
    """

    name: str
    value: str
    above: Labels
    below: Labels
    bar: Bar = "at most"
    limits: Sequence[float | None] = ()  # in the order of NETWORKS; empty without a target

    def cell(self, results: Results, arch: str) -> str:
        """The ratio, the target if there is one, and the verdict; empty where nothing was
        measured.
        """
        cases: list[Labels] = [{"arch": arch} | own for own in (self.above, self.below)]
        if not all(results.of(**case) for case in cases):
            return ""
        measured = results.ratio(self.value, *cases)
        limit = dict(zip(NETWORKS, self.limits, strict=False)).get(arch)
        if limit is None:
            return judged(measured)
        return f"{measured}, {target_text(measured, self.bar, limit)}"


PLAIN = training("lightning-plain")
NOTEBOOK = training("notebook")
FIT = training("fit")
BARE = training("bare")
FIT_MIXED = training("fit", "bf16-mixed")
FIT_ALONE = training("fit", threads="one")
BARE_ALONE = training("bare", threads="one")

TARGETS = (
    Target("epoch: lightning-plain / fit", "epoch", PLAIN, FIT, "at least", [10, 2.2, 2.6]),
    Target("epoch: notebook / fit", "epoch", NOTEBOOK, FIT, "at least", [3.5, 1.6, 1.8]),
    Target("training steps: fit / bare", "step", FIT, BARE, "at most", [1.6, 0.92, 1.0]),
    Target(
        "training steps on one thread: fit / bare",
        "step",
        FIT_ALONE,
        BARE_ALONE,
        "at most",
        [1.3, 0.92, 1.0],
    ),
    Target(
        "training steps in bf16-mixed: fit / bare",
        "step",
        FIT_MIXED,
        training("bare", "bf16-mixed"),
        "at most",
        [None, 0.85, None],
    ),
    Target(
        "epoch: lightning-plain in 32 bit / fit in bf16-mixed",
        "epoch",
        PLAIN,
        FIT_MIXED,
        "at least",
        [None, 4, 2.5],
    ),
    Target(
        "training steps on one thread: fit --fast false / fit",
        "step",
        training("fit --fast false", threads="one"),
        FIT_ALONE,
    ),
    Target(
        "a command of one epoch: fit --fast false / fit",
        "seconds",
        command("epoch", fast="false"),
        command("epoch", fast="true"),
    ),
    Target("peak memory above the imports: fit / bare", "memory", FIT, BARE),
    Target(
        "start: fit.py to its first step / import lightning, torchvision",
        "seconds",
        command("first step"),
        command("imports", arch=""),
        "at most",
        [1.25, 1.25, 1.25],
    ),
    Target(
        "time for an image: one run with all threads / a run on each thread",
        "seconds",
        {"part": "jobs", "runs": "one"},
        {"part": "jobs", "runs": "one a thread"},
        "at least",
        [1.3, None, 1.1],
    ),
)


def gain(results: Results) -> str:
    """The gain of a user: seconds of an epoch, and how many times as long the others take."""
    archs = archs_of(results)
    seconds = []
    for arch in archs:
        median = results.median("epoch", **FIT, arch=arch)
        seconds.append(f"{median:.1f} s for {arch}")
    others = []
    for variant, name in SLOWER.items():
        ratios = [results.ratio("epoch", training(variant), FIT, arch=arch) for arch in archs]
        others.append(f"{name} takes {listed([*map(str, ratios)])} times as long")
    return f"An epoch takes {listed(seconds)}; {listed(others)}."


def pace(results: Results) -> str:
    """How long a step takes beside one of a bare loop, and which of them is faster."""
    ratios = {arch: results.ratio("step", FIT, BARE, arch=arch) for arch in archs_of(results)}
    times = [f"{ratio} times as long for {arch}" for arch, ratio in ratios.items()]
    said = (
        f"A training step of fit takes {listed(times)} as one of `bare`, a loop without a "
        "framework."
    )
    for verdict, faster in {"more": "`bare`", "less": "fit"}.items():
        archs = [arch for arch, ratio in ratios.items() if side(ratio) == verdict]
        if archs:
            said += f" {faster} is faster for {listed(archs)}."
    return said


def blocks(results: Results, history: Sequence[Measurement]) -> list[Block]:
    """The page; the history's last measurement is this one."""
    settings = results.settings
    threads = settings["threads"]
    where = origin(__package__, "performance", results, f"{threads} threads")
    return [
        "# What training costs",
        gain(results),
        f"""
        That includes the evaluation, in 32 bit on {threads} threads: medians of n =
        {results.rounds} rounds, which the figure shows as marks, with 95 % intervals.
        """,
        pace(results),
        Picture(
            "performance",
            "Seconds per epoch of four ways to train, a panel for each network",
            partial(performance_figure, results),
        ),
        [wait_table(results)],
        "Calculated from one epoch. The start is the time from the command to the first step.",
        *commands_blocks(results),
        "## How it was measured",
        f"""
        {where} No GPU was at hand. [README.md](README.md) explains ratios and verdicts.
        The same network is trained at batch size 64 in these ways:
        """,
        """
        - `notebook`: the course's loop. torchvision transforms each image; `.item()` and
          `.tolist()` at every step.
        - `lightning-plain`: a usual Lightning project with the same loaders, torchmetrics,
          `self.log` at every step, default bar, logger and checkpoints.
        - `bare`: a loop without a framework. Normalised images in memory, channels last, fused
          Adam; no metrics, no logs.
        - `barebones`: the steps of `bare` in Lightning's `Trainer(barebones=True)`.
        - `fit`: this project's `scripts/fit.py`, with the short cuts of `fast/`, which change no
          bit of the result.
        """,
        f"""
        A turn has {results.turns(**FIT)}, or
        {results.different("steps", **NOTEBOOK)[0]} in the first two ways, and an
        evaluation of the test set. An epoch is calculated from it: {EPOCH_STEPS} steps,
        evaluation, logs, checkpoint. The first two ways have the number of worker
        processes (0, 1 or 2) that was fastest in a trial.
        """,
        [steps_table(results)],
        """
        On one thread. The Trainer's loop is what `barebones` adds to `bare`. This
        project adds normalisation, metrics, logs, bar and signals to that, and saves
        what `fast/` leaves out.
        """,
        [parts_table(results)],
        f"""
        On one thread, by a clock that looks {1 / LOOKS_EVERY:,.0f} times per second, at a
        call or a return, which function is running. Looking takes time too, of Python's
        functions above all: with it a step of bare takes {slowed(results, "bare"):.1f} times
        as long, and one of fit {slowed(results, "fit"):.1f} times. So arithmetic
        is a larger share of a step than it seems here, and the loop a smaller one.
        """,
        [alternatives_table(results)],
        "In 32 bit on one thread, and as a multiple of `bare`.",
        [sprints_table(results)],
        f"""
        `python scripts/fit.py --config configs/sprint.yaml --trainer.precision
        PRECISION --threads {threads} --seed SEED`: means of n = {results.rounds}
        commands, seeds from 0 on, up to the line with the test accuracy.
        """,
        [targets_table(results)],
        verdicts(results),
        [history_table(history)],
    ]


def verdicts(results: Results) -> str:
    """How many targets are met, and what is none."""
    cells = chain(*targets_table(results).rows)
    counts = Counter(cell.rpartition(": ")[2] for cell in cells if ", at " in cell)
    kinds = ("met", "missed", "undecided")
    found = ", ".join(f"{counts[verdict]} {verdict}" for verdict in kinds)
    return (
        f"Of {counts.total()} targets: {found}. Memory is none: `bare` keeps all images as "
        "floats, fit as bytes, four times smaller, so fit needs less by construction."
    )


def commands_blocks(results: Results) -> list[Block]:
    """The parts of whole commands; nothing of records without them."""
    rows = []
    for arch in archs_of(results):
        for fast in sorted(results.different("fast", **command("epoch", arch=arch))):
            own = command("epoch", arch=arch, fast=fast)
            row = {"network": arch, "--fast": fast}
            for part in PARTS_OF_A_COMMAND:
                row[part] = number(results.median(part, **own))
            row["seconds in all"] = number(results.median("seconds", **own))
            rows.append(row)
    if not rows:
        return []
    return [
        [table("A command of one epoch, from Enter to its end", rows)],
        f"""
        `python scripts/fit.py --arch NETWORK --epochs 1`, medians of n =
        {results.rounds} rounds. The start is Python, imports and options; data is
        reading and checking images, and noting where the run comes from; results are
        the last files and lines.
        """,
    ]


def wait_table(results: Results) -> Table:
    """Seconds of a whole run, and its parts."""
    rows = []
    for arch in archs_of(results):
        step = results.median("step", **FIT, arch=arch)
        evaluation = results.median("evaluation", **FIT, arch=arch)
        parts = {
            "start": results.median("seconds", **command("first step"), arch=arch),
            "training": EPOCHS * EPOCH_STEPS * step,
            "evaluation, logs, checkpoints": EPOCHS * evaluation,
        }
        whole = sum(parts.values())
        row = {"network": arch}
        for name, part in parts.items():
            row[name] = f"{part:.1f} ({whole_percent(part / whole)})"
        row["seconds in all"] = f"{whole:.1f}"
        rows.append(row)
    return table(f"What {EPOCHS} epochs of fit.py are made of", rows)


def steps_table(results: Results) -> Table:
    """The cost of a training step in plain torch, and what Lightning's loop and this
    project add; on one thread.
    """
    rows = []
    for arch in archs_of(results):
        bare, loop, project = (
            1000 * results.median("step", **training(variant, threads="one"), arch=arch)
            for variant in ("bare", "barebones", "fit")
        )
        rows.append(
            {
                "network": arch,
                "bare": number(bare),
                "Trainer's loop": number(loop - bare, signed=True),
                "this project": number(project - loop, signed=True),
                "fit": number(project),
                "fit / bare": judged(results.ratio("step", FIT_ALONE, BARE_ALONE, arch=arch)),
            }
        )
    return table("Where the milliseconds of a training step go", rows)


def parts_table(results: Results) -> Table:
    """What each microsecond of a step that is not arithmetic buys."""
    rows = []
    for part in (*PARTS, OTHER):
        times = {
            variant: f"{1e6 * part_time(results, variant, part):.0f}" for variant in ("bare", "fit")
        }
        rows.append({"part": part.name, **times, "what it is": part.buys})
    return table("A step of the MLP, in microseconds", rows)


def part_time(results: Results, variant: str, part: Part) -> float:
    """The seconds of a part in a step that the profiler watches."""
    own = {"part": "of a step", "variant": variant, "of": part.name}
    steps: int = results.different("steps", **own)[0]
    return results.median("seconds", **own) / steps


def slowed(results: Results, variant: str) -> float:
    """How many times as long a step takes when the profiler watches it."""
    watched = sum(part_time(results, variant, part) for part in (*PARTS, OTHER))
    alone = results.median("step", **training(variant, threads="one"), arch=TAKEN_APART)
    return watched / alone


def alternatives_table(results: Results) -> Table:
    """The steps of what one might take instead, on one thread."""
    variants = {*results.different("variant", part="training", threads="one")}
    rows = []
    for arch in archs_of(results):
        for variant in sorted(variants - {"bare", "barebones", "fit"}):
            own = training(variant, threads="one")
            step = results.median("step", **own, arch=arch)
            rows.append(
                {
                    "network": arch,
                    "instead": variant,
                    "ms per step": f"{1000 * step:.2f}",
                    "/ bare": judged(results.ratio("step", own, BARE_ALONE, arch=arch)),
                }
            )
    return table("What one might take instead", rows)


def sprints_table(results: Results) -> Table:
    """How soon the shortest way to 99 % gets there, with everything that a user waits for."""
    rows = []
    for precision, limit in SPRINT_TARGETS.items():
        labels = {"part": "sprint", "precision": precision}
        seconds = mean_interval([*results.values("seconds", **labels)], SECONDS)
        accuracies = results.values("accuracy", **labels)
        reached = sum(accuracies >= FAST)
        rows.append(
            {
                "precision": precision,
                "seconds": str(seconds),
                f"reach {whole_percent(FAST)}": f"{reached} of {len(accuracies)}",
                "test accuracy %": str(mean_interval([*accuracies], PERCENT)),
                "target": target_text(seconds, "at most", limit),
            }
        )
    return table(f"From the command to {whole_percent(FAST)}", rows)


def targets_table(results: Results) -> Table:
    """A ratio, how it varied, and whether the target is met; empty where there is none."""
    archs = archs_of(results)
    rows = []
    for target in TARGETS:
        cells = [target.cell(results, arch) for arch in archs]
        if any(cells):
            rows.append([target.name, *cells])
    return Table("Ratios and targets", ["ratio", *archs], rows)
