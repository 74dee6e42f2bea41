"""usage: python scripts/study.py choose|confirm [options] [options of fit.py]

Find out in two stages which network is better when each is trained at its own best setting; see docs/lab/protocol.md.

  choose               try learning rates and schedules, and choose on held-out training images
  confirm              train with new seeds on all training images, and test: which is better, and how certain is that?

Rerun the same command any time: finished runs are reused, interrupted ones resume.
A stage takes about an hour on two CPUs.

  --arch NAME ...      the networks, as fit.py takes them (default: mlp, maxpool, batchnorm)
  --epochs N           passes over the training images (default: 5)
  --jobs N             parallel runs (default: as many as CPUs)
  --threads N          CPU threads of each run (default: 1)
  --name NAME          runs and reports go to lightning_logs/NAME (default: study)
  --no-fit             only report on existing runs

Any other option is passed to fit.py for all runs, except those fixed by the protocol: seeds, learning rate, schedule
and the number of held-out images.

Examples:
  python scripts/study.py choose && python scripts/study.py confirm
  python scripts/study.py choose --arch mlp --epochs 2 --name quick
"""

import signal

if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # quiet from the first moment; `answer` takes over

from convblocks.console import answer, end

if __name__ == "__main__":
    end(answer("convblocks.comparison.study.stages", __doc__))
