"""The tables and the figure of the cost of training."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Literal

from convblocks.compare.statistics import mean_interval
from convblocks.diagnosis.advice import whole_percent
from convblocks.figures.estimates import PERCENT, SECONDS, Estimate
from convblocks.figures.tables import Table
from convblocks.run.parser import EPOCHS
from convblocks.text import listed
from lab.benchmarks.pages import Page
from lab.benchmarks.rows import Label, Labels, Results, judged, ratio
from lab.benchmarks.training.figure import archs_of, performance_figure, training
from lab.benchmarks.training.measure import LOOKS_EVERY, MATRIX_SIZE, OTHER, PARTS
from lab.benchmarks.training.ways import EPOCH_STEPS, LOADING_IMAGES, Variant
from lab.estimates import at_least, at_most

# The names of the ways to train in a sentence that says how long they take.
SLOWER: dict[Variant, str] = {"notebook": "the notebook's loop", "lightning-plain": "a usual Lightning project"}

# The networks that have targets.
NETWORKS = ("mlp", "maxpool", "batchnorm")

# The accuracy that a sprint is to reach, and the most seconds that it may take from the command, on two CPUs.
FAST = 0.99
SPRINT_TARGETS = {"bf16-mixed": 12, "32-true": 20}

# Of a network's profile, the operators that take longest.
OPERATORS = 6


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
        own: Labels = {"arch": arch}
        return results.ratio(self.value, own | self.above, own | self.below)

    def verdict(self, results: Results, arch: str) -> str:
        ratio, limit = self.ratio(results, arch), self.limits[arch]
        return at_least(ratio, limit) if self.bar == "at least" else at_most(ratio, limit)


PLAIN, NOTEBOOK, FIT, BARE = (training(variant) for variant in ("lightning-plain", "notebook", "fit", "bare"))
FIT_MIXED, BARE_MIXED = (training(variant, "bf16-mixed") for variant in ("fit", "bare"))
FIT_ALONE, BARE_ALONE = (training(variant, threads="one") for variant in ("fit", "bare"))
TARGETS = (
    Target("epoch: lightning-plain / fit", "at least", [10, 2.2, 2.6], "epoch", PLAIN, FIT),
    Target("epoch: notebook / fit", "at least", [3.5, 1.6, 1.8], "epoch", NOTEBOOK, FIT),
    Target("training steps: fit / bare", "at most", [1.6, 0.92, 1.0], "step", FIT, BARE),
    Target("training steps on one thread: fit / bare", "at most", [1.3, 0.92, 1.0], "step", FIT_ALONE, BARE_ALONE),
    Target("training steps in bf16-mixed: fit / bare", "at most", [None, 0.85, None], "step", FIT_MIXED, BARE_MIXED),
    Target(
        "epoch: lightning-plain in 32 bit / fit in bf16-mixed", "at least", [None, 4, 2.5], "epoch", PLAIN, FIT_MIXED
    ),
    Target("peak memory above the imports: fit / bare", "at most", [1.3, 1.3, 1.3], "memory", FIT, BARE),
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
    seconds = listed([f"{results.median('epoch', **FIT, arch=arch):.1f} s for {arch}" for arch in archs])
    others, uncertain = [], []
    for variant, name in SLOWER.items():
        ratios = {arch: slower(results, variant, arch) for arch in archs}
        others.append(f"{name} takes {listed([f'{ratio.value:.1f}' for ratio in ratios.values()])} times as long")
        uncertain += [f"{arch} against {name}" for arch, ratio in ratios.items() if at_least(ratio, 1) != "met"]
    doubt = f" Not certain, since the interval holds 1: {listed(uncertain)}." if uncertain else ""
    return f"An epoch takes {seconds}; {listed(others)}.{doubt}"


def texts(results: Results) -> dict[str, object]:
    archs, most = archs_of(results), results.settings["steps"]
    verdicts = Counter(target.verdict(results, arch) for target in TARGETS for arch in target.limits if arch in archs)
    counts = ", ".join(f"{verdicts[verdict]} {verdict}" for verdict in ("met", "missed", "undecided"))
    steps = {arch: results.numbers("steps", **FIT, arch=arch)[0] for arch in archs}
    return {
        "gain": gain(results),
        "limited": "" if most is None else f"; turns of {most} steps",
        "steps_of_turns": listed([f"{count} of {arch}" for arch, count in steps.items()]),
        "loading_steps": results.numbers("steps", **NOTEBOOK)[0],
        "matrix_size": MATRIX_SIZE,
        "looks_a_second": f"{1 / LOOKS_EVERY:,.0f}",
        "verdicts": f"Of {verdicts.total()} targets: {counts}.",
    }


def gain_table(results: Results) -> Table:
    """How much faster an epoch of this project is than the notebook's and a usual project's."""
    rows = []
    for arch in archs_of(results):
        seconds = [results.median("epoch", **training(variant), arch=arch) for variant in ("fit", *LOADING_IMAGES)]
        ratios = [str(slower(results, variant, arch)) for variant in LOADING_IMAGES]
        rows.append([arch, *(f"{value:.1f}" for value in seconds), *ratios])
    header = ["network", "this project", *LOADING_IMAGES, *(f"{variant} / this project" for variant in LOADING_IMAGES)]
    return Table("How long an epoch takes", header, rows)


def wait_table(results: Results) -> Table:
    """Seconds of a whole run, and its parts."""
    rows = []
    for arch in archs_of(results):
        start = results.median("seconds", **command("first step"), arch=arch)
        step, evaluation = (results.median(value, **FIT, arch=arch) for value in ("step", "evaluation"))
        parts = [start, EPOCHS * EPOCH_STEPS * step, EPOCHS * evaluation]
        rows.append([arch, *(f"{part:.1f} ({part / sum(parts):.0%})" for part in parts), f"{sum(parts):.1f}"])
    header = ["network", "start", "training", "evaluation, logs, checkpoints", "seconds in all"]
    return Table(f"What {EPOCHS} epochs of fit.py are made of", header, rows)


def threads_of(results: Results) -> dict[str, int]:
    """The numbers of threads by their labels."""
    names = results.different("threads", part="training", variant="barebones")
    return {name: 1 if name == "one" else int(results.settings["threads"] or 1) for name in names}


def steps_table(results: Results) -> Table:
    """The cost of a training step in plain torch, and what Lightning's loop and this project add."""
    rows = []
    for arch in archs_of(results):
        for name, threads in sorted(threads_of(results).items(), key=lambda item: item[1]):
            ways = [training(variant, threads=name) | {"arch": arch} for variant in ("bare", "barebones", "fit")]
            bare, loop, project = (1000 * results.median("step", **way) for way in ways)
            numbers = [f"{value:.2f}" for value in (bare, loop - bare, project - loop, project)]
            rows.append([arch, str(threads), *numbers, judged(results.ratio("step", ways[2], ways[0]))])
    header = ["network", "threads", "bare", "the Trainer's loop adds", "this project adds or saves", "fit"]
    return Table("Where a training step's milliseconds go", [*header, "fit / bare"], rows)


