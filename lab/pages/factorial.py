"""What docs/lab/operations.md says of the factorial, and of the controls of pooling."""

import json
from collections.abc import Mapping, Sequence
from functools import cache
from itertools import chain

from matplotlib.figure import Figure

from convblocks.compare.analysis import Summary, summarise
from convblocks.compare.statistics import SIGNIFICANCE
from convblocks.figures.curves import Curve
from convblocks.figures.estimates import P_VALUE, POINTS, Estimate, cell, number
from convblocks.figures.grouping import grouped
from convblocks.figures.style import LETTERS, OTHERS, WIDTH, foreground, label_ends, style
from convblocks.figures.tables import Table
from convblocks.record.result import RunResult
from convblocks.text import listed
from lab.blocks import CHANNELS, BlockNetwork
from lab.estimates import excludes_zero
from lab.factorial import (
    Effect,
    Levels,
    Tuned,
    differences,
    interactions,
    main_effects,
    simple_effects,
    tuned,
    verdict_on_pooling,
)
from lab.pages.writing import DATA, millions, multiply_adds, table
from lab.results import rate_of, read_results
from lab.study.decision import EQUIVALENT
from lab.sweeps import RATE, draw_sweep, positions_of

MAXPOOL, STRIDE = ("maxpool", "none", "flatten"), ("stride", "none", "flatten")

# The two networks of the factorial that the controls stand beside.
BESIDE: dict[str, Levels] = {"MaxPool": MAXPOOL, "stride 2": STRIDE}

# Of protocol-operations.md.
CONTROLS: dict[str, Levels] = {
    "subsample": ("subsample", "none", "flatten"),
    "average": ("average", "none", "flatten"),
    "wide-stride": ("stride", "none", "flatten", "[60,122,190]"),
}


def factorial_tables(results: Sequence[RunResult], study: Sequence[RunResult]) -> list[Table]:
    """The eight networks, what each operation changes at each combination of the
    others, and interactions.

    ``study`` are the runs of the course's MaxPool network at the setting that the study
    chose.
    """
    networks, found = tuned(results), summarise(study)
    of_study = (
        "maxpool, none, flatten is the course's MaxPool network; stride, batch, "
        "average its BatchNorm network. [The study](results.md) chose among more "
        f"settings: its MaxPool network got {cell(found.score)} at "
        f"{rate_of(study[0])}, n = {found.trained_runs}."
    )
    tables = [
        networks_table("Eight networks", networks, of_study),
        effects_table("Simple effects", simple_effects(networks), "operation", "where"),
    ]
    further = main_effects(networks) | interactions(networks)
    lines = [
        {"effect": name, "points": f"{effect:+}", "p": number(effect.p, P_VALUE)}
        for name, effect in further.items()
    ]
    return [*tables, table("Interactions", lines)]


def factorial_sentence(results: Sequence[RunResult]) -> str:
    """Where each operation helps or hurts."""
    effects = simple_effects(tuned(results))
    parts = []
    for name, own in grouped(effects, lambda effect: effect.name).items():
        certain = _certain(own)
        part = f"{name} significantly {_kind(certain)} in {len(certain)} of {len(own)} networks"
        if certain:
            part += f"{_shared(own, certain)} ({_range(certain)} points)"
        parts.append(part)
    said = f"At the chosen rates {'; '.join(parts)}."
    certain = _certain(effects)
    if not certain:
        return said
    lost = [
        f"{effect.name} with {effect.where}"
        for effect in certain
        if not excludes_zero(effect.with_choice)
    ]
    return (
        f"{said} With the error of their choice, "
        f"{len(certain) - len(lost)} of these {len(certain)} intervals exclude 0"
        f"{f', but not that of {listed(lost)}' if lost else ''}."
    )


def readme_sentence(results: Sequence[RunResult]) -> str:
    """README's: what pooling and batch normalisation add, each on its own."""
    networks = tuned(results)
    effects = grouped(simple_effects(networks), lambda effect: effect.name)
    pooling, normalisation, _ = effects
    beside = grouped(effects[normalisation], lambda effect: effect.where.partition(",")[0])
    runs = min(len(network.trained) for network in networks.values())
    return (
        f"In all {len(networks)} combinations of pooling, normalisation and head (tuned, "
        f"n = {runs} each), {pooling} adds "
        f"{_range(effects[pooling])} points, {normalisation} "
        f"{_range(beside['stride'])} beside stride 2 and {_range(beside['maxpool'])} beside "
        "MaxPool."
    )


