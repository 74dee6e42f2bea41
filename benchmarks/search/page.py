"""The page that shows what searches found, and its picture."""

import shlex
from functools import partial
from pathlib import Path
from statistics import fmean

from matplotlib.figure import Figure

from benchmarks.pages import picture
from benchmarks.search.results import VARIANTS, Reached, Results
from convblocks.atomic import write
from convblocks.comparison.statistics import mean_interval
from convblocks.estimates import NOTHING, POINTS, RATIO
from convblocks.figures.style import WIDTH, log_axis, save_in_both_themes, style
from convblocks.tables import Table, to_markdown

ABOUT = """\
# Search against chance and against a grid

{answer}

Made from [raw numbers](../data/search.json), which `python -m benchmarks.search {arguments}` measured on the machine
below.

{machine}; commit {commit}.

The network is {arch}, and a trial has {epochs} epochs and one thread. The searches have the default space of
`scripts/search.py`; the grid has the learning rates and schedules with which [the study](protocol.md) begins, and all
else as by default. All train on the same images and are judged by the same held-out ones; in each of {repeats} repeats
with other seeds, of sampler and networks. Cost is seconds of training and evaluation, added up over all trials: for a
pruned one those of the epochs that it had ended, and not what it computed of the next one until it stopped, up to a
second. Accuracies are on the held-out images, by which the best was chosen, and so are too good for all alike.
"""

SHARES = (0.25, 0.5, 1.0)

# Seconds that a search may add to a run.
MOST_ADDED = 0.3


def write_page(folder: Path, results: Results) -> None:
    """Write the page and its picture."""
    save_in_both_themes(partial(figure, results), folder / "search.png")
    write(folder / "search.md", markdown(results))


def markdown(results: Results) -> str:
    """The whole page."""
    about = ABOUT.format(
        answer=answer(results),
        arguments=shlex.join(results.arguments),
        machine=results.machine,
        commit=results.commit or "unknown",
        arch=results.arch,
        epochs=results.epochs,
        repeats=len(results.repeats()),
    )
    shown = picture("search", "Best validation error so far against seconds of training, a line for each search")
    return f"{about}\n{shown}\n\n{to_markdown(tables(results))}"


def answer(results: Results) -> str:
    """Which search found the better setting, as far as the repeats tell."""
    if not (gains := results.gains()):
        return "No repeat has a trial of both searches that had ended at equal cost."
    gain = mean_interval(gains, POINTS)
    known = f"{gain:+u} of validation accuracy (Student's t, repeats: {gain.n})"
    if gain.n < 2 or gain.low <= 0 <= gain.high:
        return f"Whether TPE with the median pruner beats random search of the same cost is not decided: {known}."
    first, second = ("TPE with the median pruner", "random search")[:: 1 if gain.value > 0 else -1]
    return f"At equal cost {first} found better settings than {second}. TPE minus random: {known}."


def tables(results: Results) -> list[Table]:
    return [reached_table(results), started_table(results)]


def reached_table(results: Results) -> Table:
    """The best validation accuracy at shares of the cost that both searches had."""
    rows = []
    for variant in results.variants():
        own = results.of(variant)
        trials = "-".join(str(count) for count in sorted({len(one.trials) for one in own}))
        seconds = sum(one.seconds() for one in own) / len(own)
        cells = [_in_brackets(results.reached(variant, share)) for share in SHARES]
        rows.append([VARIANTS[variant], trials, f"{seconds:.0f}", *cells])
    columns = ["search", "trials", "seconds in all, mean", *(f"best % at {share:.0%} of the cost" for share in SHARES)]
    cost = [results.equal_cost(repeat) for repeat in results.repeats()]
    notes = [
        f"The cost: {min(cost):.0f} to {max(cost):.0f} s, what the cheaper of the two searches took in all in each "
        f"repeat. Medians, in brackets the lowest and highest repeat; {NOTHING} where one had no trial that had ended."
    ]
    return Table("Validation accuracy at equal cost", columns, rows, notes)


def started_table(results: Results) -> Table:
    """What a search adds to a run."""
    search, compare = ([getattr(one, way) for one in results.started] for way in ("search", "compare"))
    added = mean_interval([one - other for one, other in zip(search, compare, strict=True)], RATIO)
    cells = [f"{fmean(seconds):.2f}" for seconds in (search, compare)]
    row = [*cells, f"{added:+}", f"at most {MOST_ADDED}: {added.at_most(MOST_ADDED)}"]
    note = (
        "Seconds from one run's start to the next one's, as trials of a search and as those of compare.py: an MLP, one "
        f"batch, one after the other. In brackets the 95 % interval: Student's t, n = {added.n} rounds."
    )
    return Table("What a search adds to a run", ["search", "compare", "difference", "target"], [row], [note])


def figure(results: Results) -> Figure:
    """Every search as a curve of the best validation error so far."""
    made = Figure(figsize=(WIDTH, 5.0), layout="constrained")
    axes = made.subplots()
    errors = []
    for number, variant in enumerate(results.variants()):
        colour, line, _ = style(number)
        for first, course in enumerate(results.of(variant)):
            seconds, accuracies = zip(*course.steps(), strict=True) if course.steps() else ((), ())
            own = [100 * (1 - accuracy) for accuracy in accuracies]
            errors += own
            label = None if first else VARIANTS[variant]
            axes.step([*seconds, course.seconds()], [*own, *own[-1:]], line, where="post", color=colour, label=label)
    log_axis(axes, "y", errors, unit=" %")
    axes.set_xlabel("seconds of training and evaluation")
    axes.set_ylabel("best validation error")
    axes.legend()
    return made


def _in_brackets(reached: Reached | None) -> str:
    if reached is None:
        return NOTHING
    return f"{100 * reached.value:.2f} [{100 * reached.low:.2f}, {100 * reached.high:.2f}]"
