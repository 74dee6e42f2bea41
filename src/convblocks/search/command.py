"""Search for better settings, and confirm the best with fresh seeds.

usage: convblocks search --arch NAME [options] [options of fit]

Scores trials on held-out training images, chooses the next settings by the
results so far, and stops unpromising trials early. Then trains the best ones
and the default again with fresh seeds: the default stands unless it is beaten.
Rerun the command to continue after a kill; start it several times, here or on
other machines, to share the trials.

  --arch NAME          the network (default: that of a --config)
  --model NAME         or any LightningModule, with --data NAME and --judge
  --data.val_size N    number of training images held out for the score
  --trials N           number of trials, over all processes (default: 40)
  --epochs N           passes over the training images (default: as for fit)
  --space SPACE        values of any options of fit; may be repeated (default:
                       learning rate, schedule, optimizer, weight decay, batch
                       size, augmentation, except those given for all trials)
  --seed N             seed of the choices and of every trial (default: 0)
  --sampler NAME       tpe, or random (default: tpe)
  --pruner NAME        median stops a trial that is worse than half of the
                       earlier ones, none lets all run (default: median)
  --confirm N          train the best settings and the default again, with N
                       fresh seeds (default: 5; 0 for data without test images)
  --best N             how many of the best settings (default: 3)
  --jobs N             parallel trials (default: as free CPUs or GPUs allow)
  --launcher NAME      local, or ray: tasks of a running cluster (RAY_ADDRESS)
  --threads N          CPU threads of each trial; affects rounding (default: 1)
  --name NAME          all files go to lightning_logs/NAME (default: search)
  --retrain            begin anew, after the code or the data have changed; what
                       is there is kept under another name
  --figure FILE        draw all trials into a .pdf, .svg or .png too

Other options are passed to fit for all trials. A trial is a run: convblocks fit
--name NAME/trial_7 --resume. With one job, a seed makes the same choices.

Examples:
  convblocks search --arch maxpool --trials 40 --epochs 3 --data.val_size 5000
  convblocks search --arch mlp --data.val_size 5000 --space lr=1e-4..3e-2:log
"""

import math
import os
from argparse import Namespace
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace

from optuna.trial import TrialState

from convblocks.compare.analysis import Comparison, compare
from convblocks.compare.dry_run import plans_of
from convblocks.compare.launch import (
    Start,
    end_text,
    finished,
    fit_all,
    friendly_stops,
    hide_launcher,
    refuse_missing,
    train,
)
from convblocks.compare.mixing import refuse_other_origin, set_aside
from convblocks.compare.options import launch
from convblocks.compare.places import StartHere, places_for
from convblocks.compare.trials import Trial, refuse_run
from convblocks.compare.watch import Watch
from convblocks.console import echo
from convblocks.errors import BusyError, UsageError, UserError
from convblocks.figures.report import repeat_of
from convblocks.record.result import Overrides
from convblocks.run.quiet import quiet_lightning
from convblocks.search.config import SearchConfig, corners
from convblocks.search.config import parse as parse
from convblocks.search.report import DEFAULT, report
from convblocks.search.worker import SearchWorker
from convblocks.text import counted
from exact_resume import signals, slurm
from exact_resume.errors import Stopped


def main(arguments: list[str]) -> None:
    """Train trials until there are as many as wanted, confirm the best, and report.

    Raises:
        Stopped: a signal came, or Ctrl-C; the same command carries on.
        UsageError: options or a space that fit does not take.
        UserError: it is another search, a trial fails again and again, or none has a result.
    """
    quiet_lightning()
    launched = dict(os.environ)
    options = parse(arguments)
    if options.renamed:
        echo(options.renamed)
    options.repeat = repeat_of("search", arguments)
    hide_launcher()
    # A trial must not requeue the job.
    os.environ.pop(slurm.JOB, None)
    options.start = launch(options)
    worker = open_search(options)
    if options.start is None:
        options.start, options.jobs = places_for(
            [worker.plan], options.threads, options.jobs, options.trials
        )
    try:
        with friendly_stops(options.repeat):
            train_trials(worker, options.trials, options.jobs, options.start)
            finish(worker, options)
    except Stopped:
        if signals.received() == signals.REQUEUE:
            slurm.requeue(launched)
        raise


