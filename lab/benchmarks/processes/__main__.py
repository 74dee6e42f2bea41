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

from convblocks.console import answer, end
from lab.benchmarks.harness import at_least, measure_in_turns, parser, publish
from lab.benchmarks.processes import measure
from lab.benchmarks.processes.measure import WAYS, turns_of
from lab.benchmarks.processes.page import blocks
from lab.benchmarks.rows import Labels, Results
from lab.benchmarks.training.ways import Case

# Training steps of a turn by the global batch size: half a second to a second each.
STEPS = {
    64: {"mlp": 200, "maxpool": 20, "batchnorm": 40},
    256: {"mlp": 120, "maxpool": 6, "batchnorm": 15},
}

# What is recorded: processes of this project, and the images of a step that they share.
PROCESSES = 8
BATCH_SIZE = 64

# 20 of them are recorded.
RECORDED_STEPS = 31


def main(arguments: list[str]) -> None:
    """Measure, print the tables, and write page and raw numbers.

    Raises:
        UsageError: options that are unknown or out of range.
        UserError: the folder cannot be written to, or a process was killed.
    """
    made = parser()
    made.add_argument("--steps", type=at_least(3), default=200)  # of fewer none is an inner one
    options = made.parse_args(arguments)
    results = Results.begin(arguments, options.rounds)
    for arch in options.arch:
        cases = compared(arch, options.steps)
        turns = [(labels("compared", case), turns_of(case)) for case in cases]
        measure_in_turns(results, turns, options.rounds)
        for case in recorded(arch, min(RECORDED_STEPS, options.steps)):
            results.measure([(labels("recorded", case), partial(measure.recorded, case))])
    publish("processes", blocks(results), results, options.out)


def labels(part: str, case: Case) -> Labels:
    return {"part": part, **asdict(case)}


def compared(arch: str, most_steps: int) -> Iterator[Case]:
    """Both variants with 1 and 2 processes, at each batch size."""
    for batch_size, steps in STEPS.items():
        for processes in (1, 2):
            for variant in WAYS:
                yield of_steps(variant, arch, batch_size, processes, min(steps[arch], most_steps))


def recorded(arch: str, steps: int) -> Iterator[Case]:
    """This project, and plain Lightning with 2 processes to hold it against."""
    yield of_steps("plain", arch, BATCH_SIZE, 2, steps)
    yield of_steps("fit", arch, BATCH_SIZE, PROCESSES, steps)


def of_steps(variant: str, arch: str, batch_size: int, processes: int, steps: int) -> Case:
    """A few steps, and one batch of evaluation; the batch is that of all processes together."""
    return Case(
        variant, arch, batch_size=batch_size, steps=steps, test_batches=1, processes=processes
    )


if __name__ == "__main__":
    end(answer(main, __doc__))
