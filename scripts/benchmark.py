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

from convblocks.command import run_command

if __name__ == "__main__":
    sys.exit(run_command("convblocks.benchmark.speed", __doc__))
