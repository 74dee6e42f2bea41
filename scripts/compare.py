"""usage: python scripts/compare.py [options] [options of fit.py]

Train the networks with several seeds, in parallel, and report which is better, by how much, and how certain that is.
Rerun the same command any time: finished runs are reused, interrupted ones resume.

  --arch NAME ...      the networks to compare, as fit.py takes them (default: mlp, maxpool, batchnorm)
  --seeds N or A,B,C   seeds 0 to N-1, or these (default: 10)
  --epochs N           passes over the training images (default: the config's, else 5)
  --grid KEY=V1,V2     sweep an option of fit.py, such as lr=1e-3,1e-2; may be repeated
  --confirm N          train each network's best setting of the grid again with N fresh seeds, on all training images
  --jobs N             parallel trials (default: as many as CPUs)
  --threads N          CPU threads of each trial, part of its settings (default: 1)
  --name NAME          runs and report go to lightning_logs/NAME (default: compare)
  --trial I            train only trial number I, without a report: for a task of a job array
  --no-fit             only report on existing runs

Any other option is passed to fit.py for all trials. With --data.val_size and a grid, each network is tested at the
setting that is best for it on held-out training images.

Examples:
  python scripts/compare.py --seeds 5
  python scripts/compare.py --name rates --grid lr=1e-3,3e-3,1e-2 --data.val_size 5000
  python scripts/compare.py --name cycle --lr_scheduler onecycle --no-fit
  python scripts/compare.py --name onecycle --config configs/onecycle.yaml --arch maxpool batchnorm --seeds 5
"""

import signal

if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # quiet from the first moment; `answer` takes over

from convblocks.console import answer, end

if __name__ == "__main__":
    end(answer("convblocks.comparison.compare", __doc__))
