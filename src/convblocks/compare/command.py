"""Train networks with several seeds, and report which is better.

usage: convblocks compare [options] [options of fit]

Trains one trial for each network and seed, in parallel, and reports differences
with their uncertainty. A rerun reuses finished trials and resumes the others.

  --arch NAME ...      as for fit (default: that of a --config, or else mlp,
                       maxpool, batchnorm)
  --model NAME ...     or any LightningModules, with --data NAME
  --seeds N or A,B,C   seeds 0 to N-1, or these, or A-B (default: 10)
  --grid KEY=V1,V2     sweep an option of fit: lr=1e-3,1e-2; may be repeated; of
                       one network each setting is compared with the first
  --confirm N          train the best settings of the grid again, with N fresh
                       seeds and all training images
  --jobs N             parallel trials (default: as free CPUs or GPUs allow)
  --launcher NAME      local, or ray: tasks of a running cluster (RAY_ADDRESS)
  --threads N          CPU threads of each trial; affects rounding (default: 1)
  --name NAME          all files go to lightning_logs/NAME (default: compare)
  --retrain            train all again, after the code or the data have changed;
                       what is there is kept under another name
  --trial I            train only trial number I: for a task of a job array
  --no-fit             only report on existing runs
  --from FILE          only report on runs from anywhere: a CSV of arm, seed
                       and a score, which --judge score:max names
  --figure FILE        draw the figure into a .pdf, .svg or .png too

Other options are passed to fit for all trials. With --data.val_size and a grid,
several networks are each tested at the setting that is best on held-out images.

Examples:
  convblocks compare --seeds 5
  convblocks compare --name rates --grid lr=1e-3,3e-3 --data.val_size 5000
"""

import os
import sys
from argparse import Namespace
from collections.abc import Mapping, Sequence
from itertools import product
from typing import NoReturn

from convblocks.compare.analysis import best_settings
from convblocks.compare.dry_run import Plans, plans_of
from convblocks.compare.launch import finished, friendly_stops, hide_launcher, refuse_missing, train
from convblocks.compare.mixing import refuse_other_settings, set_aside
from convblocks.compare.options import launch, parse
from convblocks.compare.report import report_of
from convblocks.compare.scores_file import report_on_file
from convblocks.compare.trials import Trial, refuse_run
from convblocks.errors import UsageError
from convblocks.figures.report import publish, repeat_of
from convblocks.record.result import RunResult
from convblocks.run.quiet import quiet_lightning, rank_zero_errors


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
    with rank_zero_errors():
        options = parse(arguments)
        if options.trial is not None:
            become(options.trials, options.trial)
        hide_launcher()
        directory = options.trials[0].directory
        refuse_run(directory)
        plans = None
        if not options.no_fit:
            options.start = launch(options)
            plans = checked_plans(options)
            if options.retrain:
                set_aside(directory)
    again = repeat_of("compare", arguments)
    with friendly_stops(again):
        results, confirmed = results_of(options, plans)
    if results:
        jobs = options.jobs or os.cpu_count() or 1
        report = report_of([*results.values()], [*confirmed.values()], again, jobs)
        publish(report, directory, options.figure)
    refuse_missing(options.trials, results)


def results_of(
    options: Namespace, plans: Plans | None = None
) -> tuple[dict[Trial, RunResult], dict[Trial, RunResult]]:
    """The results of the trials, and of those with fresh seeds that confirm the best
    settings; trains missing ones.

    Raises:
        UserError: a run with other settings is in the way, or one with fresh seeds
            failed.
    """

    def results_for(trials: Sequence[Trial], plans: Plans | None) -> dict[Trial, RunResult]:
        if options.no_fit:
            results = finished(trials)
            refuse_other_settings(results)
            return results
        return train(options.trials[0].directory, trials, options.jobs, options.start, plans)

    results = results_for(options.trials, plans)
    if not options.confirm or len(results) < len(options.trials):
        return results, {}
    fresh = confirming_trials(options, results)
    confirmed = results_for(fresh, None)
    refuse_missing(fresh, confirmed)
    return results, confirmed


def checked_plans(options: Namespace) -> Plans:
    """The plans of all arms.

    Raises:
        UsageError: the best setting of a grid cannot be chosen.
    """
    plans = plans_of(options.trials, options.jobs)
    if options.confirm and not all(plan.is_validated for plan in plans.values()):
        raise UsageError(
            "--confirm takes the best settings by held-out images: add --data.val_size 5000"
        )
    return plans


def confirming_trials(options: Namespace, results: Mapping[Trial, RunResult]) -> list[Trial]:
    """The trials with fresh seeds of each network's best setting, on all training images."""
    first = max(options.seeds) + 1
    seeds = range(first, first + options.confirm)
    best = {(run.arch, run.overrides) for run in best_settings(list(results.values()))}
    arms = {trial.arm: trial for trial in results if trial.arm in best}
    return [trial.confirming(seed) for trial, seed in product(arms.values(), seeds)]


def become(trials: Sequence[Trial], number: int) -> NoReturn:
    """Replace this process by fit for one trial: signals and the launcher then reach
    the run itself.

    Raises:
        UsageError: there is no trial of that number.
    """
    if not 0 <= number < len(trials):
        raise UsageError(f"--trial {number}: there are trials 0 to {len(trials) - 1}")
    words = [sys.executable, "-m", "convblocks", "fit", *trials[number].arguments()]
    os.execv(sys.executable, words)
