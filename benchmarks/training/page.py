"""The benchmark's tables, and its page in the documentation."""

import shlex
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from statistics import median

from benchmarks.pages import picture
from benchmarks.ratios import RATIOS, UNDECIDED
from benchmarks.training.case import LOADING_IMAGES, Variant
from benchmarks.training.figure import performance_figure
from benchmarks.training.results import TARGETS, Results, Target, epoch, measured, rates, training, variants_of
from convblocks.atomic import write
from convblocks.figures.style import save_in_both_themes
from convblocks.tables import Table, to_markdown
from convblocks.training.parser import EPOCHS

ABOUT = """\
## How it was measured

`python scripts/benchmark.py {arguments}` measured the [raw numbers](../data/performance.json) in {minutes:.0f} minutes,
with nothing else running, on {machine}; commit {commit}; {threads} threads{steps}.

It trains the same network in five ways, for one epoch at batch size {batch_size} and its evaluation on the test images:

- `notebook`: the course's loop. torchvision transforms each image; `.item()` and `.tolist()` at every step.
- `lightning-plain`: a usual Lightning project. The same loaders, torchmetrics and `self.log` at every step, the
  Trainer's default bar, logger and checkpoints.
- `bare`: a loop without a framework that keeps the notebook's order of layers. Normalised images in memory, channels
  last, fused Adam; no training metrics, no logs.
- `barebones`: the steps of `bare` in Lightning's Trainer with everything off that can be (`Trainer(barebones=True)`).
- `fit`: this project as `scripts/fit.py` runs it, with its bar, logs and checkpoints, and the short cuts of
  `training/fast*.py`, which change no bit of the result.

Each measurement runs in a fresh process, after at most {warm_up} steps that are not timed; the variants alternate in
{rounds} rounds. Seconds, megabytes and steps a second are medians. The first two ways run in 32 bit only, with as many
worker processes (0, 1 or 2) as were fastest in a trial of a few hundred steps. An epoch's time is that of its training
steps plus that of everything else up to the Trainer's end: evaluation, logs, checkpoint. It leaves out what `fit.py`
does once in a run: the summary of the network before, the pictures for TensorBoard after. Memory is the most by which
the process grew after its imports, worker processes not counted. The training steps of `fit` and `bare` are measured
{repeats} times a round, {steps_of_pair} steps each.
"""

GAIN = "Seconds of an epoch with its evaluation, in 32 bit: the median of {rounds} rounds."

# What the ways to train are called in a sentence that says how long they take.
SLOWER: dict[Variant, str] = {"notebook": "the notebook's loop", "lightning-plain": "a usual Lightning project"}

WAIT = (
    "Calculated from one epoch. The start is the time from the command to the first step. Drawing the pictures for "
    "TensorBoard, at the end of a run, is not included."
)

PROFILE = (
    "Profiled once by torch.profiler, which adds some microseconds to each call; the network as `fit` runs it, in the "
    "bare loop. In brackets the share of all operators' time."
)

# Rows of a network's profile.
OPERATORS = 16

LOOP = (
    "The Trainer's loop adds what a step of `barebones` takes longer than one of `bare`: {loop} of a step of `fit`. "
    "This project adds the normalisation of each batch, sums for loss and accuracy, logs, bar and signals, and saves "
    "what `training/fast*.py` leaves out: the difference of `fit` and `barebones`."
)


def write_page(folder: Path, results: Results) -> None:
    """Write the page and its picture."""
    save_in_both_themes(partial(performance_figure, results), folder / "performance.png")
    write(folder / "performance.md", markdown(results))


def tables(results: Results) -> list[Table]:
    """What is gained first, the targets last."""
    return [
        gain_table(results),
        wait_table(results),
        steps_table(results),
        *operator_tables(results),
        epochs_table(results),
        growth_table(results),
        commands_table(results),
        targets_table(results),
    ]


