"""Search for better settings, and confirm the best with fresh seeds.

usage: convblocks search --arch NAME [options] [options of fit]

Trains, scores on held-out training images, chooses the next settings from the results so far, and stops unpromising
trials early. Then trains the best settings and the default again, with fresh seeds: the default stands unless the best
trial beats it. Rerun it to continue after a kill; start it again in parallel, here or on another machine, to share the
trials.

  --arch NAME          the network
  --model NAME         or any LightningModule, with --data NAME and, say, --judge val/iou:max
  --data.val_size N    number of training images held out for the score
  --trials N           number of trials, of all processes together (default: 40)
  --epochs N           passes over the training images (default: the config's, else 5)
  --space SPACE        the search space, such as lr=1e-4..3e-2:log,batch_size=32|64|128, over any option of fit; may
                       be repeated (default: learning rate and schedule, optimizer and weight decay, batch size,
                       augmentation, except options given for all trials)
  --seed N             seed of the choices and of every trial (default: 0)
  --sampler NAME       tpe, or random (default: tpe)
  --pruner NAME        median stops a trial that is worse than half of the earlier ones, none lets all run
  --confirm N          number of best settings to train again, beside the default (default: 3; 0 for data without
                       test images)
  --seeds N            number of fresh seeds for each (default: 5)
  --jobs N             parallel trials (default: as many as CPUs)
  --launcher NAME      local, or ray for tasks of a running Ray cluster: RAY_ADDRESS, or that of this machine
  --storage URL        keep the choices in a database instead of a file, such as postgresql+psycopg://HOST/DB
  --threads N          CPU threads of each trial, part of its settings (default: 1)
  --name NAME          journal, trials and report go to lightning_logs/NAME (default: search)

Any other option is passed to fit for all trials. Each trial is a run, which convblocks fit --name NAME/trial_7
--resume continues. With one job the same command makes the same choices, interrupted or not.

Examples:
  convblocks search --arch maxpool --trials 40 --epochs 3 --data.val_size 5000
  convblocks search --arch mlp --space "lr=1e-4..3e-2:log,batch_size=32|64" --data.val_size 5000
"""

import os
from argparse import Namespace
from collections.abc import Mapping
from contextlib import closing

from optuna.trial import TrialState

from convblocks.compare.dry_run import plans_of
from convblocks.compare.launch import Process, Start, finished, fit_all, friendly_stops, hide_launcher
from convblocks.compare.options import at_least, launch, parse_shared, refuse_run, shared_parser
from convblocks.compare.progress import Progress
from convblocks.compare.trials import Trial
from convblocks.console import echo
from convblocks.errors import BusyError, Stopped, UsageError, UserError
from convblocks.figures.report import repeat_of
from convblocks.figures.tables import terminal
from convblocks.model.networks import ARCHITECTURES
from convblocks.run import signals, slurm
from convblocks.run.quiet import quiet_lightning
from convblocks.search import space
from convblocks.search.config import SearchConfig
from convblocks.search.confirm import confirm_best, fresh_trials
from convblocks.search.report import report
from convblocks.search.storage import storage_errors, without_password
from convblocks.search.worker import SearchWorker
from convblocks.text import counted


@storage_errors()
def main(arguments: list[str]) -> None:
    """Train trials until there are as many as wanted, confirm the best, and report.

    Raises:
        Stopped: a signal came, or Ctrl-C; the same command carries on.
        UsageError: options or a space that fit does not take.
        UserError: the storage is of another search, a trial fails again and again, or none has a result.
    """
    quiet_lightning()
    launched = dict(os.environ)
    options = parse(arguments)
    hide_launcher()
    os.environ.pop(slurm.JOB, None)  # a trial must not requeue the job
    start = launch(options)
    worker = open_search(options)
    if options.confirm and worker.ended() < options.trials:
        runs = counted((min(options.confirm, options.trials) + 1) * len(options.seeds), "confirming run")
        each = f"{runs} of {counted(worker.plan.epochs, 'epoch')}"
        echo(f"{counted(options.trials, 'trial')}, then {each}: the best settings and the default, with fresh seeds")
    try:
        with friendly_stops():
            train_trials(worker, options.trials, options.jobs, start)
            finish(worker, options, start)
    except Stopped:
        if signals.received() == signals.REQUEUE:
            slurm.requeue(launched)
        raise


