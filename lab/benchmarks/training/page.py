"""The tables and the figure of the cost of training."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from convblocks.compare.statistics import mean_interval
from convblocks.diagnosis.advice import whole_percent
from convblocks.figures.estimates import PERCENT, SECONDS, Estimate, number
from convblocks.figures.tables import Table
from convblocks.run.words import EPOCHS
from convblocks.text import listed
from lab.benchmarks.pages import Page
from lab.benchmarks.rows import Label, Labels, Results, judged
from lab.benchmarks.training.figure import archs_of, performance_figure, training
from lab.benchmarks.training.measure import LOOKS_EVERY, OTHER, PARTS
from lab.benchmarks.training.ways import EPOCH_STEPS, Variant
from lab.estimates import at_least, at_most

# The names of the ways to train in a sentence that says how long they take.
SLOWER: dict[Variant, str] = {
    "notebook": "the notebook's loop",
    "lightning-plain": "a usual Lightning project",
}

# The networks that have targets.
NETWORKS = ("mlp", "maxpool", "batchnorm")

# The accuracy that a sprint is to reach, and the most seconds that it may take from the
# command, on two CPUs.
FAST = 0.99
SPRINT_TARGETS = {"bf16-mixed": 12, "32-true": 20}


def command(name: str, **labels: Label) -> Labels:
    return {"part": "command", "command": name, **labels}


@dataclass(frozen=True)
class Target:
    """The least or the most that a ratio of two cases should be, for each network that
    has a limit.
    """

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
        own: Labels = {"arch": arch}
        return results.ratio(self.value, own | self.above, own | self.below)

    def verdict(self, results: Results, arch: str) -> str:
        judge = at_least if self.bar == "at least" else at_most
        return judge(self.ratio(results, arch), self.limits[arch])

    def cell(self, results: Results, arch: str) -> str:
        """The ratio, the target and the verdict; empty for a network without a target."""
        if arch not in self.limits:
            return ""
        target = f"{self.bar} {self.limits[arch]:g}"
        return f"{self.ratio(results, arch)}, {target}: {self.verdict(results, arch)}"


PLAIN = training("lightning-plain")
NOTEBOOK = training("notebook")
FIT = training("fit")
BARE = training("bare")
FIT_MIXED = training("fit", "bf16-mixed")
BARE_MIXED = training("bare", "bf16-mixed")
FIT_ALONE = training("fit", threads="one")
BARE_ALONE = training("bare", threads="one")

TARGETS = (
    Target("epoch: lightning-plain / fit", "at least", [10, 2.2, 2.6], "epoch", PLAIN, FIT),
    Target("epoch: notebook / fit", "at least", [3.5, 1.6, 1.8], "epoch", NOTEBOOK, FIT),
    Target("training steps: fit / bare", "at most", [1.6, 0.92, 1.0], "step", FIT, BARE),
    Target(
        "training steps on one thread: fit / bare",
        "at most",
        [1.3, 0.92, 1.0],
        "step",
        FIT_ALONE,
        BARE_ALONE,
    ),
    Target(
        "training steps in bf16-mixed: fit / bare",
        "at most",
        [None, 0.85, None],
        "step",
        FIT_MIXED,
        BARE_MIXED,
    ),
    Target(
        "epoch: lightning-plain in 32 bit / fit in bf16-mixed",
        "at least",
        [None, 4, 2.5],
        "epoch",
        PLAIN,
        FIT_MIXED,
    ),
    Target(
        "peak memory above the imports: fit / bare", "at most", [1.3, 1.3, 1.3], "memory", FIT, BARE
    ),
    Target(
        "start: fit.py to its first step / import lightning, torchvision",
        "at most",
        [1.25, 1.25, 1.25],
        "seconds",
        command("first step"),
        command("imports", arch=""),
    ),
    Target(
        "time for an image: one run with all threads / a run on each thread",
        "at least",
        [1.3, None, 1.1],
        "seconds",
        {"part": "jobs", "runs": "one"},
        {"part": "jobs", "runs": "one a thread"},
    ),
)


def slower(results: Results, variant: str, arch: str) -> Estimate:
    """How many times as long as this project's an epoch of a variant takes."""
    return results.ratio("epoch", training(variant), FIT, arch=arch)


def gain(results: Results) -> str:
    """The gain of a user: seconds of an epoch, and how many times as long the others take."""
    archs = archs_of(results)
    seconds = listed(
        [f"{results.median('epoch', **FIT, arch=arch):.1f} s for {arch}" for arch in archs]
    )
    others = []
    uncertain = []
    for variant, name in SLOWER.items():
        ratios = {arch: slower(results, variant, arch) for arch in archs}
        others.append(
            f"{name} takes {listed([f'{ratio.value:.1f}' for ratio in ratios.values()])} "
            "times as long"
        )
        uncertain += [
            f"{arch} against {name}"
            for arch, ratio in ratios.items()
            if at_least(ratio, 1) != "met"
        ]
    gained = f"An epoch takes {seconds}; {listed(others)}."
    if uncertain:
        gained += f" Not certain, since the interval holds 1: {listed(uncertain)}."
    return gained