def gain(results: Results) -> str:
    """What a user gains, in words: seconds of an epoch, and how many times as long the others take."""
    archs = results.archs()
    seconds = _series([f"{median(epoch('fit')(results, arch)):.1f} s for {arch}" for arch in archs])
    others, uncertain = [], []
    for variant, name in SLOWER.items():
        ratios = {arch: measured(results, arch, epoch(variant), epoch("fit")) for arch in archs}
        others.append(f"{name} takes {_series([f'{one.value:.1f}' for one in ratios.values()])} times as long")
        uncertain += [f"{arch} against {name}" for arch, one in ratios.items() if one.at_least(1) != "met"]
    doubt = f" Not certain, since the interval holds 1: {_series(uncertain)}." if uncertain else ""
    return f"An epoch takes {seconds}; {_series(others)}.{doubt}"


def gain_table(results: Results) -> Table:
    """How much faster an epoch of this project is than the notebook's and a usual project's."""
    rows = []
    for arch in results.archs():
        seconds = [median(epoch(variant)(results, arch)) for variant in ("fit", *LOADING_IMAGES)]
        ratios = [measured(results, arch, epoch(variant), epoch("fit")) for variant in LOADING_IMAGES]
        rows.append([arch, *(f"{one:.1f}" for one in seconds), *map(str, ratios)])
    header = ["network", "this project", *LOADING_IMAGES, *(f"{variant} / this project" for variant in LOADING_IMAGES)]
    notes = [text.format(rounds=results.rounds) for text in (GAIN, RATIOS)]
    return Table("How long an epoch takes", header, rows, notes)


def targets_table(results: Results) -> Table:
    archs = results.archs()
    rows = [[target.name, *(_verdict(results, target, arch) for arch in archs)] for target in TARGETS]
    verdicts = Counter(target.verdict(results, arch) for target in TARGETS for arch in target.limits if arch in archs)
    counts = ", ".join(f"{verdicts[verdict]} {verdict}" for verdict in ("met", "missed", "undecided"))
    return Table(
        "Ratios and targets", ["ratio", *archs], rows, [f"Of {verdicts.total()} targets: {counts}. {UNDECIDED}"]
    )


def steps_table(results: Results) -> Table:
    """What a training step costs in plain torch, and what Lightning's loop and this project add."""
    rows, shares = [], []
    for arch in results.archs():
        bare, loop, project = (
            1000 / rates(results, arch, variant)[results.smallest_batch()] for variant in ("bare", "barebones", "fit")
        )
        shares.append(f"{(loop - bare) / project:.0%} for {arch}")
        rows.append([arch, f"{bare:.2f}", f"{loop - bare:.2f}", f"{project - loop:.2f}", f"{project:.2f}"])
    header = ["network", "bare", "the Trainer's loop adds", "this project adds or saves", "fit"]
    return Table("Where a training step's milliseconds go", header, rows, [LOOP.format(loop=", ".join(shares))])


def wait_table(results: Results) -> Table:
    """What a user waits for: seconds of a whole run, and what share of it is training."""
    rows = []
    for arch in results.archs():
        fit = results.of("fit", arch, "32-true")
        trained = median(one.timing.training for one in fit)
        evaluated = median(one.timing.evaluation for one in fit)
        start = median(results.command("first step", arch))
        parts = [start, EPOCHS * trained, EPOCHS * evaluated]
        rows.append([arch, *(f"{part:.1f} ({part / sum(parts):.0%})" for part in parts), f"{sum(parts):.1f}"])
    header = ["network", "start", "training", "evaluation, logs, checkpoints", "seconds in all"]
    return Table(f"What {EPOCHS} epochs of fit.py are made of", header, rows, [WAIT])


def operator_tables(results: Results) -> list[Table]:
    """The operators that take longest, for each network that was profiled."""
    tables: list[Table] = []
    for arch in dict.fromkeys(one.arch for one in results.operators):
        times: dict[tuple[str, str], dict[tuple[str, int], float]] = {}
        for one in results.operators:
            if one.arch == arch:
                times.setdefault((one.name, one.shape), {})[one.precision, one.threads] = one.microseconds
        ways = list(dict.fromkeys(way for operator in times.values() for way in operator))
        sums = {way: sum(operator.get(way, 0.0) for operator in times.values()) for way in ways}
        longest = sorted(times.items(), key=lambda item: -max(item[1].get(way, 0.0) / sums[way] for way in ways))
        rows = [
            [name, shape, *(f"{own.get(way, 0.0):.0f} ({own.get(way, 0.0) / sums[way]:.0%})" for way in ways)]
            for (name, shape), own in longest[:OPERATORS]
        ]
        columns = [f"{precision}, {threads} thread{'s' * (threads > 1)}" for precision, threads in ways]
        title = f"What is left of {arch}'s arithmetic: microseconds a step"
        tables.append(Table(title, ["operator", "first input", *columns], rows, [] if tables else [PROFILE]))
    return tables