def open_search(options: Namespace) -> SearchWorker:
    """A worker for the search, new or continued, whose settings are tried all over the
    space, and with fresh seeds.

    Raises:
        UsageError: options or a space that fit does not take, or no data to choose by.
        UserError: it is another search, or there are no data to confirm by.
    """
    config: SearchConfig = options.config
    refuse_run(config.directory)
    trials = [config.trial(0, point) for point in corners(config.space)]
    last = fresh_trials(config.default, options.seeds[-1:])
    plans = plans_of([*trials, *last], options.jobs)
    if not all(plans[trial.arm].is_validated for trial in trials):
        raise UsageError(
            "a search chooses by validation data: "
            "give --judge a metric of these, or --data.val_size 5000"
        )
    if options.retrain:
        set_aside(config.directory)
    worker = SearchWorker(config, plans[trials[0].arm])
    for known in worker.trials():
        refuse_other_origin(config.trial(known.number, known.params).run, worker.plan)
    return worker


def train_trials(worker: SearchWorker, wanted: int, jobs: int, start: Start | None = None) -> None:
    """Train trials until there are as many as wanted, including those of other
    processes; ``start`` as in train.
    """
    watch = Watch(wanted, worker.ended, lambda _: worker.plan)
    start = start or StartHere()
    running = fit_all(
        lambda: worker.next_trial(wanted), jobs, start, worker.should_stop_early, watch
    )
    with watch.live(), closing(running) as ends:
        for trial, exit_status in ends:
            result = worker.tell(trial, exit_status)
            if result:
                echo(end_text(trial, result, worker.ended(), wanted))


def finish(worker: SearchWorker, options: Namespace) -> None:
    """Confirm and report if all trials have ended; otherwise print which have not.

    Raises:
        UserError: no trial has a result, or they used different data.
    """
    trials = worker.trials()
    running = [f"trial_{trial.number}" for trial in trials if trial.state == TrialState.RUNNING]
    if running:
        echo(
            f"{', '.join(running)}: still running elsewhere. "
            "The process that ends last confirms and reports."
        )
        return
    if not worker.best():
        ends = worker.so_far() or "there is none"
        raise UserError(f"no trial of {worker.config.directory.name} ran to its end: {ends}")
    finished([worker.config.trial(trial.number, trial.params) for trial in trials])
    try:
        confirmed = confirm_best(worker, options)
    except BusyError:
        echo("Another process confirms the best settings, and reports.")
        return
    report(worker, confirmed, options.repeat, options.figure)


def fresh_trials(trial: Trial, seeds: Sequence[int]) -> list[Trial]:
    """Runs of the settings of a trial, or of the default, with fresh seeds, on all
    training images.
    """
    if trial.option == "arch":  # the test set is read once: at the end of a run
        trial = replace(trial, common=(*trial.common, ("trainer.limit_val_batches", "0")))
    return [trial.confirming(seed, f"{trial.place or DEFAULT}/seed_{seed}") for seed in seeds]


def confirm_best(worker: SearchWorker, options: Namespace) -> Comparison | None:
    """Train the default and the best settings with fresh seeds, if that is not done,
    and compare them by their labels.

    Args:
        worker: The worker of the search, whose trials have ended.
        options: The options of the command: how many of the ``best`` to train, with which
            fresh ``seeds`` (without seeds there is no result), how many ``jobs`` at a time,
            and what ``start``s a trial.

    Raises:
        BusyError: another process is training them.
        UserError: some runs failed.
    """
    if not options.seeds:
        return None
    # If several trials have equal settings, only the first counts.
    best: dict[Overrides, Trial] = {}
    for chosen in worker.best():
        trial = worker.config.trial(chosen.number, chosen.params)
        best.setdefault(trial.chosen, trial)
    settings = [worker.config.default, *list(best.values())[: options.best]]
    trials = []
    for trial in settings:
        trials += fresh_trials(trial, options.seeds)
    missing = [trial for trial in trials if not trial.result()]
    if missing:
        known = filter(None, [trial.result() for trial in settings])
        seconds = max([result.seconds for result in known], default=0)
        seconds *= math.ceil(len(missing) / options.jobs)
        echo(
            "To confirm the best settings with fresh seeds: "
            f"{counted(len(missing), 'run')}, about {seconds:.0f} s"
        )
    results = train(trials[0].directory, trials, options.jobs, options.start)
    refuse_missing(trials, results)
    labelled = [replace(run, arch=trial.place.partition("/")[0]) for trial, run in results.items()]
    return compare(labelled)
