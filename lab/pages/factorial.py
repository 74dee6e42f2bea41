"""What docs/lab/operations.md says of the factorial, and of the controls of pooling."""

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

from matplotlib.figure import Figure

from convblocks.compare.analysis import summarise
from convblocks.compare.statistics import SIGNIFICANCE
from convblocks.figures.estimates import P_VALUE, cell, number
from convblocks.figures.style import WIDTH, End, label_ends, style
from convblocks.figures.tables import Table
from convblocks.run.result import RunResult
from convblocks.text import counted, listed
from lab.blocks import BlockNetwork
from lab.factorial import (
    OPERATIONS,
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
from lab.results import read_results

MAXPOOL, STRIDE = ("maxpool", "none", "flatten"), ("stride", "none", "flatten")

# The two networks of the factorial that the controls stand beside.
BESIDE: dict[str, Levels] = {"MaxPool": MAXPOOL, "stride 2": STRIDE}

# The controls of pooling by their levels.
WIDE = ("stride", "none", "flatten", "[60,122,190]")
CONTROLS: dict[str, Levels] = {
    "subsample": ("subsample", "none", "flatten"),
    "average": ("average", "none", "flatten"),
    "wide-stride": WIDE,
}

VERDICTS = {
    "pooling": "It is keeping the largest value: MaxPool beats all three controls.",
    "resolution": "By the protocol's rule it is the resolution, not keeping the largest value: average pooling is "
    "equivalent to MaxPool.",
    "arithmetic": "It is the arithmetic, or the parameters: a wide stride network is equivalent to MaxPool.",
    "undecided": "By the protocol's rule the controls do not decide what makes the difference.",
}


def factorial_tables(results: Sequence[RunResult], study: Sequence[RunResult]) -> list[Table]:
    """The eight networks, what each operation changes at each combination of the others, and interactions.

    ``study`` are the runs of the course's MaxPool network at the setting that the study chose.
    """
    networks, found = tuned(results), summarise(study)
    of_study = (
        "maxpool, none, flatten is the course's MaxPool network; stride, batch, average its BatchNorm network. [The "
        f"study](results.md) chose among more settings: its MaxPool network got {cell(found.score)} at "
        f"{dict(study[0].overrides)['lr']}, n = {found.trained_runs}."
    )
    meaning = (
        "Differences in points of test accuracy, with the operation minus without it. p: after Holm's correction over "
        "the twelve. The first interval takes the chosen rates as given. The second adds the error of their choice: "
        "what other choosing seeds would change."
    )
    tables = [
        networks_table("Eight networks", networks, of_study),
        effects_table("Simple effects", simple_effects(networks), "operation", "where", meaning),
    ]
    others = main_effects(networks) | interactions(networks)
    lines = [
        {"effect": name, "points": f"{effect:+}", "p": number(effect.p, P_VALUE)} for name, effect in others.items()
    ]
    note = (
        "An interaction is half of how much an effect, or the interaction of two, changes with a further operation. "
        "Intervals hold together at 95 % (Bonferroni), by Welch and Satterthwaite. A main effect is given only where "
        "no interaction with that operation has p < 0.05."
    )
    return [*tables, table("Interactions", lines, note)]


def factorial_sentence(results: Sequence[RunResult]) -> str:
    """Where each operation helps or hurts."""
    effects = simple_effects(tuned(results))
    parts = []
    for _, name in OPERATIONS.values():
        own = [effect for effect in effects if effect.name == name]
        certain = [effect for effect in own if effect.given.p < SIGNIFICANCE]
        low, high = (f"{limit(effect.given.value for effect in own) * 100:+.2f}" for limit in (min, max))
        signs = {effect.given.value > 0 for effect in certain}
        kind = "helps" if signs == {True} else "hurts" if signs == {False} else "helps or hurts"
        where = (
            f"significantly {kind} in {len(certain)} of {len(own)} networks{_shared(own, certain)}"
            if certain
            else "changes nothing for sure"
        )
        parts.append(f"{name} {where} ({low} to {high} points)".replace("-", "−"))
    collapsed = sum(network.collapsed for network in tuned(results).values())
    left_out = f" {counted(collapsed, 'run')} collapsed and are left out." if collapsed else ""
    return f"{parts[0]}; {'; '.join(parts[1:])}.{left_out}"


def _shared(effects: Sequence[Effect], certain: Sequence[Effect]) -> str:
    """The level that all the certain effects have and no other one has: ``, those with stride``."""
    having, lacking = (
        [set(effect.where.split(", ")) for effect in effects if (effect in certain) == is_certain]
        for is_certain in (True, False)
    )
    shared = set.intersection(*having) - set().union(*lacking)
    return f", those with {listed(sorted(shared))}" if lacking and shared else ""


def controls_tables(results: Sequence[RunResult]) -> list[Table]:
    """The controls beside MaxPool and the stride, and their six differences."""
    networks = _with_factorial(results)
    effects = _control_effects(networks)
    meaning = (
        "Differences in points of test accuracy by the study's test, p after Holm's correction over the six. Intervals "
        "as above."
    )
    subsample = next(effect.given for effect in effects if (effect.name, effect.where) == ("subsample", "stride"))
    if subsample.p >= SIGNIFICANCE:
        meaning += (
            " It was not shown that computing at every position is enough: subsample, which throws three quarters of "
            "the values away, does not significantly beat the stride."
        )
    return [
        networks_table("Five networks", networks, _effort(networks, tuned(results))),
        effects_table("Differences", effects, "first", "second", meaning),
    ]


def _effort(networks: Mapping[Levels, Tuned], controls: Mapping[Levels, Tuned]) -> str:
    """Whether the fewer runs that chose the controls' rates would have chosen others for the factorial's networks."""
    first, *others = [network.choosing for network in controls.values()]
    rates = [rate for rate in first if all(rate in choosing for choosing in others)]
    seeds = len(first[rates[0]])
    by_fewer = {name: networks[levels].rate_by(seeds, rates) for name, levels in BESIDE.items()}
    changed = [f"{name} {rate}" for name, rate in by_fewer.items() if rate != networks[BESIDE[name]].rate]
    found = f"{' and '.join(changed)} instead" if changed else f"{listed(list(by_fewer))} the rates that they have"
    return (
        f"Controls chose among {len(rates)} rates by {seeds} seeds, which would have given {found}. Where the largest "
        "won, a larger one was tried."
    )


def controls_sentence(results: Sequence[RunResult]) -> str:
    """What the protocol's rule says."""
    effects = _control_effects(_with_factorial(results))
    leads = {effect.where: effect.given for effect in effects if effect.name == "MaxPool"}
    return (
        f"{VERDICTS[verdict_on_pooling(leads)]} MaxPool's lead: "
        + listed([f"{lead:+u} over {name}" for name, lead in leads.items()])
        + "."
    )


def networks_table(title: str, networks: Mapping[Levels, Tuned], *notes: str) -> Table:
    """What each network costs and reaches, the best first."""
    rows = []
    for levels, network in networks.items():
        arm = summarise(network.confirming)
        rows.append(
            {
                "network": _name(levels),
                "multiply-adds": millions(multiply_adds(_network(levels))),
                "lr": network.rate,
                "test accuracy %": cell(arm.score),
                "trained": f"{arm.trained_runs} of {arm.runs}",
            }
        )
    rows.sort(key=lambda row: row["test accuracy %"], reverse=True)
    return table(title, rows, "Five epochs of one cycle.", *notes)


def effects_table(title: str, effects: Sequence[Effect], name: str, where: str, note: str) -> Table:
    """A line for each difference, with both intervals."""
    rows = [
        {
            name: effect.name,
            where: effect.where,
            "points [at the chosen rates]": f"{effect.given:+}",
            "[with their choice]": effect.with_choice.interval(),
            "p": number(effect.given.p, P_VALUE),
        }
        for effect in effects
    ]
    return table(title, rows, note)


def factorial_figure(results: Sequence[RunResult]) -> Figure:
    """Held-out accuracy of each network at each rate: every run a dot, a line through the means."""
    networks = tuned(results)
    figure = Figure(figsize=(WIDTH, 4.8), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    ends = []
    for panel, (downsampling, name) in zip(panels, {"maxpool": "MaxPool", "stride": "Stride 2"}.items(), strict=True):
        own = {levels: network for levels, network in networks.items() if levels[0] == downsampling}
        drawn = []
        for place, (levels, network) in enumerate(own.items()):
            look = style(3 + place % 3) if place < 3 else style(0)
            rates = [float(rate) for rate in network.choosing]
            means = []
            for rate, x in zip(network.choosing, rates, strict=True):
                values = 100 * network.held_out(rate)
                panel.plot([x] * len(values), values, ".", color=look.colour, alpha=0.4)
                means.append(float(values.mean()))
            panel.plot(rates, means, look.line, color=look.colour, linewidth=1.8)
            drawn.append(End(", ".join(levels[1:]), rates[-1], means[-1], look.colour))
        tried = sorted({rate for network in own.values() for rate in network.choosing}, key=float)
        panel.set_xscale("log")
        panel.set_xticks([float(rate) for rate in tried], tried)
        panel.minorticks_off()
        panel.set(title=f"{name}: {_best_rates(own)}", xlabel="learning rate")
        ends.append((panel, drawn))
    panels[0].set_ylabel("accuracy on held-out images in %")
    label_ends(figure, ends)
    return figure


def _best_rates(networks: Mapping[Levels, Tuned]) -> str:
    rates = sorted({network.rate for network in networks.values()}, key=float)
    return f"best at {' or '.join(rates)}"


@cache
def _factorial(path: Path) -> Sequence[RunResult]:
    return read_results(path)


def _with_factorial(results: Sequence[RunResult]) -> dict[Levels, Tuned]:
    of_factorial = tuned(_factorial(DATA / "factorial.jsonl"))
    return {levels: of_factorial[levels] for levels in BESIDE.values()} | tuned(results)


def _control_effects(networks: Mapping[Levels, Tuned]) -> list[Effect]:
    pairs = [("MaxPool", name, MAXPOOL, levels) for name, levels in CONTROLS.items()]
    pairs += [(name, "stride", levels, STRIDE) for name, levels in CONTROLS.items()]
    return differences(networks, pairs)


def _name(levels: Levels) -> str:
    return next((name for name, own in CONTROLS.items() if own == levels), ", ".join(levels))


def _network(levels: Levels) -> BlockNetwork:
    if levels == WIDE:
        return BlockNetwork("stride", channels=[60, 122, 190])
    return BlockNetwork(*levels)
