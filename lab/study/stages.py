"""Find which network is better, each at its own best setting.

usage: python scripts/study.py choose|confirm [options] [options of fit]

It has two stages; its protocol is docs/lab/protocol.md in the repository.

  choose               try learning rates and schedules, and choose on held-out training images
  confirm              train with new seeds on all training images, and test: which is
                       better, and how certain is that?

Rerun the same command any time: finished runs are reused, interrupted ones resume.
A stage takes about an hour on two CPUs.

  --arch NAME ...      the networks, as fit takes them (default: mlp, maxpool, batchnorm)
  --epochs N           passes over the training images (default: 5)
  --jobs N             parallel runs (default: as fit on free CPUs or GPUs)
  --threads N          CPU threads of each run (default: 1)
  --name NAME          runs and reports go to lightning_logs/NAME (default: study)
  --no-fit             only report on existing runs

Any other option is passed to fit for all runs, except those fixed by the protocol:
seeds, learning rate, schedule and the number of held-out images.

Examples:
  python scripts/study.py choose && python scripts/study.py confirm
  python scripts/study.py choose --arch mlp --epochs 2 --name quick
"""

from argparse import Namespace
from collections.abc import Sequence
from functools import partial

from convblocks.compare.launch import finished, hide_launcher, refuse_missing, train
from convblocks.compare.options import launch
from convblocks.compare.options import parse as parse_comparison
from convblocks.compare.tables import as_row
from convblocks.compare.trials import VAL_SIZE, Trial, refuse_run
from convblocks.errors import UsageError, UserError
from convblocks.figures.grouping import by_arch
from convblocks.figures.report import Chart, Report, publish, repeat_of
from convblocks.record.directory import RunDirectory
from convblocks.record.result import RunResult
from convblocks.run.quiet import quiet_lightning, rank_zero_errors
from lab import NETWORKS
from lab.intervals import intervals_figure
from lab.study.dead_units import dead_unit_sentences, dead_units_figure, dead_units_table, layers
from lab.study.decision import at_notebooks, cell_of, decide
from lab.study.plan import CONFIRMING_SEEDS, HELD_OUT, NOTEBOOK, Cell, Scores, chosen, to_choose
from lab.study.report import (
    POINTS_OF_ACCURACY,
    choice_table,
    conclusions,
    decision_tables,
    differences_of,
    winner_sentences,
    winner_titles,
)
from lab.sweeps import sweep_figure

# Options that the study's protocol sets.
SETTLED = ("--seeds", "--grid", "--confirm", "--trial", "--lr", "--lr_scheduler", f"--{VAL_SIZE}")


def main(arguments: list[str]) -> None:
    """Train the missing runs of a stage, then report.

    Raises:
        UsageError: an unknown stage, or an option that the protocol sets.
        UserError: a run failed or has other settings, or the first stage is not done.
    """
    quiet_lightning()
    with rank_zero_errors():
        if not arguments or arguments[0] not in STAGES:
            raise UsageError(f"give a stage: {' or '.join(STAGES)}")
        options = parse(arguments[1:])
        hide_launcher()
        refuse_run(RunDirectory(options.name, options.root))
        options.start = launch(options)
        stage = arguments[0]
        report = STAGES[stage](options)
        repeat = repeat_of("study", arguments)
        publish(report._replace(repeat=repeat), _directory(options, stage))


def parse(arguments: list[str]) -> Namespace:
    """The options of a comparison, without those that the protocol sets."""
    given = [argument.partition("=")[0] for argument in arguments]
    for option in given:
        if option in SETTLED:
            raise UsageError(f"{option} is set by the study's protocol: see docs/lab/protocol.md")
    networks = ["--arch", *NETWORKS]
    if "--arch" in given or "--model" in given:
        networks = []
    return parse_comparison(["--name", "study", *networks, *arguments])


