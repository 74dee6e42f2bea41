"""Train a network on MNIST or your pictures, or any LightningModule.

usage: convblocks fit --arch {NETWORKS} [options]

  --arch NAME          a network, or its class; its arguments: --network.KEY X
  --epochs N           passes over the training images (default: 5)
  --batch_size N       images per optimizer step (default: 64)
  --lr X               learning rate (default: 0.01)
  --optimizer NAME     adam, adamw, sgd, or a class, with --optimizer.KEY X
  --lr_scheduler NAME  constant, onecycle, cosine, or a class, likewise
  --loss NAME          cross_entropy, or a class, likewise
  --model NAME         any LightningModule, on --data NAME; with --model.KEY X
  --judge METRIC       how runs are judged: val/iou:max (default: the model's)
  --data.root DIR      pictures in train/CLASS, test/CLASS (default: MNIST)
  --seed N             of weights, image order and augmentation (default: 0)
  --threads N          CPU threads; their number changes how sums round
  --name NAME          the run is lightning_logs/NAME (default: ARCH/version_N)
  --resume             resume the run NAME, or the last unfinished run of ARCH;
                       --weights_only false lets its checkpoint hold objects
  --check_resume       test an exact resume; --fast_dev_run: try a few batches
  --config FILE        options in YAML, which the command line overrides
  --help_all           list all options; --print_config: with their values

--lr is short for LightningCLI's --model.lr, --epochs for --trainer.max_epochs.
"""

import atexit
from collections.abc import Sequence
from contextlib import nullcontext

from lightning.pytorch import Callback
from lightning.pytorch.loggers.logger import DummyLogger

from convblocks import wings
from convblocks.console import echo
from convblocks.run.finish import finish
from convblocks.run.friendly_errors import friendly_errors
from convblocks.run.make import make_run
from convblocks.run.metrics_log import logged_metrics
from convblocks.run.quiet import quiet_lightning, rank_zero_errors
from convblocks.run.run import Run
from convblocks.settings.config import Config
from convblocks.settings.resuming import with_name
from convblocks.text import as_shown, counted
from exact_resume.agreement import end_process_group
from exact_resume.errors import NotRepeated


def main(arguments: list[str], callbacks: Sequence[Callback] = ()) -> None:
    """Train a run, with further callbacks of the caller's.

    Raises:
        UserError: anything that the user can fix.
        Stopped: Ctrl-C or another signal while it trains, after which it has saved.
        KeyboardInterrupt: Ctrl-C at another time.
    """
    quiet_lightning()
    with rank_zero_errors():
        # The command has answered --help with its docstring already; --help_all is the parser's
        # own help, which lists all options.
        arguments = ["--help" if word == "--help_all" else word for word in arguments]
        config = Config.parse(with_name(arguments))
        if wings.run_option_instead(config):
            return
        run = make_run(config, callbacks)
        if run.tries_out:
            try_out(run)
            return
        run.refuse_conflict()
        if is_finished(run):
            return
        run.prepare()
    # Without --name only rank 0 knows the run directory. Such a run is new, so the other processes
    # have nothing to read from it.
    while run.is_rank_zero and not run.directory.create(exist_ok=config.name is not None):
        run = make_run(config, callbacks)  # another run has taken the free version meanwhile
        run.prepare()
    with run.directory.lock() if run.is_rank_zero else nullcontext():
        run.replace_untrained()
        complete(run, callbacks)


def is_finished(run: Run) -> bool:
    """True if the run that is to be resumed is finished; prints a line that says so.

    Raises:
        UsageError: the run was begun with other settings.
    """
    epochs = run.settings["trainer"]["max_epochs"]
    result = run.directory.result_after(epochs) if run.config.resume else None
    if not result:
        return False
    run.refuse_change(run.directory.read_config(), is_finished=True)
    if run.is_rank_zero:
        echo(
            f"{as_shown(run.directory.path)} is finished: it has "
            f"{counted(len(result.epochs), 'epoch')}, and was ended by {result.ended_by}"
        )
    return True


def try_out(run: Run) -> None:
    """Train, validate and test on a few batches, and write nothing."""
    with friendly_errors(run):
        run.prepare()
        run.trainer.loggers = [DummyLogger()]
        run.train()
        metrics = logged_metrics(run.trainer)
        if run.has("test"):
            run.trainer.test(run.module, datamodule=run.data, verbose=False)
            metrics |= logged_metrics(run.trainer)
    if run.is_rank_zero:
        for name, value in metrics.items():
            echo(f"{name} {value:.4g}")
        echo(f"{run.arch}: all loops ran; nothing was written")


def complete(run: Run, callbacks: Sequence[Callback] = ()) -> None:
    """Train, and write all files of the run directory, which exists already."""
    # At exit, since a run that goes back trains again in the same process group.
    atexit.register(end_process_group)
    with friendly_errors(run):
        run.start()
        try:
            run.train()
        except NotRepeated as error:
            run.go_back(error.reason)
        else:
            finish(run)
            # All processes end together: when one ends, launchers may kill the others, which may
            # still be writing.
            run.trainer.strategy.barrier()
            return
    # The new run needs no prepare(): the data were found to be the same before.
    complete(make_run(run.config, callbacks), callbacks)
