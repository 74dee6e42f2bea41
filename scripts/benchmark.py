"""usage: python scripts/benchmark.py [options]

Measure what training costs with the course's loop, a typical Lightning project, a bare loop in plain torch, and
fit.py, in turn, each in its own process. Takes most of an hour on two CPUs, which should be otherwise idle.

With --here: find in two minutes the precision, the number of threads and the number of parallel jobs that are fastest
on this machine, which should be idle, and print the flags of fit.py and compare.py to copy.

  --arch NAME ...      the networks (default: all)
  --here               only that; takes no other options but --arch and --seconds
  --seconds N          how long --here measures (default: 90)
  --rounds N           number of rounds of all measurements (default: 3)
  --steps N            training steps per epoch and batches per evaluation, for a quick look (default: all)
  --threads N          CPU threads of each measurement (default: torch's choice)
  --out FOLDER         folder for the page, its figure and the raw numbers in data/ (default: lightning_logs/benchmark)

Examples:
  python scripts/benchmark.py --here --arch maxpool
  python scripts/benchmark.py --arch mlp --rounds 1
  python scripts/benchmark.py --out docs
"""

import signal
import sys
from pathlib import Path

if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # quiet from the first moment; `answer` takes over

from convblocks.console import answer, end

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # benchmarks/ is no part of the package

if __name__ == "__main__":
    end(answer("benchmarks.training.speed", __doc__))
