"""usage: python scripts/search.py --arch NAME [options] [options of fit.py]

Search for good settings: train, score on held-out training images, choose the next settings from the results so far,
and stop unpromising trials early. Then retrain the best settings with fresh seeds and report their accuracy. Rerun it
to continue after a kill; start it again in parallel, here or on another machine, to share the trials.

  --arch NAME ...      the network; if several, the choice among them is searched too
  --data.val_size N    number of training images held out for the score
  --trials N           number of trials, of all processes together (default: 40)
  --epochs N           passes over the training images (default: the config's, else 5)
  --space SPACE        the search space: lr=1e-4..3e-2:log,batch_size=32|64|128 or a YAML file of such lines, over any
                       option of fit.py (default: learning rate and schedule, optimizer and weight decay, batch size,
                       augmentation, except options given for all trials)
  --seed N             seed of the choices and of every trial (default: 0)
  --sampler NAME       tpe, or random (default: tpe)
  --pruner NAME        median stops a trial that is worse than half of the earlier ones, none lets all run
  --confirm N          number of best settings to retrain, beside the default (default: 3)
  --seeds N            number of fresh seeds for each (default: 5)
  --jobs N             parallel trials (default: as many as CPUs)
  --threads N          CPU threads of each trial, part of its settings (default: 1)
  --name NAME          journal, trials and report go to lightning_logs/NAME (default: search)
  --no-fit             only report on existing trials

Any other option is passed to fit.py for all trials. Each trial is a run: fit.py --name NAME/trial_7 --resume continues
it. With one job the same command makes the same choices, interrupted or not.

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
