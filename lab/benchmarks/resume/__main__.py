"""usage: python -m lab.benchmarks.resume [options]

Measure what exact_resume costs a plain Trainer on this machine: a step, a save and a
checkpoint with each kind of loader, and reading 500 batches of photographs again beside
training on them. Takes about twenty minutes on two CPUs, on which nothing else should run.

  --rounds N           how often everything is measured (default: 12; fewer than 6 decide nothing)
  --batches N          how many batches of photographs (default: 500)
  --out FOLDER         where the page goes, and in its folder data raw numbers (default:
                       lightning_logs/benchmark)

Example:
  python -m lab.benchmarks.resume --out docs
"""

import tempfile
from pathlib import Path

from convblocks.console import answer, end
from lab.benchmarks.harness import in_turns, measure_in_turns, parse, publish
from lab.benchmarks.pictures.data import PHOTOGRAPHS, write_photographs
from lab.benchmarks.resume.measure import LOADERS, replay, steps
from lab.benchmarks.resume.page import blocks
from lab.benchmarks.rows import Results


def main(arguments: list[str]) -> None:
    """Measure, print the tables, and write page and raw numbers.

    Raises:
        UsageError: options that are unknown or out of range.
        UserError: the folder cannot be written to.
    """
    options = parse(arguments, "--batches", 2, default=500)
    results = Results.begin(arguments, options.rounds, threads=1, batches=options.batches)
    cases = [
        ({"part": "step", "loader": loader, "exact": exact}, in_turns(1, steps, loader, exact))
        for loader in LOADERS
        for exact in (False, True)
    ]
    measure_in_turns(results, cases)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "photographs"
        write_photographs(folder, min(PHOTOGRAPHS, 8 * options.batches))
        turns = in_turns(1, replay, folder, options.batches)
        measure_in_turns(results, [({"part": "replay"}, turns)])
    publish("resume", blocks(results), results, options.out)


if __name__ == "__main__":
    end(answer(main, __doc__))
