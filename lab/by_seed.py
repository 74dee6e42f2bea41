"""Experiments that are trained seed by seed: an interruption leaves every arm of the seeds done.

Their protocols are docs/lab/protocol-cause.md (cause, direction, remedy) and
docs/lab/protocol-compute.md.
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
from convblocks.figures.grouping import grouped
from convblocks.record.directory import RunDirectory
from convblocks.record.provenance import describe_processor
from convblocks.record.result import Overrides, RunResult
from lab.results import read_results

BLOCKS = "lab.blocks.BlockNetwork"

# What happens to the first updates of a layer, and the layers: docs/data/cause has a
# config for each pair.
CHANGES = ("centred", "shrunk", "random")
LAYERS = ("block-1", "block-2", "block-3", "head")
ARMS = ("as-is", *(f"{change}-{layer}" for layer in LAYERS for change in CHANGES))
RATES = "1e-2,2e-2"

# The controls of the cause: the first two arms are the cause's own, on this processor. The
# last two have half of the seeds.
DIRECTION_ARMS = (
    "cause/as-is",
    "cause/centred-block-2",
    "direction/matched-block-2",
    "direction/replaced-block-2",
    "direction/alone-block-2",
    "direction/centralized-network",
)
DIRECTION_ARMS_OF_20 = ("direction/upward-block-2", "direction/centralized-block-2")

# What prevents the collapse, for 300 steps and for the notebook's five epochs. Those that
# were known before have half of the seeds.
REMEDIES = ("interventions/as-is", "remedy/gradient-centralization")
REMEDIES_OF_20 = tuple(
    f"interventions/{variant}"
    for variant in ("lower-rate", "warm-up", "leaky-relu", "centring", "batch-norm")
)

SHORT = "--epochs 1 --trainer.max_steps 300"


def _blocks(name: str, seeds: str, length: str, arms: Iterable[str], rates: str = "") -> str:
    """The arguments that train MaxPool with the configs of arms, at rates if any are named."""
    configs = ",".join(f"docs/data/{arm}.yaml" for arm in arms)
    grid = f"--grid lr={rates} " if rates else ""
    return f"--name {name} --arch {BLOCKS} --seeds {seeds} {length} {grid}--grid config={configs}"


# A wide stride network has the multiply-adds of MaxPool within 1 %; 18 epochs of the
# course's BatchNorm have those of MaxPool's five.
WIDE = (
    "--network.downsampling stride --network.normalisation batch "
    "--network.head average --network.channels [60,122,190]"
)
CHOICE = "--lr_scheduler onecycle --data.val_size 5000 --seeds 7000-7002"
CHOSEN = "--grid lr=3e-3,1e-2,3e-2 --confirm 12"

# The arguments of scripts/compare.py, of each comparison.
COMMANDS = {
    "cause": (_blocks("cause", "6000-6039", SHORT, (f"cause/{arm}" for arm in ARMS), RATES),),
    "direction": (
        _blocks("direction", "6000-6039", SHORT, DIRECTION_ARMS, RATES),
        _blocks("direction", "6000-6019", SHORT, DIRECTION_ARMS_OF_20, RATES),
    ),
    "remedy": tuple(
        _blocks("remedy", seeds, length, arms)
        for length in (SHORT, "--epochs 5")
        for seeds, arms in (("8000-8039", REMEDIES), ("8000-8019", REMEDIES_OF_20))
    ),
    "compute": (
        f"--name compute --arch batchnorm --epochs 18 {CHOICE} {CHOSEN}",
        f"--name compute --arch {BLOCKS} {WIDE} {CHOICE} {CHOSEN}",
        # 3e-2 was the best of the first network's, so the next is tried too.
        f"--name compute --arch batchnorm --epochs 18 {CHOICE} --grid lr=1e-1",
    ),
}


# Experiments that compare runs of different seeds, or whose protocol says so.
OF_ONE_PROCESSOR = ("cause", "compute")

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
        UserError: a run failed, or those on record, where all are to be of one kind of
            processor, or other runs of the same seed are of another.
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


def refuse_mixed_seeds(runs: Iterable[RunResult]) -> None:
    """Raise a UserError if runs of one seed are of different kinds of processor.

    Arms are compared within seeds, so different seeds may be of different kinds.
    """
    for seed, own in grouped(runs, lambda run: run.seed).items():
        kinds = {str(run.provenance.processor) for run in own}
        if len(kinds) > 1:
            raise UserError(
                f"runs of seed {seed} are of different kinds of processor "
                f"({'; '.join(sorted(kinds))}): delete them, and train them again"
            )


def _runs_of(
    trials: Iterable[Trial], known: Mapping[Key, RunResult], training: Namespace | None
) -> dict[Trial, RunResult]:
    """The results of trials that are not known; if none are trained, those of whole seeds."""
    missing = [trial for trial in trials if key_of(trial) not in known]
    missing.sort(key=lambda trial: trial.seed)
    if training is None or not missing:
        results = whole_seeds(missing, finished(missing))
    else:
        if training.name in OF_ONE_PROCESSOR:
            refuse_other_processors(known.values())
        start = launch(training)
        directory = RunDirectory(training.name, training.root)
        results = train(directory, missing, training.jobs, start)
        refuse_missing(missing, results)
    refuse_mixed_seeds(results.values())
    return results
