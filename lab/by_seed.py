"""Experiments that are trained seed by seed: what an interruption leaves has every arm of the seeds that are done.

Their protocols are docs/lab/protocol-cause.md and docs/lab/protocol-compute.md.
"""

import shlex
from collections.abc import Iterable

from convblocks.compare.command import confirming_trials
from convblocks.compare.launch import finished, refuse_missing, train
from convblocks.compare.options import launch, parse
from convblocks.compare.trials import Trial
from convblocks.run.directory import RunDirectory
from convblocks.run.result import RunResult

BLOCKS = "lab.blocks.BlockNetwork"

# What happens to the first updates of a layer, and the layers: docs/data/cause has a config for each pair.
CHANGES = ("centred", "shrunk", "random")
LAYERS = ("block-1", "block-2", "block-3", "head")
ARMS = ("as-is", *(f"{change}-{layer}" for layer in LAYERS for change in CHANGES))
CAUSE = (
    f"--name cause --arch {BLOCKS} --seeds 6000-6039 --epochs 1 --trainer.max_steps 300 "
    f"--grid lr=1e-2,2e-2 --grid config={','.join(f'docs/data/cause/{arm}.yaml' for arm in ARMS)}"
)

# A wide stride network has the multiply-adds of MaxPool within 1 %; 18 epochs of the course's have those of its five.
WIDE = (
    "--network.downsampling stride --network.normalisation batch --network.head average "
    "--network.channels [60,122,190]"
)
CHOICE = (
    "--lr_scheduler onecycle --data.val_size 5000 --seeds 7000-7002 --grid lr=3e-3,1e-2,3e-2 "
    "--confirm 12"
)

# The arguments of scripts/compare.py, of each comparison.
COMMANDS = {
    "cause": (CAUSE,),
    "compute": (
        f"--name compute --arch batchnorm --epochs 18 {CHOICE}",
        f"--name compute --arch {BLOCKS} {WIDE} {CHOICE}",
    ),
}


def train_by_seed(name: str) -> dict[Trial, RunResult]:
    """Train what is missing of an experiment: of each seed all arms, and then what the choosing runs choose.

    Raises:
        UserError: a run failed.
    """
    comparisons = [parse(shlex.split(command)) for command in COMMANDS[name]]
    start = launch(comparisons[0])  # which chooses the number of jobs

    def results_of(trials: Iterable[Trial]) -> dict[Trial, RunResult]:
        by_seed = sorted(trials, key=lambda trial: trial.seed)
        results = train(RunDirectory(name), by_seed, comparisons[0].jobs, start) if by_seed else {}
        refuse_missing(by_seed, results)
        return results

    results = results_of(trial for options in comparisons for trial in options.trials)
    fresh = [
        trial
        for options in comparisons
        if options.confirm
        for trial in confirming_trials(options, finished(options.trials))
    ]
    return results | results_of(fresh)
