"""usage: python scripts/search.py --arch NAME [options] [options of fit.py]

Look for good settings: train, judge by held-out training images, choose the next settings by what was found, and end
early what is no good. Then train the best settings anew with fresh seeds and say what they are worth. Interrupted, it
goes on where it was; started again beside itself, here or on another machine, it works on the same trials.

  --arch NAME ...      the network; of several, which one is chosen too
  --data.val_size N    how many training images are held out to judge by
  --trials N           how many trials, of all processes together (default: 40)
  --epochs N           passes over the training images (default: the config's, else 5)
  --space SPACE        what is searched: lr=1e-4..3e-2:log,batch_size=32|64|128 or a YAML file of such lines, over any
                       option of fit.py (default: learning rate and its schedule, optimizer and its weight decay, batch
                       size, augmentation, but for what is given for all trials)
  --seed N             of the choices, and of every trial (default: 0)
  --sampler NAME       tpe, or random (default: tpe)
  --pruner NAME        median ends a trial that is worse than half of those before it, none lets all run
  --confirm N          how many of the best settings are trained anew, beside the default one (default: 3)
  --seeds N            with how many fresh seeds (default: 5)
  --jobs N             trials side by side (default: as many as CPUs)
  --threads N          CPU threads of each trial, part of its settings (default: 1)
  --name NAME          journal, trials and report go to lightning_logs/NAME (default: search)
  --no-fit             only report on the trials that are there

Any other option is handed to fit.py for all trials. Each trial is a run: fit.py --name NAME/trial_7 --resume carries it
on. With one job the same command makes the same choices, interrupted or not.

Examples:
  python scripts/search.py --arch maxpool --trials 40 --epochs 3 --data.val_size 5000
  python scripts/search.py --arch mlp maxpool --space "lr=1e-4..3e-2:log,batch_size=32|64" --data.val_size 5000
"""

import signal

if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # quiet from the first moment; `answer` takes over

from convblocks.console import answer, end

if __name__ == "__main__":
    end(answer("convblocks.search.search", __doc__))
