"""usage: python -m lab.benchmarks.processes [options]

Measure what several processes cost on this machine, one thread each: fit.py and plain
Lightning DDP, with 1 and 2 processes, taking turns; and what 8 processes send each
other in a step. Takes some minutes on two CPUs, on which nothing else should run, and 8
GB of memory.

  --arch NAME ...      the networks (default: all)
  --rounds N           how often each case has its turn (default: 12; fewer than 6 decide nothing)
  --steps N            at most so many training steps a turn, for a quick look (default: 200)
  --out FOLDER         where the page goes, and in its folder data raw numbers (default:
                       lightning_logs/benchmark)

Example:
  python -m lab.benchmarks.processes --out docs
"""

from collections.abc import Iterator
from dataclasses import asdict
from functools import partial
from itertools import product

from convblocks.console import answer, end
from lab.benchmarks.harness import measure_in_turns, parse, publish
from lab.benchmarks.processes import measure
from lab.benchmarks.processes.measure import WAYS, turns_of
from lab.benchmarks.processes.page import blocks
from lab.benchmarks.rows import Results
from lab.benchmarks.training.ways import Case

# Training steps of a turn by the global batch size: half a second to a second each.
STEPS = {
    64: {"mlp": 200, "maxpool": 20, "batchnorm": 40},
    256: {"mlp": 120, "maxpool": 6, "batchnorm": 15},
}

# Of this project, that are recorded.
PROCESSES = 8

# 20 of them are recorded.
RECORDED_STEPS = 31


def main(arguments: list[str]) -> None:
    """Measure, print the tables, and write page and raw numbers.

    Raises:
        UsageError: options that are unknown or out of range.
        UserError: the folder cannot be written to, or a process was killed.
    """
    options = parse(arguments, "--steps", 3, default=200)  # of fewer none is an inner one
    results = Results.begin(arguments, options.rounds)
    for arch in options.arch:
        cases = compared(arch, options.steps)
        turns = [({"part": "compared", **asdict(case)}, turns_of(case)) for case in cases]
        measure_in_turns(results, turns)
        for case in recorded(arch, min(RECORDED_STEPS, options.steps)):
            labels = {"part": "recorded", **asdict(case)}
            results.measure([(labels, partial(measure.recorded, case))])
    publish("processes", blocks(results), results, options.out)


def compared(arch: str, most_steps: int) -> Iterator[Case]:
    """Both variants with 1 and 2 processes, at each batch size, which is that of all
    processes together.
    """
    for (batch_size, steps), processes, variant in product(STEPS.items(), (1, 2), WAYS):
        most = min(steps[arch], most_steps)
        yield Case(variant, arch, batch_size=batch_size, steps=most, processes=processes)


def recorded(arch: str, steps: int) -> Iterator[Case]:
    """This project, and plain Lightning with 2 processes to hold it against."""
    for variant, processes in {"plain": 2, "fit": PROCESSES}.items():
        yield Case(variant, arch, steps=steps, processes=processes)


if __name__ == "__main__":
    end(answer(main, __doc__))
