"""Validate a run of any LightningModule.

usage: convblocks validate RUN [options]

Prints the metrics that the module logs in the validation loop. RUN is a run's
folder, its name below lightning_logs, or a checkpoint in it. Its best weights
are taken if it has kept any, else the last ones; its settings are those in its
config.yaml, with one process, unless options of fit change them:

  --data.root DIR      an argument of the data
  --data NAME          other data
  --trainer.KEY X      an argument of the Trainer, such as limit_val_batches
  --weights_only false  read the objects in a checkpoint of your own
  --json               print the metrics as JSON, and nothing else

Example:
  convblocks validate mlp/version_0 --data.eval_batch_size 100
"""

from functools import partial

from convblocks.evaluate.loops import command

main = partial(command, "validate")