def choose(options: Namespace) -> Report:
    """Find each network's best setting."""
    results = list(results_of_choice(options).values())
    choices = choices_of(results)
    of_each = ", ".join(f"{arch} {' '.join(cell)}" for arch, cell in choices.items())
    return Report(
        name="report",
        tables=[choice_table(results, choices)],
        sentences=[f"Chosen: {of_each}.", *winner_sentences(results)],
        figures={"": _sweep(results)},
        runs=[*map(as_row, results)],
    )


def confirm_choices(options: Namespace) -> Report:
    """Judge the networks at the notebook's setting and at the chosen ones."""
    choice = list(results_of_choice(options, fit=False).values())
    choices = choices_of(choice)
    results = list(results_of_confirmation(options, choices).values())
    decision = decide(results, choices)
    figures = {"": _sweep(choice)}
    differences = differences_of(decision)
    # There are none of a single network.
    if differences:
        draw = partial(intervals_figure, differences, POINTS_OF_ACCURACY)
        figures["differences"] = Chart(draw, "Differences between two networks in test accuracy")
    # A user's networks may have no ReLU.
    if layers(at_notebooks(results)):
        draw = partial(dead_units_figure, at_notebooks(results))
        description = "Dead units of each layer by epoch, at the notebook's setting"
        figures["dead-units"] = Chart(draw, description)
    return Report(
        name="report",
        tables=decision_tables(decision),
        sentences=[*conclusions(decision), *dead_unit_sentences(results, [*choice, *results])],
        details=[dead_units_table(results)],
        figures=figures,
        runs=[*map(as_row, results)],
    )


STAGES = {"choose": choose, "confirm": confirm_choices}


def results_of_choice(options: Namespace, fit: bool = True) -> dict[Trial, RunResult]:
    """All runs of the first stage; the first of them determine the others.

    Raises:
        UserError: a run is missing or failed.
    """
    common = (*options.common, (VAL_SIZE, str(HELD_OUT)))
    results: dict[Trial, RunResult] = {}
    while True:
        done = by_arch(results.values())
        known = [
            Trial(f"{options.name}/choose", arch, common, cell.overrides, seed)
            for arch in options.archs
            for cell, seed in to_choose(_scores(done.get(arch, [])))
        ]
        new = [trial for trial in known if trial not in results]
        if not new:
            return results
        results |= _results(options, "choose", new, fit and not options.no_fit)


def results_of_confirmation(options: Namespace, choices: dict[str, Cell]) -> dict[Trial, RunResult]:
    """All runs of the second stage: each network at the notebook's setting and at its own best one.

    Raises:
        UserError: a run is missing or failed.
    """
    trials = [
        Trial(f"{options.name}/confirm", arch, options.common, cell.overrides, seed)
        for arch, choice in choices.items()
        for cell in dict.fromkeys((NOTEBOOK, choice))
        for seed in CONFIRMING_SEEDS
    ]
    return _results(options, "confirm", trials, not options.no_fit)


def _results(
    options: Namespace, stage: str, trials: Sequence[Trial], fit: bool
) -> dict[Trial, RunResult]:
    if fit:
        found = train(_directory(options, stage), trials, options.jobs, options.start)
        refuse_missing(trials, found)
        return found
    found = finished(trials)
    count = len(trials) - len(found)
    if count:
        raise UserError(
            f"{count} runs of stage {stage} are not done: python scripts/study.py {stage}"
        )
    return found


def choices_of(results: Sequence[RunResult]) -> dict[str, Cell]:
    """Each network's setting, if its runs of the first stage are all done."""
    found = {arch: chosen(_scores(own)) for arch, own in by_arch(results).items()}
    return {arch: cell for arch, cell in found.items() if cell}


def _sweep(results: Sequence[RunResult]) -> Chart:
    draw = partial(sweep_figure, results, winner_titles(results))
    return Chart(draw, "Error on held-out images at each learning rate: a mark for each run")


def _scores(results: Sequence[RunResult]) -> Scores:
    scores = {}
    for one in results:
        if one.validation is not None:
            scores[cell_of(one), one.seed] = one.validation
    return scores


def _directory(options: Namespace, stage: str) -> RunDirectory:
    return RunDirectory(f"{options.name}/{stage}", options.root)
