"""usage: python scripts/benchmark.py [options]

Measure what training costs: the course's loop, a usual Lightning project, the fastest loop in plain torch, and fit.py,
alternating, each in a process of its own. Takes most of an hour on two CPUs, on which nothing else should run.

  --arch NAME ...      the networks (default: all)
  --rounds N           how often everything is measured (default: 3)
  --steps N            training steps of an epoch, for a quick look (default: all)
  --threads N          CPU threads of each measurement (default: as many as torch takes)
  --out FOLDER         where page, picture and raw numbers go (default: lightning_logs/benchmark)

Examples:
  python scripts/benchmark.py --arch mlp --rounds 1
  python scripts/benchmark.py --out docs
"""

import sys
from pathlib import Path

from convblocks.console import answer

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # benchmarks/ is no part of the package


def benchmark(arguments: list[str]) -> None:
    from benchmarks.training.speed import main  # not before it is needed: --help answers at once

    main(arguments)


if __name__ == "__main__":
    sys.exit(answer(benchmark, __doc__))