def _range(effects: Sequence[Effect]) -> str:
    values = [effect.given.value for effect in effects]
    return " to ".join(number(limit(values), POINTS, signed=True) for limit in (min, max))


def _shared(effects: Sequence[Effect], certain: Sequence[Effect]) -> str:
    """The level that all the certain effects have and no other one has: ``, those with stride``."""
    having, lacking = (
        [set(effect.where.split(", ")) for effect in effects if (effect in certain) == is_certain]
        for is_certain in (True, False)
    )
    shared = set.intersection(*having) - set().union(*lacking)
    return f", those with {listed(sorted(shared))}" if shared else ""


def controls_tables(results: Sequence[RunResult]) -> list[Table]:
    """The controls beside MaxPool and the stride, and their six differences."""
    networks = _beside() | tuned(results)
    effects = _control_effects(networks)
    ruling = f"The protocol's rule says: {verdict_on_pooling(_leads(effects))}."
    return [
        networks_table("Five networks", networks, _effort(networks)),
        effects_table("Differences", effects, "first", "second", ruling),
    ]


def _effort(networks: Mapping[Levels, Tuned]) -> str:
    """Whether the fewer runs that chose the controls' rates would have chosen others
    for the factorial's networks.
    """
    tried = {name: networks[levels].choosing for name, levels in CONTROLS.items()}
    first, *others = tried.values()
    rates = [rate for rate in first if all(rate in choosing for choosing in others)]
    seeds = len(first[rates[0]])
    by_fewer = [
        f"{networks[levels].rate_by(seeds, rates)} for {name} (here {networks[levels].rate})"
        for name, levels in BESIDE.items()
    ]
    further = [
        f" For {name}, {listed([rate for rate in choosing if rate not in rates])} was tried too."
        for name, choosing in tried.items()
        if len(choosing) > len(rates)
    ]
    return (
        f"Controls chose among {len(rates)} rates by {seeds} seeds, which favours "
        "MaxPool. With those alone the choice would have been "
        f"{listed(by_fewer)}.{''.join(further)}"
    )


def controls_sentence(results: Sequence[RunResult]) -> str:
    """What the six differences show."""
    return pooling_sentence(_control_effects(_beside() | tuned(results)))


def pooling_sentence(effects: Sequence[Effect]) -> str:
    """Whether both poolings beat discarding, and whether the mean is worse than the
    largest value.
    """
    leads = _leads(effects)
    kept = [leads["subsample"]] + [own.given for own in effects if own.name == "average"]
    found = ""
    if all(lead.value > 0 and lead.p < SIGNIFICANCE for lead in kept):
        found = "Pooling, by largest value or mean, beats discarding three of four values. "
    margin = f"by as much as {number(EQUIVALENT, POINTS)} points"
    is_worse = "is not" if leads["average"].high < EQUIVALENT else "may be"
    differences = listed([f"{lead:+u} from {name}" for name, lead in leads.items()])
    return (
        f"{found}The mean {is_worse} worse than the largest value {margin}: "
        f"MaxPool's accuracy differs by {differences}, average's by {kept[1]:+u} "
        "from stride 2."
    )


def _leads(effects: Sequence[Effect]) -> dict[str, Estimate]:
    """MaxPool's over each control."""
    return {effect.where: effect.given for effect in effects if effect.name == "MaxPool"}


def networks_table(title: str, networks: Mapping[Levels, Tuned], *notes: str) -> Table:
    """What each network costs and reaches, the best first."""
    arms = [(levels, summarise(network.confirming)) for levels, network in networks.items()]
    arms.sort(key=lambda item: item[1].score.value if item[1].score else 0.0, reverse=True)
    rows = []
    for levels, arm in arms:
        rows.append(network_row(_name(levels), arm, cost_of(levels)))
    return table(title, rows, "Five epochs of one cycle.", *notes)


