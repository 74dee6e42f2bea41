"""usage: python -m lab.benchmarks.growth [options]

Measure how cost grows on this machine: with the images of an epoch, the classes, the
network's parameters, the images of a batch, the runs in a report, the trials of a
search, and the processes that train together. Takes about ten minutes on two CPUs, on
which nothing else should run.

  --arch NAME ...      the networks whose batches grow (default: all)
  --rounds N           how often everything is measured (default: 12)
  --sizes N            only the smallest N sizes of each, for a quick look (default: all)
  --out FOLDER         where the page goes, and in its folder data raw numbers (default:
                       lightning_logs/benchmark)

Example:
  python -m lab.benchmarks.growth --out docs
"""

import os

from convblocks.console import answer, end
from lab.benchmarks.growth.page import blocks
from lab.benchmarks.growth.sizes import groups
from lab.benchmarks.harness import THREADS, measure_in_turns, parse, publish
from lab.benchmarks.rows import Results


def main(arguments: list[str]) -> None:
    """Measure, print the tables, and write page and raw numbers.

    Raises:
        UsageError: options that are unknown or out of range.
        UserError: the folder cannot be written to.
    """
    options = parse(arguments, "--sizes", 2)  # one has no growth
    results = Results.begin(arguments, options.rounds, threads=THREADS, cpus=os.cpu_count())
    for points in groups(options.arch, options.sizes):
        measure_in_turns(results, points)
    for row in results.rows:
        values = row.values
        if "training" in values:  # of a step, or of the epoch where it was a whole one
            whole = values["training"] + values["evaluation"]
            values["seconds"] = values.get("step", whole)
    publish("growth", blocks(results), results, options.out)


if __name__ == "__main__":
    end(answer(main, __doc__))