def parts_table(results: Results) -> Table:
    """What each microsecond of a step that is not arithmetic buys."""
    rows = []
    for part in (*PARTS, OTHER):
        own = {variant: microseconds(results, variant, part.name) for variant in ("bare", "fit")}
        numbers = [own["bare"], own["fit"], own["fit"] - own["bare"]]
        rows.append([part.name, *(f"{number:.0f}" for number in numbers), part.buys])
    return Table("A step of the MLP, in microseconds", ["part", "bare", "fit", "fit - bare", "what it is"], rows)


def microseconds(results: Results, variant: str, part: str) -> float:
    labels: Labels = {"part": "of a step", "variant": variant, "of": part}
    (steps,) = results.numbers("steps", **labels)
    return 1e6 * results.median("seconds", **labels) / steps


def limits_table(results: Results) -> Table:
    """A step's arithmetic against the rate at which this processor multiplies matrices."""
    rows = []
    for arch in archs_of(results):
        operations = results.median("operations", part="arithmetic", arch=arch)
        for name, threads in sorted(threads_of(results).items(), key=lambda item: item[1]):
            rates = results.by_round("per_second", part="matrices", beside=arch, threads=name)
            at_least = [operations / rate for rate in rates]
            shares = []
            for variant in ("bare", "fit"):
                steps = results.by_round("step", **training(variant, threads=name), arch=arch)
                shares.append(ratio(at_least, steps))
            numbers = [f"{operations / 1e6:,.0f}", f"{median(rates) / 1e9:.0f}", f"{1000 * median(at_least):.2f}"]
            rows.append([arch, str(threads), *numbers, *map(judged, shares)])
    header = ["network", "threads", "million operations", "matrices: billion a second", "ms at that rate"]
    return Table("How near that is to what the processor can do", [*header, "bare", "fit"], rows)