def cost_of(levels: Levels) -> int:
    """The multiply-adds of the network of blocks with these operations and channels."""
    widths = json.loads(*levels[3:] or ["null"])
    return multiply_adds(BlockNetwork(*levels[:3], channels=widths or CHANNELS))


def network_row(name: str, arm: Summary, cost: int) -> dict[str, str]:
    """A line of a table: what a network costs, with its multiply-adds, and reaches."""
    return {
        "network": name,
        "parameters": f"{arm.parameters:,}",
        "multiply-adds": millions(cost),
        "lr": dict(arm.overrides)["lr"],
        "test accuracy %": cell(arm.score),
        "trained": f"{arm.trained_runs} of {arm.runs}",
    }


def effects_table(
    title: str, effects: Sequence[Effect], name: str, where: str, *notes: str
) -> Table:
    """A line for each difference, with both intervals."""
    rows = [
        {
            name: effect.name,
            where: effect.where,
            "points [at the chosen rates]": f"{effect.given:+}",
            "[with their choice]": effect.with_choice.interval("+"),
            "p": number(effect.given.p, P_VALUE),
        }
        for effect in effects
    ]
    return table(title, rows, *notes)


def factorial_figure(results: Sequence[RunResult]) -> Figure:
    """Held-out accuracy of each network at each rate: a mark for each run, a line
    through the means; titles say what significantly helps or hurts.
    """
    networks = tuned(results)
    effects = simple_effects(networks)
    looks = [*map(style, range(OTHERS, 6)), style(6)._replace(colour=foreground())]
    figure = Figure(figsize=(WIDTH, 5.2), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    ends = []
    for panel, (downsampling, name) in zip(
        panels, {"maxpool": "MaxPool", "stride": "Stride 2"}.items(), strict=True
    ):
        own = {levels: network for levels, network in networks.items() if levels[0] == downsampling}
        curves = [
            Curve(_words(levels), look, [*chain(*network.choosing.values())])
            for look, (levels, network) in zip(looks, own.items(), strict=True)
        ]
        positions = positions_of(rate for network in own.values() for rate in network.choosing)
        drawn = draw_sweep(panel, curves, positions, lambda run: 100 * (run.validation or 0.0))
        found = listed(_certain_in(effects, downsampling))
        panel.set_xticks([*positions.values()], [*positions])
        panel.set(title=f"{name}:\n{found}", xlabel=RATE)
        ends.append((panel, drawn))
    panels[0].set_ylabel("accuracy on held-out images in %")
    figure.supxlabel(
        "marks: runs, side by side; lines: means; titles: significant differences "
        "on test images at the chosen rates",
        fontsize=LETTERS,
    )
    label_ends(figure, ends)
    return figure


def _certain_in(effects: Sequence[Effect], level: str) -> list[str]:
    """What is significant in both networks with a level: ``averaging hurts``."""
    beside = [effect for effect in effects if level in effect.where]
    found = []
    for name, own in grouped(beside, lambda effect: effect.name).items():
        if own == _certain(own):
            found.append(f"{name.partition(' instead')[0]} {_kind(own)}")
    return found


def _certain(effects: Sequence[Effect]) -> list[Effect]:
    return [effect for effect in effects if effect.given.p < SIGNIFICANCE]


def _kind(certain: Sequence[Effect]) -> str:
    if not certain:
        return "changes accuracy"
    return "helps" if certain[0].given.value > 0 else "hurts"


def _words(levels: Levels) -> str:
    """The operations behind the downsampling."""
    return f"{levels[2]}, batch norm" if levels[1] == "batch" else levels[2]


@cache
def _beside() -> dict[Levels, Tuned]:
    networks = tuned(read_results(DATA / "factorial.jsonl"))
    return {levels: networks[levels] for levels in BESIDE.values()}


def _control_effects(networks: Mapping[Levels, Tuned]) -> list[Effect]:
    pairs = [("MaxPool", name, MAXPOOL, levels) for name, levels in CONTROLS.items()]
    pairs += [(name, "stride", levels, STRIDE) for name, levels in CONTROLS.items()]
    return differences(networks, pairs)


def _name(levels: Levels) -> str:
    return next((name for name, own in CONTROLS.items() if own == levels), ", ".join(levels))
