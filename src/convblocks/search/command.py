"""Search for better settings, and confirm the best with fresh seeds.

usage: convblocks search --arch NAME [options] [options of fit]

Trains, scores on held-out training images, chooses the next settings from the results so far, and stops unpromising
trials early. Then trains the best settings and the default again, with fresh seeds: the default stands unless the best
trial beats it. Rerun it to continue after a kill; start it again in parallel, here or on another machine, to share the
trials.

  --arch NAME ...      the network; if several, the choice among them is searched too
  --model NAME ...     or any LightningModules, with --datamodule NAME and, say, --judge val/iou:max
  --data.val_size N    number of training images held out for the score
  --trials N           number of trials, of all processes together (default: 40)
  --epochs N           passes over the training images (default: the config's, else 5)
  --space SPACE        the search space: lr=1e-4..3e-2:log,batch_size=32|64|128 or a YAML file of such lines, over any
                       option of fit; may be repeated (default: learning rate and schedule, optimizer and weight
                       decay, batch size, augmentation, except options given for all trials)
  --seed N             seed of the choices and of every trial (default: 0)
  --sampler NAME       tpe, or random (default: tpe)
  --pruner NAME        median stops a trial that is worse than half of the earlier ones, none lets all run
  --confirm N          number of best settings to train again, beside the default (default: 3)
  --seeds N            number of fresh seeds for each (default: 5)
  --jobs N             parallel trials (default: as many as CPUs)
  --launcher NAME      local, or ray for tasks of a running Ray cluster: RAY_ADDRESS, or that of this machine
  --storage URL        keep the choices in a database of Optuna instead of a file: postgresql+psycopg://HOST/DB, or
                       grpc://HOST:PORT of its proxy
  --threads N          CPU threads of each trial, part of its settings (default: 1)
  --name NAME          journal, trials and report go to lightning_logs/NAME (default: search)
  --no-fit             only report on existing trials

Any other option is passed to fit for all trials. Each trial is a run, which convblocks fit --name NAME/trial_7
--resume continues. With one job the same command makes the same choices, interrupted or not.

Examples:
  convblocks search --arch maxpool --trials 40 --epochs 3 --data.val_size 5000
  convblocks search --arch mlp maxpool --space "lr=1e-4..3e-2:log,batch_size=32|64" --data.val_size 5000
"""

import os
from argparse import Namespace
from collections import Counter
from contextlib import closing
from statistics import median

from optuna.trial import TrialState

from convblocks import wings
from convblocks.compare.dry_run import plans_of
from convblocks.compare.launch import Running, Start, fit_all, friendly_stops, hide_launcher, launcher_of_several
from convblocks.compare.options import launch, own_parser, parse_shared, refuse_arguments_of_networks
from convblocks.compare.progress import Progress
from convblocks.compare.trials import Trial
from convblocks.console import echo
from convblocks.data.module import ImageDataModule
from convblocks.errors import BusyError, Stopped, UsageError, UserError
from convblocks.figures.report import repeat_of
from convblocks.model.networks import ARCHITECTURES
from convblocks.run import signals, slurm
from convblocks.run.config import Config
from convblocks.run.progress import terminal
from convblocks.run.quiet import quiet_lightning
from convblocks.search import space
from convblocks.search.config import SearchConfig, SearchTrial
from convblocks.search.confirm import confirm_best
from convblocks.search.report import report
from convblocks.search.storage import storage_errors, without_password
from convblocks.search.worker import FAILED, MOST_TRIES, SearchWorker, ending_of
from convblocks.text import counted, duration

# Larger numbers are typing errors.
LIMITS = {"trials": (1, 100_000), "jobs": (1, 1000), "confirm": (0, 100)}


@storage_errors()
def main(arguments: list[str]) -> None:
    """Train trials until there are as many as wanted, confirm the best, and report.

    Raises:
        Stopped: a signal came, or Ctrl-C; the same command carries on.
        UsageError: options or a space that fit does not take.
        UserError: the storage cannot be used or is of another search, a trial failed, or none has a result.
    """
    quiet_lightning()
    launched = dict(os.environ)
    options = parse(arguments)
    if launcher := launcher_of_several():
        raise UsageError(f"{launcher} is for the processes of one run: start this command several times, without it")
    hide_launcher()
    os.environ.pop(slurm.JOB, None)  # a trial must not requeue the job
    start = launch(options)
    worker = open_search(options)
    try:
        with friendly_stops():
            if not options.no_fit:
                train_trials(worker, options.trials, options.jobs, options.confirming, start)
            finish(worker, options, start)
    except Stopped:
        if signals.received() == signals.REQUEUE:
            slurm.requeue(launched)
        raise


def parse(arguments: list[str]) -> Namespace:
    """The options, with the ``config`` of the search and the number of ``confirming`` runs that follow."""
    parser = own_parser("search", range(5))
    parser.add_argument("--trials", type=int, default=40)
    parser.add_argument("--space", action="append", default=[])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--sampler", choices=("tpe", "random"), default="tpe")
    parser.add_argument("--pruner", choices=("median", "none"), default="median")
    parser.add_argument("--confirm", type=int, default=3)
    parser.add_argument("--storage", default="")
    options = parse_shared(parser, arguments, "search", LIMITS)
    if not options.archs:
        raise UsageError(f"--arch is required: choose among {', '.join(ARCHITECTURES)}, or give a class as --model")
    if options.model and not options.space:
        raise UsageError("--model needs a --space, such as model.lr=1e-4..1e-1:log")
    options.seeds = [options.seed + 1 + number for number in range(len(options.seeds))]
    if options.seeds[-1] >= 2**32:
        raise UsageError(f"--seed {options.seed} leaves no {len(options.seeds)} seeds below 2^32 to confirm with")
    searched = space.parse(options.space, list(dict(options.common)))
    refuse_arguments_of_networks(options.archs, [*dict(options.common), *searched])
    own = options.seed, options.sampler, options.pruner, options.storage, options.option
    options.config = SearchConfig(options.name, tuple(options.archs), options.common, searched, *own)
    options.confirming = (min(options.confirm, options.trials) + 1) * len(options.seeds) if options.confirm else 0
    options.repeat = repeat_of("search", [without_password(word) for word in arguments])
    return options


