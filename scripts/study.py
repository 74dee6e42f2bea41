"""usage: python scripts/study.py choose|confirm [options] [options of fit.py]

Find out which network is better when each is trained at its own best setting, in two stages; see docs/protocol.md.

  choose               try learning rates and schedules, and choose by images that are held out of the training set
  confirm              train with new seeds and all training images, and test: which is better, and how sure is that?

Rerun the same command any time: finished runs are reused, interrupted ones resume.
A stage takes about an hour on two CPUs.

  --arch NAME ...      the networks, as fit.py takes them (default: mlp, maxpool, batchnorm)
  --epochs N           passes over the training images (default: 5)
  --jobs N             runs side by side (default: as many as CPUs)
  --threads N          CPU threads of each run (default: 1)
  --name NAME          runs and reports go to lightning_logs/NAME (default: study)
  --no-fit             only report on the runs that are there

Any other option is handed to fit.py for all runs, except those that the protocol settles: seeds, learning rate,
schedule and the number of images held out.

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
