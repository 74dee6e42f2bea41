"""The report of a search: tables and a conclusion."""

import shlex
from functools import partial
from itertools import accumulate
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from optuna.trial import FrozenTrial

from convblocks.compare.analysis import Comparison
from convblocks.compare.conclusions import finding_of
from convblocks.compare.figure import comparison_figure
from convblocks.compare.statistics import SIGNIFICANCE
from convblocks.compare.tables import results_table
from convblocks.compare.trials import VAL_SIZE, Trial, command_line, settings_text
from convblocks.console import command_text
from convblocks.figures.curves import Scale
from convblocks.figures.estimates import p_text
from convblocks.figures.report import Chart, Report, publish
from convblocks.figures.style import NARROW, WIDTH, foreground, muted
from convblocks.figures.tables import Column, Table
from convblocks.search.config import as_overrides, as_trained
from convblocks.search.worker import SearchWorker, ending_of

BEST = 10

# The label of the settings that were not searched.
DEFAULT = "default"


def report(
    worker: SearchWorker, confirmed: Comparison | None, repeat: str, figure: Path | None = None
) -> None:
    """Write the report beside the trials, and print its tables and the command to go on
    with; ``figure`` is a further file for that of all trials.
    """
    sentences, command = conclusion(worker, confirmed)
    rows = [_row(trial) for trial in worker.trials()]
    tables = [best_table(worker)]
    trials = partial(trials_figure, worker)
    shapes = [trials, partial(trials, width=NARROW)]
    figures = {"": Chart(trials, "the score of every complete trial", shapes)}
    if confirmed:
        tables.append(confirmed_table(confirmed))
        draw = partial(comparison_figure, confirmed.results, finding=finding_of(confirmed))
        shapes = [draw, partial(draw, width=NARROW)]
        figures["confirmed"] = Chart(draw, "the best settings with fresh seeds", shapes)
    publish(
        Report(
            name="search",
            tables=tables,
            sentences=sentences,
            figures=figures,
            runs=rows,
            command=command,
            repeat=repeat,
            numbers={"config": worker.config.words(), "trials": rows, "command": command},
        ),
        worker.config.directory,
        figure,
    )


def trials_figure(worker: SearchWorker, width: float = WIDTH) -> Figure:
    """The scores of the complete trials in their order, and the best so far."""
    figure = Figure(figsize=(width, 4.2), layout="constrained")
    axes = figure.subplots()
    judge = worker.judge
    scale = Scale(judge)
    scores = {trial.number: trial.values[0] for trial in worker.best()}
    numbers = sorted(scores)
    drawn = [scale.drawn(scores[number]) for number in numbers]
    falls = judge.sign < 0 or judge.in_percent  # an accuracy is drawn as an error
    best = [*accumulate(drawn, min if falls else max)]
    scale.set_axis(axes, "y", drawn)
    axes.plot(numbers, drawn, "o", color=muted(), gid="trials")
    axes.step(numbers, best, color=foreground(), where="post", gid="best")
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.set_xlabel("trial; line: the best so far")
    axes.set_ylabel(scale.name("val"), parse_math=False)
    axes.set_title(f"trial_{next(iter(scores))} is the best of {len(scores)}")
    return figure


def conclusion(worker: SearchWorker, confirmed: Comparison | None) -> tuple[list[str], str]:
    """Sentences that say whether the best trial beat the default with fresh seeds, and the
    command that writes the config of the better of the two.

    Without fresh runs that is not known, and the command writes the config of the trial.
    """
    judge = worker.judge
    best = worker.best()[0]
    trial = worker.config.trial(best.number, best.params)
    score = f"{judge.name_of(judge.metric)} {judge.text(best.values[0])}"
    verdict = "Whether it beats the default with fresh seeds is not known."
    chosen = trial
    if confirmed:
        fresh, is_better = _with_fresh_seeds(confirmed, trial.label)
        chosen = trial if is_better else worker.config.default
        advice = f"take {trial.label}" if is_better else "keep the default"
        verdict = f"With fresh seeds {fresh}: {advice}."
    seen = f"{trial.label} is best in the search: {score}."
    return [seen, f"{verdict} This writes its config:"], command_for(chosen)


def _with_fresh_seeds(confirmed: Comparison, label: str) -> tuple[str, bool]:
    """A sentence that compares a trial with the default, and whether the trial is better."""
    leads = {pair.first: pair for pair in confirmed.differences if pair.second == DEFAULT}
    lead = leads[label]
    trained, default = lead.trained_runs
    means = lead.trained
    if means:
        side, distance = ("below", -means) if means.value < 0 else ("above", means)
        fresh = f"it is {distance:u} {side} the default ({lead.n}, {p_text(means.p)})"
        sign = confirmed.results[0].judged_by.sign
        is_better = means.p < SIGNIFICANCE and sign * means.value > 0
    else:
        fresh = f"all runs of {'the default' if trained else label} collapse"
        is_better = trained > 0
    if is_better and trained < default:
        return f"{fresh}, but more of its runs collapse", False
    return fresh, is_better


def command_for(trial: Trial) -> str:
    """The command that writes the config of a trial's settings, without held-out images."""
    options = [pair for pair in trial.overrides if pair[0] != VAL_SIZE]
    fit = command_text("fit", f"--{trial.option}", trial.arch, *command_line(options))
    name = shlex.quote(trial.comparison.replace("/", "-"))
    return f"{fit} --print_config > {name}.yaml"


def best_table(worker: SearchWorker) -> Table:
    """The best trials, and how all of them ended."""
    config = worker.config
    judge = worker.judge

    def settings(trial: FrozenTrial) -> str:
        return settings_text(as_overrides(trial.params), list(trial.params))

    columns = [
        Column("trial", lambda trial: f"trial_{trial.number}"),
        Column(judge.name_of(judge.metric), lambda trial: judge.text(trial.values[0])),
        Column("settings", settings),
    ]
    chosen = f"Sampler {config.sampler}, seed {config.default.seed}, pruner {config.pruner}."
    notes = [f"{len(worker.trials())} trials of {config.default.arch}: {worker.so_far()}. {chosen}"]
    return Table("The best trials", columns, worker.best()[:BEST], notes)


def confirmed_table(confirmed: Comparison) -> Table:
    """The default and the best settings of the search, with fresh seeds."""
    fresh = (
        "The default is fit without the options that were searched. In the search, the best "
        "of many looks better."
    )
    if "images" in confirmed.results[0].facts:
        fresh += (
            " All are trained on all training images, and the test set was read once, at the "
            "end of each run."
        )
    return results_table(
        "The best settings with fresh seeds",
        confirmed.arms,
        confirmed.results,
        notes=[fresh],
        key="confirmed",
        kind="setting",
    )


def _row(trial: FrozenTrial) -> dict[str, Any]:
    """A row of search.csv."""
    return {
        "trial": trial.number,
        "ended": ending_of(trial),
        "epochs": len(trial.intermediate_values),
        "score": trial.values[0] if trial.values else None,
        **{name: as_trained(value) for name, value in trial.params.items()},
    }