def texts(results: Results) -> dict[str, object]:
    archs = archs_of(results)
    most = results.settings["steps"]
    verdicts = Counter(
        target.verdict(results, arch)
        for target in TARGETS
        for arch in target.limits
        if arch in archs
    )
    counts = ", ".join(
        f"{verdicts[verdict]} {verdict}" for verdict in ("met", "missed", "undecided")
    )
    steps = {arch: results.numbers("steps", **FIT, arch=arch)[0] for arch in archs}
    return {
        "gain": gain(results),
        "limited": "" if most is None else f"; turns of {most} steps",
        "steps_of_turns": listed([f"{count} steps of {arch}" for arch, count in steps.items()]),
        "loading_steps": results.numbers("steps", **NOTEBOOK)[0],
        "looks_a_second": f"{1 / LOOKS_EVERY:,.0f}",
        "verdicts": f"Of {verdicts.total()} targets: {counts}.",
    }


def wait_table(results: Results) -> Table:
    """Seconds of a whole run, and its parts."""
    rows = []
    for arch in archs_of(results):
        start = results.median("seconds", **command("first step"), arch=arch)
        step = results.median("step", **FIT, arch=arch)
        evaluation = results.median("evaluation", **FIT, arch=arch)
        parts = [start, EPOCHS * EPOCH_STEPS * step, EPOCHS * evaluation]
        whole = sum(parts)
        cells = [f"{part:.1f} ({whole_percent(part / whole)})" for part in parts]
        rows.append([arch, *cells, f"{whole:.1f}"])
    header = ["network", "start", "training", "evaluation, logs, checkpoints", "seconds in all"]
    return Table(f"What {EPOCHS} epochs of fit.py are made of", header, rows)


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
        added = [number(cost, signed=True) for cost in (loop - bare, project - loop)]
        measured = judged(results.ratio("step", FIT_ALONE, BARE_ALONE, arch=arch))
        rows.append([arch, number(bare), *added, number(project), measured])
    header = ["network", "bare", "Trainer's loop", "this project", "fit", "fit / bare"]
    return Table("Where the milliseconds of a training step go", header, rows)


def parts_table(results: Results) -> Table:
    """What each microsecond of a step that is not arithmetic buys."""
    rows = []
    for part in (*PARTS, OTHER):
        times = [f"{microseconds(results, variant, part.name):.0f}" for variant in ("bare", "fit")]
        rows.append([part.name, *times, part.buys])
    return Table("A step of the MLP, in microseconds", ["part", "bare", "fit", "what it is"], rows)


def microseconds(results: Results, variant: str, part: str) -> float:
    labels: Labels = {"part": "of a step", "variant": variant, "of": part}
    (steps,) = results.numbers("steps", **labels)
    return 1e6 * results.median("seconds", **labels) / steps


def alternatives_table(results: Results) -> Table:
    """The steps of what one might take instead, on one thread."""
    rows = []
    for arch in archs_of(results):
        for variant in results.different("variant", part="training", threads="one"):
            if variant not in ("bare", "barebones", "fit"):
                own = training(variant, threads="one")
                took = f"{1000 * results.median('step', **own, arch=arch):.2f}"
                measured = judged(results.ratio("step", own, BARE_ALONE, arch=arch))
                rows.append([arch, variant, took, measured])
    header = ["network", "instead", "ms per step", "/ bare"]
    return Table("What one might take instead", header, rows)


def sprints_table(results: Results) -> Table:
    """How soon the shortest way to 99 % gets there, with everything that a user waits for."""
    rows = []
    for precision, limit in SPRINT_TARGETS.items():
        labels: Labels = {"part": "sprint", "precision": precision}
        seconds = mean_interval(results.values("seconds", **labels), SECONDS)
        accuracies = results.values("accuracy", **labels)
        reached = f"{sum(accuracy >= FAST for accuracy in accuracies)} of {len(accuracies)}"
        mean = mean_interval(accuracies, PERCENT)
        verdict = f"at most {limit}: {at_most(seconds, limit)}"
        rows.append([precision, str(seconds), reached, str(mean), verdict])
    header = ["precision", "seconds", f"reach {whole_percent(FAST)}", "test accuracy %", "target"]
    return Table(f"From the command to {whole_percent(FAST)}", header, rows)


def targets_table(results: Results) -> Table:
    """A ratio, how it varied, and whether the target is met; empty where there is none."""
    archs = archs_of(results)
    rows = []
    for target in TARGETS:
        cells = [target.cell(results, arch) for arch in archs]
        rows.append([target.name, *cells])
    return Table("Ratios and targets", ["ratio", *archs], rows)


PAGE = Page(
    Path(__file__).with_name("performance.md"),
    {
        "wait": wait_table,
        "steps": steps_table,
        "parts": parts_table,
        "alternatives": alternatives_table,
        "sprints": sprints_table,
        "targets": targets_table,
    },
    texts,
    (performance_figure, "Seconds per epoch of four ways to train, a panel for each network"),
)
