"""Dead units in the study: by layer, setting and epoch, and their part in collapses; and how
many live.
"""

import math
from collections import Counter
from collections.abc import Sequence
from statistics import median
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from convblocks.diagnosis.collapse import layer_name
from convblocks.figures.curves import Curve, draw_by_epoch, values_of, wrapped
from convblocks.figures.estimates import NOTHING
from convblocks.figures.grouping import by_arch, grouped
from convblocks.figures.style import LETTERS, OTHERS, WIDTH, End, label_ends, style
from convblocks.figures.tables import Table
from convblocks.model.names import name_of
from convblocks.model.networks import ARCHITECTURES
from convblocks.record.directory import DEAD
from convblocks.record.result import RunResult
from lab.estimates import count_text
from lab.results import collapses
from lab.study.decision import at_notebooks, by_cell, cell_of
from lab.study.report import cell_text


def dead_column(runs: Sequence[RunResult], names: Sequence[str]) -> dict[str, str]:
    """A table's cell, by its heading: the median share of dead units behind each ReLU;
    a dash where there is none.
    """
    cells = []
    for name in names:
        if name in runs[0].final:
            cells.append(f"{100 * median(run.final[name] for run in runs):.0f}")
        else:
            cells.append(NOTHING)
    blocks = ", ".join(layer_name(name, "maxpool") for name in names)
    return {f"dead units in {blocks}, %": ", ".join(cells)}


def layers(runs: Sequence[RunResult]) -> list[str]:
    """The names of the metrics of dead units."""
    names = dict.fromkeys(name for run in runs for row in run.epochs for name in row)
    return [name for name in names if name.startswith(DEAD)]


def dead_units_table(results: Sequence[RunResult]) -> Table:
    """The share of dead units of each layer after the last epoch: median, least and
    largest over a setting's runs.
    """
    names = layers(results)
    lines = []
    for arch, own in by_arch(results).items():
        cells = by_cell(own)
        for cell in sorted(cells, key=lambda cell: (cell.lr_scheduler, float(cell.lr))):
            runs = cells[cell]
            collapsed = count_text(collapses(runs), len(runs))
            shares = [_range(_last(runs, name)) for name in names]
            lines.append([arch, cell_text(cell), collapsed, *shares])
    notes = [
        "A dead unit outputs 0 for each of 1,000 images. In per cent "
        "of the layer: median [least, largest] over the runs of a "
        "setting, after their last epoch."
    ]
    shown = [layer_name(name, "mlp") for name in names]
    columns = ["network", "setting", "collapsed", *shown]
    return Table("Dead units", columns, lines, notes)


def dead_units_figure(results: Sequence[RunResult]) -> Figure:
    """The share of dead units by epoch: a panel for each network that logged it, with a
    curve for each layer.
    """
    networks = [own for own in by_arch(results).values() if layers(own)]
    figure = Figure(figsize=(WIDTH, 4.2), layout="constrained")
    (axes,) = figure.subplots(1, len(networks), sharey=True, squeeze=False)
    axes[0].set_ylabel("dead units")
    marks = "thick lines: medians of all runs"
    if any(run.failed for own in networks for run in own):
        marks += "; dotted: runs that collapsed"
    figure.supxlabel(marks, fontsize=LETTERS)
    drawn = zip(axes, networks, strict=True)
    label_ends(figure, [(panel, draw_dead_units(panel, own)) for panel, own in drawn])
    return figure


def draw_dead_units(axes: Axes, runs: Sequence[RunResult]) -> list[End]:
    """The share of dead units of a network, a curve for each layer; the title names the
    worst one.
    """
    names = layers(runs)
    arch = runs[0].arch
    curves = []
    for place, name in enumerate(names):
        dead = _last(runs, name).count(1)
        label = layer_name(name, arch)
        if dead:
            label += f"\nall dead\nin {dead} runs"
        curves.append(Curve(label, style(OTHERS + place), [*runs]))
    worst = _worst(runs)
    share = median(_last(runs, worst))
    axes.set_title(f"{wrapped(arch)}:\n{100 * share:.0f} % of {layer_name(worst, arch)} dead")
    axes.yaxis.set_major_formatter(PercentFormatter(1, symbol=" %"))
    values = [[values_of(run, name) for run in runs] for name in names]
    return draw_by_epoch(axes, curves, values)


