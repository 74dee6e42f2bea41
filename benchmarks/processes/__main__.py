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

import time
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path

from benchmarks.pages import DATA, PAGES, write_raw_numbers
from benchmarks.processes import page
from benchmarks.processes.measure import Measurement, measure
from benchmarks.processes.results import Results
from benchmarks.processes.variants import Case
from convblocks.command_line import Parser, output_folder
from convblocks.console import answer, end
from convblocks.data import mnist
from convblocks.errors import UsageError
from convblocks.model.networks import ARCHITECTURES
from convblocks.runs.directory import LOGS
from convblocks.runs.provenance import describe_machine, git_commit
from convblocks.tables import terminal, to_console

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
    options = parse(arguments)
    out = output_folder(options.out)
    mnist.prepare(mnist.DEFAULT_ROOT)
    began = time.perf_counter()
    results = measure_all(options, arguments)
    results.minutes = (time.perf_counter() - began) / 60
    to_console(page.tables(results), terminal())
    write_raw_numbers(out / DATA, "processes", results)
    page.write_page(output_folder(out / PAGES), results)
    print(f"Written to {out / 'processes'}.md and {out / DATA / 'processes'}.json.")


def parse(arguments: list[str]) -> Namespace:
    parser = Parser()
    parser.add_argument("--arch", nargs="+", default=list(ARCHITECTURES), choices=list(ARCHITECTURES))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=max(max(steps.values()) for steps in STEPS.values()))
    parser.add_argument("--out", type=Path, default=LOGS / "benchmark")
    options = parser.parse_args(arguments)
    for option, least in (("rounds", 1), ("steps", 3)):  # of fewer steps none is an inner one
        if (value := getattr(options, option)) < least:
            raise UsageError(f"--{option} must be at least {least}, but is {value}")
    return options


def measure_all(options: Namespace, arguments: list[str]) -> Results:
    """All measurements: the comparison round by round, so that a change of the machine's pace meets both variants."""
    results = Results(describe_machine(), git_commit(), arguments, options.rounds)
    for number in range(options.rounds):
        stage = f"round {number + 1}/{options.rounds}"
        results.compared += [told(measure(case), stage) for case in compared_cases(options)]
    results.recorded += [told(measure(case, record=True), "recorded") for case in recorded_cases(options)]
    return results


def compared_cases(options: Namespace) -> Iterator[Case]:
    """Both variants next to each other, with 1 and 2 processes, at each batch size."""
    for batch_size, steps in STEPS.items():
        for arch in options.arch:
            for processes in (1, 2):
                for variant in ("fit", "plain"):
                    yield Case(variant, arch, batch_size, processes, min(steps[arch], options.steps))


def recorded_cases(options: Namespace) -> Iterator[Case]:
    """This project at strong and at weak scaling, and plain Lightning with 2 processes to hold it against."""
    steps = min(RECORDED_STEPS, options.steps)
    for arch in options.arch:
        yield Case("plain", arch, BATCH_SIZE, 2, steps)
        for processes in PROCESSES:
            for batch_size in sorted({BATCH_SIZE, BATCH_SIZE * processes}):
                yield Case("fit", arch, batch_size, processes, steps)


def told(measurement: Measurement, stage: str) -> Measurement:
    """Print a measurement as it comes in."""
    case = measurement.case
    what = f"{case.arch} batch {case.batch_size} {case.variant}, {case.processes} processes"
    print(f"{stage}  {what}: {measurement.steps_per_second:.1f} steps a second", flush=True)
    return measurement


if __name__ == "__main__":
    end(answer(main, __doc__))