def epochs_table(results: Results) -> Table:
    """Seconds and memory of every variant."""
    rows = []
    for arch in results.archs():
        for precision in dict.fromkeys(one.case.precision for one in results.epochs):
            for variant in variants_of(results.epochs):
                own = results.of(variant, arch, precision)
                if not own:  # image by image in bf16-mixed
                    continue
                trained = median(one.timing.training for one in own)
                rest = median(one.timing.evaluation for one in own)
                peak = median(one.peak_memory for one in own) / 1e6
                workers = str(own[0].case.workers) if variant in LOADING_IMAGES else ""
                rows.append([arch, precision, variant, workers, f"{trained:.2f} + {rest:.2f}", f"{peak:.0f}"])
    return Table("Epochs", ["network", "precision", "variant", "workers", "seconds", "memory [MB]"], rows)


def growth_table(results: Results) -> Table:
    """Training steps a second, and how many images that is, at growing batch sizes."""
    sizes = sorted({one.case.batch_size for one in results.growth})
    rows = [
        [arch, variant, *(f"{rate:.1f} ({rate * size:,.0f})" for size, rate in rates(results, arch, variant).items())]
        for arch in results.archs()
        for variant in variants_of(results.growth)
    ]
    return Table("Steps (images) a second by batch size", ["network", "variant", *map(str, sizes)], rows)


def commands_table(results: Results) -> Table:
    """Seconds of whole commands."""
    names = {
        "imports": 'python -c "import lightning, torchvision"',
        "first step": "fit.py, to its first step",
        "one epoch": "fit.py, one epoch",
        "side by side": f"compare.py, {results.threads} trials of 1 thread side by side",
        "one by one": f"compare.py, one trial of {results.threads} threads at a time",
    }
    keys = sorted(
        {(time.name, time.arch) for time in results.commands}, key=lambda key: (list(names).index(key[0]), key)
    )
    rows = [[names[name], arch, f"{median(results.command(name, arch)):.1f}"] for name, arch in keys]
    return Table("Commands", ["command", "network", "seconds"], rows)


# Measurements that do not know their commit are older than its mending.
TOO_FEW_WORKERS = """\
This may be too favourable. In the trial that chose how many processes load images for `notebook` and `lightning-plain`,
such processes did all imports before they began, and none were chosen. That is mended, but was not measured again.
"""


def markdown(results: Results) -> str:
    """The whole page: what is gained, how it was measured, and all the rest."""
    about = ABOUT.format(
        arguments=shlex.join(results.arguments),
        minutes=results.minutes,
        batch_size=results.epochs[0].case.batch_size,
        warm_up=results.epochs[0].case.warm_up_steps,
        rounds=results.rounds,
        machine=results.machine,
        commit=results.commit or "unknown",
        repeats=len(training("fit")(results, results.archs()[0])) // results.rounds,
        steps_of_pair=results.steps_of_pair(),
        threads=results.threads,
        steps="" if results.steps is None else f"; epochs of {results.steps} steps",
    )
    first, wait, *others = tables(results)
    shown = picture("performance", "Seconds an epoch, and images a second by batch size")
    doubt = [] if results.commit else [TOO_FEW_WORKERS]
    parts = [f"{gain(results)}\n", *doubt, to_markdown([first, wait]), f"{shown}\n", about, to_markdown(others)]
    return "\n".join(["# What training costs\n", *parts])


def _verdict(results: Results, target: Target, arch: str) -> str:
    """A ratio, how it varied, and whether the target is met; empty where there is none."""
    if arch not in target.limits:
        return ""
    bar = f"{target.bar} {target.limits[arch]:g}: {target.verdict(results, arch)}"
    return f"{target.measured(results, arch)}, {bar}"


def _series(parts: Sequence[str]) -> str:
    """``a, b and c``."""
    return " and ".join(filter(None, [", ".join(parts[:-1]), parts[-1]]))