def open_search(options: Namespace) -> SearchWorker:
    """A worker for the search, new or continued, whose settings are tried all over the space.

    Raises:
        UsageError: options or a space that fit does not take, or no data to choose or to confirm by.
        UserError: it is another search, or there is none to report on.
    """
    config: SearchConfig = options.config
    config.directory.refuse_run()
    if options.no_fit and not config.directory.exists():
        raise UserError(f"there is no search {config.directory.path}: leave out --no-fit to begin it")
    corners = [
        config.trial(0, {space.ARCH: arch, **point}) for arch in config.archs for point in space.corners(config.space)
    ]
    plans = plans_of(corners, options.jobs)
    if not all(plan.is_validated for plan in plans.values()):
        raise UsageError("a search chooses by validation data: give --judge a metric of these, or --data.val_size 5000")
    return SearchWorker(config, plans[corners[0].arm], *look_at_data(corners[0], confirms=options.confirm > 0))


def look_at_data(trial: Trial, confirms: bool) -> tuple[float | None, dict[str, str]]:
    """The accuracy of chance on validation images, and the MD5 of each part of the images' data; other data have none.

    Raises:
        UsageError: there are no test images to confirm by.
    """
    data = Config.parse(trial.arguments()).make_data()
    if not isinstance(data, ImageDataModule):
        return None, {}
    data.prepare_data()
    data.setup()
    if confirms and not len(data.files.test.labels):
        raise UsageError(f"{data.files.folder} has no test images to judge the best settings by: give --confirm 0")
    collapse = wings.optional("diagnosis.collapse")  # without it no dead layer ends a trial early
    return collapse.chance_accuracy(data.val.labels) if collapse else None, data.files.fingerprint


def train_trials(worker: SearchWorker, wanted: int, jobs: int, confirming: int = 0, start: Start | None = None) -> None:
    """Train trials until there are as many as wanted, including those of other processes.

    Args:
        worker: Of the search.
        wanted: The number of trials.
        jobs: How many run at a time.
        confirming: The number of runs that follow, for the user to know.
        start: That of ``fit_all``.
    """
    runs = counted(confirming, "confirming run")

    def watch(running: list[Running[SearchTrial]]) -> None:
        for job in running:
            if worker.should_stop_early(job.trial):
                job.process.terminate()
        progress.update(running)

    def status() -> str:
        """Where the search is, and what the confirming runs will take if each is as long as a complete trial."""
        seconds = [found.duration.total_seconds() for found in worker.best() if found.duration]
        then = f", then {runs}, some {duration(median(seconds) * confirming / jobs)}" if seconds and confirming else ""
        return so_far(worker) + then

    if confirming and worker.ended() < wanted:
        each = f"{runs} of {counted(worker.plan.epochs, 'epoch')}"
        echo(f"{counted(wanted, 'trial')}, then {each}: the best settings and the default, with fresh seeds")
    progress = Progress(wanted, lambda trial: worker.plan, worker.config.common, terminal(), worker.ended(), status)
    with progress, closing(fit_all(lambda: worker.next_trial(wanted), jobs, watch, start)) as ends:
        for trial, exit_status in ends:
            if (result := worker.tell(trial, exit_status)) is not None:
                progress.finish(trial, result, worker.ended())


def so_far(worker: SearchWorker) -> str:
    """The best trial, and the numbers of those without a result."""
    judge, best, ends = worker.plan.judge, worker.best(), Counter(map(ending_of, worker.trials()))
    parts = [f"best {judge.text(best[0].values[0])} (trial_{best[0].number})"] if best else []
    return ", ".join([*parts, *(f"{ends[how]} {how}" for how in ("pruned", "collapsed", "failed") if ends[how])])


def finish(worker: SearchWorker, options: Namespace, start: Start | None = None) -> None:
    """Confirm and report if all trials have ended; otherwise print which have not."""
    config, trials = worker.config, worker.trials()
    if (number := worker.stuck()) is not None:
        name, log = f"trial_{number} of {config.name}", config.trial(number, {}).log
        raise UserError(f"{name} was killed or failed {MOST_TRIES} times: see {log}; the same command carries on")
    running = [f"trial_{found.number}" for found in trials if found.state == TrialState.RUNNING]
    if running and not options.no_fit:
        echo(f"{', '.join(running)}: still running elsewhere. The process that ends last confirms and reports.")
        return
    if not worker.best():
        raise UserError(f"no trial of {config.name} ran to its end: {so_far(worker) or 'there is none'}")
    try:
        confirmed = confirm_best(worker, options, start)
    except BusyError:
        echo("Another process confirms the best settings, and reports.")
        return
    report(worker, confirmed, options.repeat)
    if failed := [found for found in trials if found.state == TrialState.FAIL]:
        reason = f"trial_{failed[0].number}: {failed[0].user_attrs.get(FAILED)}"
        raise UserError(f"{counted(len(failed), 'trial')} of {len(trials)} failed; {reason}")
