"""usage: python -m lab.benchmarks.training [options]

Measure what training costs with the course's loop, a typical Lightning project, a bare
loop in plain torch, fit.py, and what one might take instead, in turns of a second, each
in a process of its own. Takes 25 minutes on two CPUs, which should be otherwise idle.
torch.compile is left out where there is no C++ compiler.

  --arch NAME ...      the networks (default: all)
  --rounds N           how often everything is measured, in another order each time (default: 12)
  --steps N            training steps of a turn and batches per evaluation at most, for a quick look
  --threads N          CPU threads of each measurement but those of one thread (default:
                       torch's choice)
  --out FOLDER         folder for the page, its figure and the raw numbers in data/
                       (default: lightning_logs/benchmark)

Examples:
  python -m lab.benchmarks.training --arch mlp --rounds 1
  python -m lab.benchmarks.training --out docs
"""

import shutil
from argparse import Namespace
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict, replace
from functools import partial
from itertools import count

import torch
from torchvision.datasets import MNIST

from convblocks.console import answer, end
from convblocks.data.mnist import DEFAULT_ROOT
from lab.benchmarks.harness import TakeTurn, at_least, in_turns, parser, publish
from lab.benchmarks.rows import Labels, Results, Row, Task
from lab.benchmarks.training import measure
from lab.benchmarks.training.page import blocks
from lab.benchmarks.training.ways import (
    EPOCH_STEPS,
    LOADING_IMAGES,
    PRECISIONS,
    Case,
    Variant,
    train,
)

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

# The network whose step is taken apart: of the others the arithmetic is nearly all.
TAKEN_APART = "mlp"


def main(arguments: list[str]) -> None:
    """Measure, print the tables, and write page, picture and raw numbers.

    Raises:
        UsageError: options that are unknown or out of range.
        UserError: the folder cannot be written to.
    """
    options = parse(arguments)
    MNIST(DEFAULT_ROOT, download=True)  # unpacks the files, before several processes would
    results = Results.begin(arguments, options.rounds, threads=options.threads, steps=options.steps)
    for arch in options.arch:
        with ExitStack() as processes:
            results.measure(list(turns(arch, options, processes)), options.rounds, warm_up=True)
    results.measure([*commands(options), *sprints(options)], options.rounds)
    publish("performance", blocks(results), results, options.out)


def parse(arguments: list[str]) -> Namespace:
    made = parser()
    made.add_argument("--steps", type=at_least(1))
    made.add_argument("--threads", type=at_least(1), default=torch.get_num_threads())
    options = made.parse_args(arguments)
    options.arch = list(dict.fromkeys(options.arch))
    return options


def turns(arch: str, options: Namespace, processes: ExitStack) -> Iterator[Task]:
    """All ways to train a network, next to each other."""
    threads_of = {"one": 1, "all": options.threads}
    for threads, case in cases(arch, options):
        take_turn = processes.enter_context(in_turns(threads_of[threads], train, case))
        yield (
            {"part": "training", "threads": threads, **asdict(case)},
            partial(timed, take_turn, case),
        )
    if arch == TAKEN_APART:
        for variant in ("bare", "fit"):
            case = limited(Case(variant, arch, steps=STEPS[arch], test_batches=1), options)
            take_turn = processes.enter_context(in_turns(1, measure.parts_of_steps, case))
            yield {"part": "of a step", "variant": variant, "steps": case.steps}, take_turn
    if arch in SIDE_BY_SIDE:
        yield from jobs(arch, options, processes)


def timed(take_turn: TakeTurn, case: Case) -> list[Row]:
    """Seconds of a step, of an evaluation, and of an epoch with one."""
    (row,) = take_turn()
    step = row.values["training"] / (case.steps or 1)
    epoch = step * EPOCH_STEPS + row.values["evaluation"]
    return [Row({}, row.values | {"step": step, "epoch": epoch})]


def cases(arch: str, options: Namespace) -> Iterator[tuple[str, Case]]:
    """What is trained with all threads, whole epochs, and what with one, just steps."""
    epochs = [
        Case(variant, arch, workers=best_workers(variant, arch, options))
        for variant in LOADING_IMAGES
    ]
    epochs = [replace(case, steps=LOADING_STEPS) for case in epochs]
    for precision in PRECISIONS if arch in MIXED else PRECISIONS[:1]:
        epochs += [Case(variant, arch, precision, steps=STEPS[arch]) for variant in ("bare", "fit")]
    yield from (("all", limited(case, options)) for case in epochs)
    alone: list[Variant] = ["bare", "barebones", "fit", "fit --fast false"]
    if any(map(shutil.which, ("g++", "clang++"))):
        alone.append("torch.compile")
    for variant in alone:
        yield "one", limited(Case(variant, arch, steps=STEPS[arch], test_batches=1), options)


def limited(case: Case, options: Namespace) -> Case:
    """A case with no more than the steps of a quick look."""
    if options.steps is None:
        return case
    steps = min(case.steps or options.steps, options.steps)
    return replace(case, steps=steps, test_batches=options.steps)


def best_workers(variant: Variant, arch: str, options: Namespace) -> int:
    """The number of workers with which a variant trains fastest; a worker has no imports to do."""
    tried = Results.begin([], rounds=1)
    with ExitStack() as processes:
        tasks: list[Task] = []
        for workers in WORKERS:
            case = Case(variant, arch, workers=workers, steps=WORKER_STEPS, test_batches=1)
            turns = in_turns(options.threads, train, limited(case, options))
            take_turn = processes.enter_context(turns)
            tasks.append(({"trial": variant, "workers": workers}, take_turn))
        tried.measure(tasks, warm_up=True)
    return min(WORKERS, key=lambda workers: tried.median("training", workers=workers))


def commands(options: Namespace) -> Iterator[Task]:
    """Whole commands."""
    yield {"part": "command", "command": "imports", "arch": ""}, measure.imports
    for arch in options.arch:
        labels: Labels = {"part": "command", "command": "first step", "arch": arch}
        yield labels, partial(measure.first_step, arch, options.threads)
        for fast in ("true", "false"):
            labels = {"part": "command", "command": "epoch", "arch": arch, "fast": fast}
            yield labels, partial(measure.whole_command, arch, options.threads, fast)


def sprints(options: Namespace) -> Iterator[Task]:
    """The shortest way to 99 %, with another seed each time."""
    for precision in PRECISIONS:
        labels: Labels = {"part": "sprint", "precision": precision}
        yield labels, partial(measure.sprint, precision, options.threads, count())


def jobs(arch: str, options: Namespace, processes: ExitStack) -> Iterator[Task]:
    """One run with all threads, and as many runs as there are threads, of one each."""
    case = limited(Case("fit", arch, steps=SIDE_BY_SIDE[arch], test_batches=1), options)
    for runs, together in {"one": 1, "one a thread": options.threads}.items():
        threads = options.threads // together
        turns = [processes.enter_context(in_turns(threads, train, case)) for _ in range(together)]
        labels: Labels = {"part": "jobs", "arch": arch, "runs": runs}
        yield labels, partial(measure.side_by_side, turns, (case.steps or 1) * case.batch_size)


if __name__ == "__main__":
    end(answer(main, __doc__))
