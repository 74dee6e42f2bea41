"""usage: python scripts/benchmark.py [options]

Measure what training costs: the course's loop, a usual Lightning project, a bare loop in plain torch, and fit.py,
alternating, each in a process of its own. Takes most of an hour on two CPUs, on which nothing else should run.

With --here: find out in two minutes which precision, how many threads and how many jobs side by side are fastest on
this machine, which should be quiet, and print the flags of fit.py and compare.py to copy.

  --arch NAME ...      the networks (default: all)
  --here               only that; takes no other options than --arch and --seconds
  --seconds N          how long --here measures (default: 90)
  --rounds N           how often everything is measured (default: 3)
  --steps N            training steps of an epoch and batches of its evaluation, for a quick look (default: all)
  --threads N          CPU threads of each measurement (default: as many as torch takes)
  --out FOLDER         where page and picture go, and in its folder data raw numbers (default: lightning_logs/benchmark)

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
