"""usage: python -m lab.benchmarks.training [options]

Measure what training costs with the course's loop, a typical Lightning project, a bare
loop in plain torch, fit.py, and what one might take instead, in turns of a second, each
in a process of its own. Takes 25 minutes on two CPUs, which should be otherwise idle.
torch.compile is left out where there is no C++ compiler.

  --arch NAME ...      the networks (default: all)
  --rounds N           how often everything is measured, in another order each time (default: 12)
  --steps N            training steps of a turn and batches per evaluation at most, for a quick look
  --out FOLDER         folder for the page, its figure and the raw numbers in data/
                       (default: lightning_logs/benchmark)

Examples:
  python -m lab.benchmarks.training --arch mlp --rounds 1
  python -m lab.benchmarks.training --out docs
"""

import shutil
from argparse import Namespace
from collections.abc import Iterator
from dataclasses import asdict, replace
from datetime import date
from functools import partial
from itertools import count

from torchvision.datasets import MNIST

from convblocks.console import answer, end
from convblocks.data.mnist import DEFAULT_ROOT
from lab.benchmarks.harness import THREADS, Measured, in_turns, measure_in_turns, parse, publish
from lab.benchmarks.rows import Results, Task
from lab.benchmarks.training import measure
from lab.benchmarks.training.history import measurement, read_history, write_history
from lab.benchmarks.training.page import blocks, command, targets_table
from lab.benchmarks.training.parts import TAKEN_APART
from lab.benchmarks.training.ways import LOADING_IMAGES, PRECISIONS, Case, train
from lab.pages.writing import output_folder

# Training steps of a turn: of the two ways that load images one by one, and of the
# others a second or less.
LOADING_STEPS = 40
STEPS = {"mlp": 400, "maxpool": 40, "batchnorm": 80}

# Numbers of worker processes that are tried with the variants that load image by image,
# in so many training steps.
WORKERS = (0, 1, 2)
WORKER_STEPS = 200

# The networks of which several runs are trained side by side, and the steps of each.
SIDE_BY_SIDE = {"mlp": 1000, "batchnorm": 100}

# The networks that are also trained in bf16-mixed, which is of no use to the MLP.
MIXED = ("maxpool", "batchnorm")


def main(arguments: list[str]) -> None:
    """Measure, print the tables, and write page, picture and raw numbers.

    Raises:
        UsageError: options that are unknown or out of range.
        UserError: the folder cannot be written to.
    """
    options = parse(arguments, "--steps", 1)
    MNIST(DEFAULT_ROOT, download=True)  # unpacks the files, before several processes would
    results = Results.begin(arguments, options.rounds, threads=THREADS, steps=options.steps)
    for arch in options.arch:
        measure_in_turns(results, turns(arch, options))
    results.measure([*commands(options), *sprints(options)], options.rounds)
    data = output_folder(options.out / "data")
    today = date.today().isoformat()
    history = [*read_history(data), measurement(results, targets_table(results), today)]
    write_history(data, history)
    publish("performance", blocks(results, history), results, options.out)


def turns(arch: str, options: Namespace) -> Iterator[Measured]:
    """All ways to train a network, next to each other."""
    for threads, whole in cases(arch, options):
        case = limited(whole, options)
        labels = {"part": "training", "threads": threads, **asdict(case)}
        yield labels, in_turns(1 if threads == "one" else THREADS, train, case)
    if arch == TAKEN_APART:
        for variant in ("bare", "fit"):
            case = limited(Case(variant, arch, steps=STEPS[arch]), options)
            labels = {"part": "of a step", "variant": variant, "steps": case.steps}
            yield labels, in_turns(1, measure.parts_of_steps, case)
    if arch in SIDE_BY_SIDE:
        # One run with all threads, and as many runs as there are threads, of one each.
        case = limited(Case("fit", arch, steps=SIDE_BY_SIDE[arch]), options)
        for runs, together in {"one": 1, "one a thread": THREADS}.items():
            labels = {"part": "jobs", "arch": arch, "runs": runs}
            yield labels, measure.side_by_side(case, THREADS // together, together)


def cases(arch: str, options: Namespace) -> Iterator[tuple[str, Case]]:
    """What is trained with all threads, whole epochs, and what with one, just steps."""
    for variant in LOADING_IMAGES:
        workers = best_workers(variant, arch, options)
        yield "all", Case(variant, arch, workers=workers, steps=LOADING_STEPS, test_batches=None)
    for precision in PRECISIONS if arch in MIXED else PRECISIONS[:1]:
        for variant in ("bare", "fit"):
            yield "all", Case(variant, arch, precision, steps=STEPS[arch], test_batches=None)
    alone = ["bare", "barebones", "fit", "fit --fast false"]
    if any(map(shutil.which, ("g++", "clang++"))):
        alone.append("torch.compile")
    for variant in alone:
        yield "one", Case(variant, arch, steps=STEPS[arch])


def limited(case: Case, options: Namespace) -> Case:
    """A case with no more than the steps of a quick look."""
    if options.steps is None:
        return case
    steps = min(case.steps or options.steps, options.steps)
    return replace(case, steps=steps, test_batches=options.steps)


def best_workers(variant: str, arch: str, options: Namespace) -> int:
    """The number of workers with which a variant trains fastest; a worker has no imports to do."""
    tried = Results.begin([], rounds=1)
    tasks = []
    for workers in WORKERS:
        case = Case(variant, arch, workers=workers, steps=WORKER_STEPS)
        turns = in_turns(THREADS, train, limited(case, options))
        tasks.append(({"trial": variant, "workers": workers}, turns))
    measure_in_turns(tried, tasks)
    return min(WORKERS, key=lambda workers: tried.median("training", workers=workers))


def commands(options: Namespace) -> Iterator[Task]:
    """Whole commands."""
    yield command("imports", arch=""), measure.imports
    for arch in options.arch:
        yield command("first step", arch=arch), partial(measure.first_step, arch)
        for fast in ("true", "false"):
            labels = command("epoch", arch=arch, fast=fast)
            yield labels, partial(measure.whole_command, arch, fast)


def sprints(options: Namespace) -> Iterator[Task]:
    """The shortest way to 99 %, with another seed each time."""
    for precision in PRECISIONS:
        labels = {"part": "sprint", "precision": precision}
        yield labels, partial(measure.sprint, precision, count())


if __name__ == "__main__":
    end(answer(main, __doc__))
