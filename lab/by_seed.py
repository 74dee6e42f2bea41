"""Experiments that are trained seed by seed: an interruption leaves every arm of the seeds done.

Their protocols are docs/lab/protocol-cause.md and docs/lab/protocol-compute.md.
"""

import shlex
from argparse import Namespace
from collections.abc import Iterable, Mapping
from pathlib import Path

from convblocks.compare.command import confirming_trials
from convblocks.compare.launch import finished, refuse_missing, train
from convblocks.compare.options import launch, parse
from convblocks.compare.trials import Trial
from convblocks.errors import UserError
from convblocks.run.directory import RunDirectory
from convblocks.run.provenance import describe_processor
from convblocks.run.result import Overrides, RunResult
from lab.results import read_results

BLOCKS = "lab.blocks.BlockNetwork"

# What happens to the first updates of a layer, and the layers: docs/data/cause has a
# config for each pair.
CHANGES = ("centred", "shrunk", "random")
LAYERS = ("block-1", "block-2", "block-3", "head")
ARMS = ("as-is", *(f"{change}-{layer}" for layer in LAYERS for change in CHANGES))
CAUSE = (
    f"--name cause --arch {BLOCKS} --seeds 6000-6039 --epochs 1 "
    "--trainer.max_steps 300 --grid lr=1e-2,2e-2 --grid "
    f"config={','.join(f'docs/data/cause/{arm}.yaml' for arm in ARMS)}"
)

# A wide stride network has the multiply-adds of MaxPool within 1 %; 18 epochs of the
# course's BatchNorm have those of MaxPool's five.
WIDE = (
    "--network.downsampling stride --network.normalisation batch "
    "--network.head average --network.channels [60,122,190]"
)
CHOICE = "--lr_scheduler onecycle --data.val_size 5000 --seeds 7000-7002"
RATES = "--grid lr=3e-3,1e-2,3e-2 --confirm 12"

# The arguments of scripts/compare.py, of each comparison.
COMMANDS = {
    "cause": (CAUSE,),
    "compute": (
        f"--name compute --arch batchnorm --epochs 18 {CHOICE} {RATES}",
        f"--name compute --arch {BLOCKS} {WIDE} {CHOICE} {RATES}",
        # 3e-2 was the best of the first network's, so the next is tried too.
        f"--name compute --arch batchnorm --epochs 18 {CHOICE} --grid lr=1e-1",
    ),
}


# What tells a run from the others of an experiment.
Key = tuple[str, Overrides, int]


def new_runs(name: str, data: Path, fits: bool = True) -> dict[Trial, RunResult]:
    """An experiment's runs that are not in its record: of each seed all arms, or none.

    First the choosing runs, and when these are complete, those with fresh seeds that
    confirm what they choose.

    Args:
        name: The experiment.
        data: The folder of records.
        fits: Whether missing runs are trained, a seed after the other.

    Raises:
        UserError: a run failed, or those on record are of another kind of processor.
    """
    comparisons = [parse(shlex.split(command)) for command in COMMANDS[name]]
    known = recorded(data / f"{name}.jsonl")
    training = comparisons[0] if fits else None
    trials = [trial for options in comparisons for trial in options.trials]
    found = _runs_of(trials, known, training)
    choosing = known | {key_of(trial): run for trial, run in found.items()}
    fresh: list[Trial] = []
    for options in comparisons:
        own = [trial for trial in options.trials if key_of(trial) in choosing]
        if options.confirm and own == options.trials:
            results = {trial: choosing[key_of(trial)] for trial in own}
            fresh += confirming_trials(options, results)
    return found | _runs_of(fresh, known, training)


def recorded(path: Path) -> dict[Key, RunResult]:
    """The runs of a record, if there is one."""
    runs = read_results(path) if path.is_file() else []
    return {(run.arch, run.overrides, run.seed): run for run in runs}


def key_of(trial: Trial) -> Key:
    """What the record of a trial's run is found by."""
    return trial.arch, trial.overrides, trial.seed


def whole_seeds(
    trials: Iterable[Trial], results: Mapping[Trial, RunResult]
) -> dict[Trial, RunResult]:
    """The results of the seeds of which all trials have one."""
    incomplete = {trial.seed for trial in trials if trial not in results}
    return {trial: run for trial, run in results.items() if trial.seed not in incomplete}


def refuse_other_processors(runs: Iterable[RunResult]) -> None:
    """Raise a UserError if some of an experiment's runs are of another kind of processor."""
    here = describe_processor()
    if others := {str(run.provenance.processor) for run in runs} - {here}:
        raise UserError(
            "runs on record are of another kind of processor "
            f"({'; '.join(sorted(others))}), and this is {here}: an "
            "experiment's runs are to be of one kind"
        )


def _runs_of(
    trials: Iterable[Trial], known: Mapping[Key, RunResult], training: Namespace | None
) -> dict[Trial, RunResult]:
    """The results of trials that are not known; if none are trained, those of whole seeds."""
    missing = [trial for trial in trials if key_of(trial) not in known]
    missing.sort(key=lambda trial: trial.seed)
    if training is None or not missing:
        return whole_seeds(missing, finished(missing))
    refuse_other_processors(known.values())
    start = launch(training)
    directory = RunDirectory(training.name, training.root)
    results = train(directory, missing, training.jobs, start)
    refuse_missing(missing, results)
    return results
