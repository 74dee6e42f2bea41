"""usage: python -m benchmarks.processes [options]

Measure what several processes cost on this machine, one thread each: fit.py and plain Lightning DDP, alternating, with
1 and 2 processes; and what 1 to 8 processes send each other in a step. Takes about eight minutes on two CPUs, on which
nothing else should run.

  --arch NAME ...      the networks (default: all)
  --rounds N           how often fit.py and plain Lightning are compared (default: 3)
  --steps N            at most so many training steps a measurement, for a quick look (default: no limit)
  --out FOLDER         where the page goes, and in its folder data raw numbers (default: lightning_logs/benchmark)

Example:
  python -m benchmarks.processes --out docs
"""

from argparse import Namespace
from collections.abc import Iterator
from dataclasses import asdict

from benchmarks.harness import parser
from benchmarks.processes.measure import Case, measure
from benchmarks.processes.page import PAGE
from benchmarks.rows import Results, Task
from convblocks.command_line import at_least, output_folder
from convblocks.console import answer, end
from convblocks.data import mnist

# Training steps of a comparison's measurement by the global batch size: one or two seconds each.
STEPS = {64: {"mlp": 400, "maxpool": 40, "batchnorm": 100}, 256: {"mlp": 250, "maxpool": 15, "batchnorm": 40}}

PROCESSES = (1, 2, 4, 8)

# Strong scaling shares so many images, weak scaling gives as many to each process.
BATCH_SIZE = 64

# 20 of them are recorded.
RECORDED_STEPS = 31


def main(arguments: list[str]) -> None:
    """Measure, print the tables, and write page and raw numbers.

    Raises:
        UsageError: options that are unknown or out of range.
        UserError: the folder cannot be written to.
    """
    made = parser(rounds=3)
    made.add_argument("--steps", type=at_least(3), default=400)  # of fewer steps none is an inner one
    options = made.parse_args(arguments)
    out = output_folder(options.out)
    mnist.prepare(mnist.DEFAULT_ROOT)
    results = Results.begin(arguments, options.rounds)
    results.measure(list(compared(options)), options.rounds)
    results.measure(list(recorded(options)))
    PAGE.publish(out, results)


def compared(options: Namespace) -> Iterator[Task]:
    """Both variants next to each other, with 1 and 2 processes, at each batch size."""
    for batch_size, steps in STEPS.items():
        for arch in options.arch:
            for processes in (1, 2):
                for variant in ("fit", "plain"):
                    yield task("compared", Case(variant, arch, batch_size, processes, min(steps[arch], options.steps)))


def recorded(options: Namespace) -> Iterator[Task]:
    """This project at strong and at weak scaling, and plain Lightning with 2 processes to hold it against."""
    steps = min(RECORDED_STEPS, options.steps)
    for arch in options.arch:
        yield task("recorded", Case("plain", arch, BATCH_SIZE, 2, steps))
        for processes in PROCESSES:
            for batch_size in sorted({BATCH_SIZE, BATCH_SIZE * processes}):
                yield task("recorded", Case("fit", arch, batch_size, processes, steps))


def task(part: str, case: Case) -> Task:
    return {"part": part, **asdict(case)}, lambda: measure(case, record=part == "recorded").rows()


if __name__ == "__main__":
    end(answer(main, __doc__))