def parse(arguments: list[str]) -> Namespace:
    """The options, with the ``config`` of the search."""
    parser = shared_parser("search", range(5))
    parser.add_argument("--trials", type=at_least(1), default=40)
    parser.add_argument("--space", action="append", default=[])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--sampler", choices=("tpe", "random"), default="tpe")
    parser.add_argument("--pruner", choices=("median", "none"), default="median")
    parser.add_argument("--confirm", type=at_least(0), default=3)
    parser.add_argument("--storage", default="")
    options = parse_shared(parser, arguments, "search")
    if len(options.archs) != 1:
        raise UsageError(f"give one --arch: {', '.join(ARCHITECTURES)}, or a class; or one --model")
    if options.model and not options.space:
        raise UsageError("--model needs a --space, such as model.lr=1e-4..1e-1:log")
    options.seeds = [options.seed + 1 + number for number in range(len(options.seeds))]
    default = Trial(options.name, options.archs[0], options.common, (), options.seed, options.option)
    searched = space.parse(options.space, list(dict(options.common)))
    options.config = SearchConfig(default, searched, options.sampler, options.pruner, options.storage)
    options.repeat = repeat_of("search", [without_password(word) for word in arguments])
    return options


def open_search(options: Namespace) -> SearchWorker:
    """A worker for the search, new or continued, whose settings are tried all over the space, and with fresh seeds.

    Raises:
        UsageError: options or a space that fit does not take, or no data to choose by.
        UserError: it is another search, or there are no data to confirm by.
    """
    config: SearchConfig = options.config
    refuse_run(config.directory)
    corners = [config.trial(0, point) for point in space.corners(config.space)]
    last = fresh_trials(config.default, options.seeds[-1:] if options.confirm else [])
    plans = plans_of([*corners, *last], options.jobs)
    if not all(plans[trial.arm].is_validated for trial in corners):
        raise UsageError("a search chooses by validation data: give --judge a metric of these, or --data.val_size 5000")
    return SearchWorker(config, plans[corners[0].arm])


def train_trials(worker: SearchWorker, wanted: int, jobs: int, start: Start | None = None) -> None:
    """Train trials until there are as many as wanted, including those of other processes; ``start`` as in fit_all."""

    def watch(running: Mapping[Trial, Process]) -> None:
        for trial, process in running.items():
            if worker.should_stop_early(trial):
                process.terminate()
        progress.show(running)

    progress = Progress(wanted, lambda trial: worker.plan, terminal(), worker.ended(), worker.so_far)
    with progress, closing(fit_all(lambda: worker.next_trial(wanted), jobs, watch, start)) as ends:
        for trial, exit_status in ends:
            if (result := worker.tell(trial, exit_status)) is not None:
                progress.finish(trial, result, worker.ended())


def finish(worker: SearchWorker, options: Namespace, start: Start | None = None) -> None:
    """Confirm and report if all trials have ended; otherwise print which have not.

    Raises:
        UserError: no trial has a result, or they used different data.
    """
    config, trials = worker.config, worker.trials()
    if running := [f"trial_{trial.number}" for trial in trials if trial.state == TrialState.RUNNING]:
        echo(f"{', '.join(running)}: still running elsewhere. The process that ends last confirms and reports.")
        return
    if not worker.best():
        raise UserError(f"no trial of {config.name} ran to its end: {worker.so_far() or 'there is none'}")
    finished([config.trial(trial.number, trial.params) for trial in trials])
    try:
        confirmed = confirm_best(worker, options, start)
    except BusyError:
        echo("Another process confirms the best settings, and reports.")
        return
    report(worker, confirmed, options.repeat)