def dead_unit_sentences(confirmed: Sequence[RunResult], results: Sequence[RunResult]) -> list[str]:
    """Which layers die, in the runs of the second stage, and in which of all runs and
    when: up to three sentences.
    """
    return [*_at_notebooks(confirmed), *_of_collapsed(results), *_by_rate(results)]


def _at_notebooks(results: Sequence[RunResult]) -> list[str]:
    parts = []
    for arch, own in by_arch(at_notebooks(results)).items():
        if layers(own):
            worst = _worst(own)
            share = median(_last(own, worst))
            parts.append(f"{100 * share:.0f} % of {name_of(arch)}'s {layer_name(worst, arch)}")
    if not parts:
        return []
    found = ", ".join(parts)
    return [f"Dead units at the notebook's setting: {found} (each network's worst layer, medians)."]


def _of_collapsed(results: Sequence[RunResult]) -> list[str]:
    """A collapsed run counts for its first layer that is dead altogether, which
    determines those after it.
    """
    collapsed = [one for one in results if one.failed]
    if not collapsed:
        return []
    dead = Counter[str]()
    for one in collapsed:
        gone = [name for name in layers([one]) if one.epochs[-1].get(name) == 1]
        if gone:
            dead[f"{name_of(one.arch)}'s {layer_name(gone[0], one.arch)}"] += 1
    found = "none has a dead layer"
    if dead:
        where = ", ".join(f"{layer} in {count}" for layer, count in dead.most_common())
        share = "all" if dead.total() == len(collapsed) else dead.total()
        found = f"a whole layer is dead in {share} of them ({where})"
    late = sum(map(_has_learned, collapsed))
    before = f"{late} were above chance before"
    if late < 2:
        before = f"{late or 'none'} was above chance after any epoch"
    return [f"{len(collapsed)} of all {len(results)} runs collapsed: {found}, and {before}."]


def _has_learned(run: RunResult) -> bool:
    """Whether its accuracy was above chance after any epoch."""
    chance = run.facts.get("chance", math.inf)
    return any(score > chance for score in run.scores)


def _by_rate(results: Sequence[RunResult]) -> list[str]:
    """The smallest rate at which any run of a network collapsed, for each schedule."""
    parts = []
    for arch, own in by_arch(results).items():
        schedules = grouped(own, lambda one: cell_of(one).lr_scheduler)
        for schedule, runs in schedules.items():
            rates = [cell_of(one).lr for one in runs if one.failed]
            if rates:
                least = min(rates, key=float)
                above = [one for one in runs if float(cell_of(one).lr) >= float(least)]
                count = count_text(collapses(above), len(above))
                parts.append(f"{name_of(arch)} at {least} or more ({schedule}), {count}")
    if not parts:
        return []
    return [f"Runs collapsed at high learning rates only: {', '.join(parts)}."]


def _worst(runs: Sequence[RunResult]) -> str:
    """The metric of the layer with the largest share of dead units, by medians."""
    return max(layers(runs), key=lambda name: median(_last(runs, name)))


def _last(results: Sequence[RunResult], metric: str) -> list[float]:
    """The metric after the last epoch of each run that has it."""
    return [one.epochs[-1][metric] for one in results if metric in one.epochs[-1]]


def _range(shares: Sequence[float]) -> str:
    if not shares:
        return NOTHING
    return f"{100 * median(shares):.0f} [{100 * min(shares):.0f}, {100 * max(shares):.0f}]"


class Living(NamedTuple):
    """How many units of a layer live, ``1 to 8 of block 2's 64 units``, and its metric."""

    text: str
    metric: str


def living_units(runs: Sequence[RunResult], metric: str = "") -> Living | None:
    """After the last epoch, in the layer of this metric or the worst one, of one
    network's runs that trained; None if not known.
    """
    trained = [run for run in runs if not run.failed]
    names = layers(trained)
    if not names:
        return None
    metric = metric or _worst(trained)
    arch = trained[0].arch
    units = widths(arch)[names.index(metric)]
    living = [round(units * (1 - share)) for share in _last(trained, metric)]
    least = min(living)
    most = max(living)
    between = "or" if most == least + 1 else "to"
    counts = f"{least} {between} {most}" if least < most else str(least)
    return Living(f"{counts} of {layer_name(metric, arch)}'s {units} units", metric)


def widths(arch: str) -> list[int]:
    """The units of each hidden layer of a registered network."""
    parameters = ARCHITECTURES[arch]().parameters()
    return [len(values) for values in parameters if values.ndim > 1][:-1]