def alternatives_table(results: Results) -> Table:
    """The steps of what one might take instead, on one thread."""
    rows = []
    for arch in archs_of(results):
        for variant in results.different("variant", part="training", threads="one"):
            own = training(variant, threads="one")
            if variant != "bare":
                to_bare = results.ratio("step", own, BARE_ALONE, arch=arch)
                shown = f"{1000 * results.median('step', **own, arch=arch):.2f}"
                rows.append([arch, variant, shown, judged(to_bare)])
    return Table("What one might take instead", ["network", "", "ms a step", "/ bare"], rows)


def operator_table(results: Results) -> Table:
    """The operators of each network that take longest."""
    rows = []
    for arch in archs_of(results):
        own = sorted(results.of(part="operator", arch=arch), key=lambda row: -row.values["microseconds"])
        total = sum(row.values["microseconds"] for row in own)
        for row in own[:OPERATORS]:
            name, shape, took = row.labels["operator"], row.labels["shape"], row.values["microseconds"]
            rows.append([arch, f"{name}", f"{shape}", f"{took:.0f}", f"{took / total:.0%}"])
    header = ["network", "operator", "first input", "microseconds", "of all operators"]
    return Table("The longest operators of a step", header, rows)


def epochs_table(results: Results) -> Table:
    """Seconds and memory of every variant that was evaluated whole."""
    rows = []
    for arch in archs_of(results):
        for row in {tuple(case.labels.values()): case for case in results.of(part="training", arch=arch)}.values():
            if row.labels["threads"] == "all" and row.labels["variant"] != "barebones":
                names = ("precision", "variant")
                own = training(f"{row.labels['variant']}", f"{row.labels['precision']}") | {"arch": arch}
                step, rest, peak = (results.median(value, **own) for value in ("step", "evaluation", "memory"))
                workers = f"{row.labels['workers']}" if row.labels["variant"] in LOADING_IMAGES else ""
                seconds = f"{EPOCH_STEPS * step:.2f} + {rest:.2f}"
                rows.append([arch, *(f"{row.labels[name]}" for name in names), workers, seconds, f"{peak / 1e6:.0f}"])
    return Table("Epochs", ["network", "precision", "variant", "workers", "seconds", "memory [MB]"], rows)


def commands_table(results: Results) -> Table:
    """Seconds of whole commands."""
    names = {"imports": 'python -c "import lightning, torchvision"', "first step": "fit.py, to its first step"}
    rows = [
        [text, arch, f"{results.median('seconds', **command(name), arch=arch):.1f}"]
        for name, text in names.items()
        for arch in sorted(results.different("arch", **command(name)))
    ]
    return Table("Commands", ["command", "network", "seconds"], rows)


def sprints_table(results: Results) -> Table:
    """How soon the shortest way to 99 % gets there, with everything that a user waits for."""
    rows = []
    for precision, limit in SPRINT_TARGETS.items():
        labels: Labels = {"part": "sprint", "precision": precision}
        seconds = mean_interval(results.values("seconds", **labels), SECONDS)
        accuracies = results.values("accuracy", **labels)
        reached = f"{sum(accuracy >= FAST for accuracy in accuracies)} of {len(accuracies)}"
        verdict = f"at most {limit}: {at_most(seconds, limit)}"
        rows.append([precision, str(seconds), reached, str(mean_interval(accuracies, PERCENT)), verdict])
    header = ["precision", "seconds", f"reach {whole_percent(FAST)}", "test accuracy %", "target"]
    return Table(f"From the command to {whole_percent(FAST)}", header, rows)


def targets_table(results: Results) -> Table:
    """A ratio, how it varied, and whether the target is met; empty where there is none."""
    archs = archs_of(results)
    rows = [
        [
            target.name,
            *(
                f"{target.ratio(results, arch)}, {target.bar} {target.limits[arch]:g}: {target.verdict(results, arch)}"
                if arch in target.limits
                else ""
                for arch in archs
            ),
        ]
        for target in TARGETS
    ]
    return Table("Ratios and targets", ["ratio", *archs], rows)


PAGE = Page(
    Path(__file__).with_name("performance.md"),
    {
        "epoch_ratios": gain_table,
        "wait": wait_table,
        "steps": steps_table,
        "parts": parts_table,
        "limits": limits_table,
        "alternatives": alternatives_table,
        "operators": operator_table,
        "epochs": epochs_table,
        "commands": commands_table,
        "sprints": sprints_table,
        "targets": targets_table,
    },
    texts,
    performance_figure,
)
