"""Train networks with several seeds, and report which is better.

usage: convblocks compare [options] [options of fit]

Runs are trained in parallel; the report says by how much a network is better, and how certain that is. Rerun the same
command any time: finished runs are reused, interrupted ones resume.

  --arch NAME ...      the networks to compare, as fit takes them (default: mlp, maxpool, batchnorm)
  --model NAME ...     or any LightningModules, with --datamodule NAME and, say, --judge val/iou:max
  --seeds N or A,B,C   seeds 0 to N-1, or these (default: 10)
  --epochs N           passes over the training images (default: the config's, else 5)
  --grid KEY=V1,V2     sweep an option of fit, such as lr=1e-3,1e-2; may be repeated
  --confirm N          train each network's best setting of the grid again with N fresh seeds, on all training images
  --jobs N             parallel trials (default: as many as CPUs)
  --launcher NAME      local, or ray for tasks of a running Ray cluster: RAY_ADDRESS, or that of this machine
  --threads N          CPU threads of each trial, part of its settings (default: 1)
  --name NAME          runs and report go to lightning_logs/NAME (default: compare)
  --trial I            train only trial number I, without a report: for a task of a job array
  --no-fit             only report on existing runs
  --from FILE          only report on runs from anywhere: a CSV file with arm, seed and a score, as --judge score:max

Any other option is passed to fit for all trials. With --data.val_size and a grid, each network is tested at the
setting that is best for it on held-out training images.

Examples:
  convblocks compare --seeds 5
  convblocks compare --name rates --grid lr=1e-3,3e-3,1e-2 --data.val_size 5000
  convblocks compare --name cycle --lr_scheduler onecycle --no-fit
  convblocks compare --name onecycle --config configs/onecycle.yaml --arch maxpool batchnorm --seeds 5
"""

import math
import os
import sys
from argparse import Namespace
from collections.abc import Mapping, Sequence
from typing import NoReturn

from convblocks.compare.grid import analyse, best_settings
from convblocks.compare.launcher import hide_launcher, launcher_of_several
from convblocks.compare.more_runs import more_runs
from convblocks.compare.options import MOST_TRIALS, is_validated, launch, parse
from convblocks.compare.report import report_of
from convblocks.compare.scores_file import report_on_file
from convblocks.compare.training import Arm, confirm, finish, on_all_images, refuse_conflict, refuse_missing
from convblocks.compare.trials import Start, Trial, all_trials
from convblocks.errors import Stopped, UsageError, UserError
from convblocks.figures.grouping import by_arch
from convblocks.figures.report import publish, repeat_of
from convblocks.model.networks import ARCHITECTURES
from convblocks.run.directory import RunDirectory
from convblocks.run.friendly_errors import rank_zero_errors
from convblocks.run.quiet import quiet_lightning
from convblocks.run.result import RunResult
from convblocks.text import as_json


def main(arguments: list[str]) -> None:
    """Train the missing trials, then report.

    Raises:
        UsageError: options or a grid that fit does not take.
        UserError: a run with other settings in the way, or trials that are missing at the end.
    """
    if any(word.partition("=")[0] == "--from" for word in arguments):
        report_on_file(arguments)
        return
    quiet_lightning()
    launched = dict(os.environ)
    with rank_zero_errors():
        options = parse(arguments)
        if options.trial is None and (launcher := launcher_of_several()):
            raise UsageError(
                f"{launcher} is for the processes of one trial: write --trial NUMBER, or leave {launcher} out, since "
                "with --trainer.devices N this starts N processes for each trial itself"
            )
        hide_launcher()
        RunDirectory(options.name, options.root).refuse_run()
        trials = trials_of(options)
        configs = refuse_conflict(trials)
        settings = [config.settings for config in configs.values()]
        if len({as_json(one) for one in settings}) < len(settings):
            raise UsageError("--grid: two of its values are the same")
        if options.confirm and not all(map(is_validated, settings)):
            raise UsageError("--confirm takes the best settings by held-out images: add --data.val_size 5000")
        if options.trial is not None:
            become(trials, options.trial, launched)
    directory = RunDirectory(options.name, options.root)
    start = launch(options, options.overrides)
    results = finish(directory, trials, options.jobs, fit=not options.no_fit, configs=configs, start=start)
    repeat, confirmed = repeat_of("compare", arguments), list[RunResult]()
    try:
        if options.confirm and len(results) == len(trials):
            confirmed = confirm_best(options, list(results.values()), start)
    except UserError as error:
        if results and not isinstance(error, Stopped):
            publish(report_of(analyse(list(results.values())), repeat=repeat), directory)
        raise
    if results:
        analysis = analyse(list(results.values()), confirmed)
        publish(report_of(analysis, more_runs(analysis, options, arguments), repeat), directory)
    refuse_missing(trials, results)


def trials_of(options: Namespace) -> list[Trial]:
    """All trials of a comparison."""
    points = math.prod(len(values) for values in options.grid.values())
    if (count := len(options.arch) * len(options.seeds) * points) > MOST_TRIALS:
        raise UsageError(f"these are {count:,} trials, and {MOST_TRIALS:,} are the most: give fewer --seeds or values")
    known = [arch for arch in ARCHITECTURES if arch in options.arch]
    archs = [*known, *(arch for arch in dict.fromkeys(options.arch) if arch not in ARCHITECTURES)]
    trials = all_trials(options.name, archs, options.seeds, options.overrides, options.grid)
    if len({trial.run.path for trial in trials}) < len(trials):
        raise UsageError("--grid: two of its values would be kept under the same name")
    return trials


def confirm_best(options: Namespace, results: Sequence[RunResult], start: Start | None = None) -> list[RunResult]:
    """The runs with ``--confirm`` fresh seeds of each network's best setting; ``start`` is that of ``fit_all``.

    Raises:
        UserError: some failed or, with ``--no-fit``, are missing.
    """
    first = max(options.seeds) + 1
    best = by_arch(best_settings(results))
    arms = {arch: Arm(arch, on_all_images(runs[0].overrides)) for arch, runs in best.items()}
    directory = RunDirectory(f"{options.name}/confirm", options.root)
    seeds = range(first, first + options.confirm)
    found = confirm(directory, arms, seeds, options.jobs, fit=not options.no_fit, start=start)
    if missing := sum(options.confirm - len(runs) for runs in found.values()):
        raise UserError(f"{missing} runs with fresh seeds are not done: leave out --no-fit to train them")
    return [result for runs in found.values() for result in runs]


def become(trials: Sequence[Trial], number: int, environment: Mapping[str, str]) -> NoReturn:
    """Replace this process by fit for one trial: signals and the launcher then reach the run itself.

    Raises:
        UsageError: there is no trial of that number.
    """
    if not 0 <= number < len(trials):
        raise UsageError(f"--trial {number}: there are trials 0 to {len(trials) - 1}")
    os.execve(sys.executable, [sys.executable, "-m", "convblocks", "fit", *trials[number].arguments()], environment)
