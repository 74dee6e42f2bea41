"""usage: python scripts/fit.py --arch {mlp,maxpool,batchnorm,module.Network} [options]

Train one network on MNIST or your own pictures. The run is saved in lightning_logs/.

  --arch NAME          the network: mlp, maxpool, batchnorm, or a class of your own (required)
  --network.KEY X      an argument of your own network's class
  --epochs N           passes over the training images (default: 5)
  --batch_size N       images per optimizer step (default: 64)
  --lr X               learning rate (default: 0.01)
  --optimizer NAME     adam, adamw, sgd, or a class; its arguments: --optimizer.KEY X
  --lr_scheduler NAME  constant, onecycle, cosine, or a class, likewise
  --loss NAME          cross_entropy, or a class; its arguments: --loss.KEY X
  --data.root DIR      pictures as train/CLASS/* and test/CLASS/*, or MNIST's files (default: MNIST)
  --seed N             seed of weights, image order and augmentation (default: 0)
  --threads N          CPU threads; their number changes how sums round (default: torch's choice)
  --name NAME          the run is lightning_logs/NAME (default: ARCH/version_N)
  --resume             continue the run of that name, or extend it with more --epochs
  --running_loss       also print the loss every few batches, as the course's notebook does
  --config FILE        read options from a YAML file; the command line overrides them
  --help_all           list all options (Trainer and data too); --print_config: with their values

Examples:
  python scripts/fit.py --arch mlp --lr 1e-3 --epochs 10 --name mlp/slow
  python scripts/fit.py --arch batchnorm --data.root flowers --data.size 32 32 --data.flip true
"""

import signal

if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # quiet from the first moment; `answer` takes over

from convblocks.console import answer, end
from convblocks.training import signals

signals.install()  # before the heavy imports: a job may be told to stop while they run

if __name__ == "__main__":
    end(answer("convblocks.training.fit", __doc__))
