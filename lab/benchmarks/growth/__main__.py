"""usage: python -m lab.benchmarks.growth [options]

Measure how cost grows on this machine: with the images of an epoch, the classes, the
network's parameters, the images of a batch, the runs in a report, the trials of a
search, and the processes that train together. Takes about ten minutes on two CPUs, on
which nothing else should run.

  --arch NAME ...      the networks whose batches grow (default: all)
  --rounds N           how often everything is measured (default: 10)
  --sizes N            only the smallest N sizes of each, for a quick look (default: all)
  --out FOLDER         where the page goes, and in its folder data raw numbers (default:
                       lightning_logs/benchmark)

Example:
  python -m lab.benchmarks.growth --out docs
"""

import os
from contextlib import ExitStack
from functools import partial

import torch

from convblocks.console import answer, end
from lab.benchmarks.growth.page import blocks
from lab.benchmarks.growth.sizes import Point, groups
from lab.benchmarks.harness import TakeTurn, at_least, in_turns, parser, publish
from lab.benchmarks.rows import Labels, Results, Row, Task

# More than any quantity has.
ALL_SIZES = 100


def main(arguments: list[str]) -> None:
    """Measure, print the tables, and write page and raw numbers.

    Raises:
        UsageError: options that are unknown or out of range.
        UserError: the folder cannot be written to.
    """
    made = parser(rounds=10)
    made.add_argument("--sizes", type=at_least(2), default=ALL_SIZES)  # one has no growth
    options = made.parse_args(arguments)
    results = Results.begin(
        arguments, options.rounds, threads=torch.get_num_threads(), cpus=os.cpu_count()
    )
    for points in groups(options.arch, options.sizes):
        with ExitStack() as stack:
            results.measure([task(stack, point) for point in points], options.rounds, warm_up=True)
    publish("growth", blocks(results), results, options.out)


def task(stack: ExitStack, point: Point) -> Task:
    """Start a point's processes, which live as long as the stack; their turns are the
    measurements.
    """
    threads = 1 if point.ranks else torch.get_num_threads()
    turn = stack.enter_context(
        in_turns(threads, point.function, *point.arguments, ranks=point.ranks or 1)
    )
    labels: Labels = {"quantity": point.quantity, "series": point.series, "size": point.size}
    return labels, partial(measured, turn, point.steps)


def measured(take_turn: TakeTurn, steps: int | None) -> list[Row]:
    """A turn, with the seconds that count: of the function, of a training step, or of the epoch."""
    values = take_turn()[0].values
    if "seconds" not in values:
        trained = values["training"]
        counted = trained / steps if steps else trained + values["evaluation"]
        values = values | {"seconds": counted}
    return [Row({}, values)]


if __name__ == "__main__":
    end(answer(main, __doc__))
