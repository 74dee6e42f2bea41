"""What docs/lab/compute.md says of equal compute."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache

from matplotlib.figure import Figure

from convblocks.compare.analysis import summarise
from convblocks.figures.estimates import NOTHING, P_VALUE, SHARE, Estimate, cell, number, p_text
from convblocks.figures.grouping import by_arch
from convblocks.figures.tables import Table
from convblocks.model.networks import ARCHITECTURES
from convblocks.record.result import RunResult
from convblocks.text import listed
from lab.compute import (
    CHOOSING,
    CONFIRMING,
    arms_of,
    at_edge,
    chosen,
    lead,
    leads,
    leads_with_choice,
    verdict,
)
from lab.estimates import signed
from lab.factorial import levels_of, tuned
from lab.pages.factorial import cost_of, network_row
from lab.pages.settings import seconds_of_epochs
from lab.pages.writing import DATA, millions, multiply_adds, table
from lab.results import read_results
from lab.study.decision import EQUIVALENT, cell_of
from lab.study.plan import NOTEBOOK
from lab.sweeps import sweep_figure

# BatchNorm's network with MaxPool's head, among the factorial's.
FLATTENED = ("stride", "batch", "flatten")

VERDICTS = {
    "more": "BatchNorm stays behind, whichever of these ways it spends MaxPool's arithmetic in.",
    "arithmetic": (
        "It is the arithmetic: BatchNorm with as much is at most "
        f"{100 * EQUIVALENT:.2f} points worse, or better."
    ),
    "undecided": "By the protocol's rule it is undecided whether MaxPool's lead is its arithmetic.",
}


def compute_sentence(results: Sequence[RunResult]) -> str:
    """What the protocol's rule says, once all runs are there."""
    arms = arms_of(results)
    done = min(len(arm.confirming) for arm in arms.values())
    if done < CONFIRMING:
        return f"Not decided yet: {done} of {CONFIRMING} seeds have confirmed the chosen rates."
    found, edge = leads(arms, _study()["maxpool"]), at_edge(arms)
    numbers = [f"{_lead_text(name, one)} ({p_text(one.p)})" for name, one in found.items()]
    beyond = (
        f" Of {listed(edge)} the least or the largest rate won, and the next was "
        "not tried: that MaxPool is better is not said until it was."
    )
    ruling = VERDICTS[verdict(found, edge)]
    return f"{ruling} MaxPool's lead: {listed(numbers)}.{beyond if edge else ''}"


def _lead_text(name: str, one: Estimate) -> str:
    """MaxPool's over an arm: in points, or if a run collapsed as a probability."""
    if one.unit == SHARE:
        return f"a better run than one of {name} with probability {one}"
    return f"over {name} {one:u}"


def compute_tables(results: Sequence[RunResult]) -> list[Table]:
    """What each network costs and reaches, and the differences."""
    arms, study = arms_of(results), _study()
    maxpool, batchnorm = study["maxpool"], study["batchnorm"]
    confirmed = {name: arm.confirming for name, arm in arms.items() if arm.confirming}
    tried = [f"{len(arm.choosing)} for {name}" for name, arm in arms.items()]
    choice = f"The rate was chosen among {listed(tried)}, by {CHOOSING} seeds."
    networks = _networks_table({"maxpool": maxpool, **confirmed, "batchnorm": batchnorm}, choice)
    if not confirmed:
        return [networks]
    found = leads(arms, maxpool)
    wider = leads_with_choice(arms, found)
    pairs = {("maxpool", name): one for name, one in found.items()}
    pairs |= {(name, "batchnorm"): lead(runs, batchnorm) for name, runs in confirmed.items()}
    rows = [
        {
            "first": first,
            "second": second,
            "lead": signed(one),
            "[with the choice of the arm's rate]": (
                wider[second].interval("+") if second in wider else NOTHING
            ),
            "p": number(one.p, P_VALUE),
        }
        for (first, second), one in pairs.items()
    ]
    notes = (_head_note(confirmed), _seconds_note(confirmed["longer"]))
    return [networks, table("Differences in accuracy", rows, *notes)]


def _head_note(confirmed: Mapping[str, Sequence[RunResult]]) -> str:
    """What BatchNorm's network reaches with MaxPool's head, beside the arms."""
    runs = tuned(read_results(DATA / "factorial.jsonl"))[FLATTENED].confirming
    flattened = summarise(runs).score
    arms = [summarise(own).score for own in confirmed.values()]
    best = max((arm.value for arm in arms if arm), default=0.0)
    said = "is a part of the lead" if flattened and flattened.value > best else "is not all of it"
    return (
        f"The head {said}: BatchNorm's network with MaxPool's flattened one has "
        f"{cell(flattened)} % after five epochs, with {millions(cost_of(FLATTENED))} multiply-adds "
        "([operations.md](operations.md#eight-networks))."
    )


def _seconds_note(longer: Sequence[RunResult]) -> str:
    """How many of MaxPool's seconds the longer arm takes, at the speed of performance.md."""
    seconds = seconds_of_epochs(DATA)
    epochs = {name: len(runs[0].epochs) for name, runs in _study().items()}
    ratio = len(longer[0].epochs) * seconds["batchnorm"]
    ratio /= epochs["maxpool"] * seconds["maxpool"]
    return (
        f"In seconds of one thread ([performance.md](performance.md)) longer takes {ratio:.1f} "
        "times as long as MaxPool, so a budget of seconds would give it fewer epochs."
    )


def _networks_table(networks: Mapping[str, Sequence[RunResult]], note: str) -> Table:
    rows, efforts = [], []
    for name, runs in networks.items():
        arm = summarise(runs)
        if arm.arch in ARCHITECTURES:
            cost = multiply_adds(ARCHITECTURES[arm.arch]())
        else:
            cost = cost_of(levels_of(runs[0]))
        efforts.append(cost * len(runs[0].epochs))
        arithmetic = number(efforts[-1] / efforts[0])
        rows.append({**network_row(name, arm, cost), "arithmetic": arithmetic})
    return table("Networks", rows, note)


def compute_figure(results: Sequence[RunResult]) -> Figure:
    """The error of both arms on held-out images at each rate."""
    arms = arms_of(results)
    named = [
        replace(run, arch=name)
        for name, arm in arms.items()
        for runs in arm.choosing.values()
        for run in runs
    ]
    best = [f"{name} is best at {chosen(arm)}" for name, arm in arms.items()]
    return sweep_figure(named, {"lr_scheduler=onecycle": listed(best)})


@cache
def _study() -> dict[str, list[RunResult]]:
    """The study's runs at the chosen settings."""
    runs = read_results(DATA / "study-confirm.jsonl")
    return by_arch([run for run in runs if cell_of(run) != NOTEBOOK])
