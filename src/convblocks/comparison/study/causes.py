"""Why runs collapse: the units that answer no image any more, by layer, setting and epoch."""

from collections import Counter
from collections.abc import Sequence
from statistics import median

from convblocks.comparison.outcomes import RunResult, by_arch, learned_in
from convblocks.comparison.panels import layers
from convblocks.comparison.study.decision import at_notebooks, by_cell, cell_of
from convblocks.comparison.study.plan import Cell
from convblocks.comparison.study.report import cell_text
from convblocks.comparison.wording import name_of, rate_text
from convblocks.runs.directory import DEAD
from convblocks.tables import Table


def dead_units_table(outcomes: Sequence[RunResult]) -> Table:
    """The share of silent units of each layer after the last epoch: median, least and largest over a setting's runs."""
    names = layers(outcomes)
    lines = []
    for arch, own in by_arch(outcomes).items():
        cells = by_cell(own)
        for cell in sorted(cells, key=_by_schedule):
            runs = cells[cell]
            collapsed = rate_text(sum(one.collapsed for one in runs), len(runs))
            shares = [_range(_last(runs, name)) for name in names]
            lines.append([arch, cell_text(cell), collapsed, *shares])
    notes = [
        "Silent units answer 0 to each of 1,000 images, in per cent of the layer: median [least, largest] over the "
        "runs of a setting, after their last epoch."
    ]
    columns = ["network", "setting", "collapsed", *(name.removeprefix(DEAD) for name in names)]
    return Table("Silent units", columns, lines, notes)


def causes(outcomes: Sequence[RunResult]) -> list[str]:
    """Which layer falls silent, in which runs and when, in three sentences; fewer where there is nothing to say."""
    return [*_silent_at_notebooks(outcomes), *_of_collapsed(outcomes), *_from_which_rate(outcomes)]


def _silent_at_notebooks(outcomes: Sequence[RunResult]) -> list[str]:
    parts = []
    for arch, own in by_arch(at_notebooks(outcomes)).items():
        shares = {name: median(_last(own, name)) for name in layers(own)}
        if shares:
            worst = max(shares, key=lambda name: shares[name])
            parts.append(f"{100 * shares[worst]:.0f} % of {name_of(arch)}'s {worst.removeprefix(DEAD)}")
    if not parts:
        return []
    found = ", ".join(parts)
    return [f"Units that answer no image at the notebook's setting: {found} (each network's worst layer, medians)."]


def _of_collapsed(outcomes: Sequence[RunResult]) -> list[str]:
    """A run is counted where its first layer without any unit left is; after it nothing can be told apart."""
    collapsed = [one for one in outcomes if one.collapsed]
    if not collapsed:
        return []
    silent = Counter(
        f"{name_of(one.arch)}'s {gone[0].removeprefix(DEAD)}"
        for one in collapsed
        if (gone := [name for name in layers([one]) if one.epochs[-1].get(name) == 1])
    )
    late = sum(bool(learned_in(one)) for one in collapsed)
    where = ", ".join(f"{layer} in {count}" for layer, count in silent.most_common())
    share = "all" if silent.total() == len(collapsed) else str(silent.total())
    found = f"in {share} of them a layer has no unit left ({where})" if silent else "none has a silent layer"
    before = f"{late} had learned something before" if late else "none had learned anything before"
    return [f"{len(collapsed)} of all {len(outcomes)} runs collapsed: {found}, and {before}."]


def _from_which_rate(outcomes: Sequence[RunResult]) -> list[str]:
    """The smallest rate at which any run of a network collapsed, for each schedule."""
    parts = []
    for arch, own in by_arch(outcomes).items():
        for schedule in dict.fromkeys(cell_of(one).lr_scheduler for one in own):
            runs = [one for one in own if cell_of(one).lr_scheduler == schedule]
            rates = [cell_of(one).lr for one in runs if one.collapsed]
            if rates:
                least = min(rates, key=float)
                above = [one for one in runs if float(cell_of(one).lr) >= float(least)]
                lost = sum(one.collapsed for one in above)
                parts.append(f"{name_of(arch)} ({schedule}) from {least} up, {rate_text(lost, len(above))}")
    return [f"Runs collapsed at these learning rates: {', '.join(parts)}."] if parts else []


def _by_schedule(cell: Cell) -> tuple[str, float]:
    return cell.lr_scheduler, float(cell.lr)


def _last(outcomes: Sequence[RunResult], metric: str) -> list[float]:
    """The metric after the last epoch of each run that has it."""
    return [one.epochs[-1][metric] for one in outcomes if metric in one.epochs[-1]]


def _range(shares: Sequence[float]) -> str:
    if not shares:
        return "-"
    return f"{100 * median(shares):.0f} [{100 * min(shares):.0f}, {100 * max(shares):.0f}]"
