"""How many units of a network live at the end of its runs."""

from collections.abc import Sequence
from statistics import median
from typing import NamedTuple

from torch import nn

from convblocks.diagnosis.collapse import layer_name
from convblocks.model.networks import ARCHITECTURES
from convblocks.run.result import RunResult
from lab.study.dead_units import layers


class Living(NamedTuple):
    """How many units of a layer live, ``1 to 8 of block 2's 64 units``, and its metric."""

    text: str
    metric: str


def living_units(runs: Sequence[RunResult], metric: str = "") -> Living | None:
    """After the last epoch, in the layer of this metric or the worst one, of one
    network's runs that trained; None if not known.
    """
    trained = [run for run in runs if not run.failed]
    shares = {
        name: [run.epochs[-1][name] for run in trained if name in run.epochs[-1]]
        for name in layers(trained)
    }
    if not shares:
        return None
    if not metric:
        metric = max(shares, key=lambda name: median(shares[name]))
    arch = trained[0].arch
    units = dict(zip(shares, widths(arch), strict=True))[metric]
    living = [round(units * (1 - share)) for share in shares[metric]]
    least = min(living)
    most = max(living)
    between = "or" if most == least + 1 else "to"
    counts = f"{least} {between} {most}" if least < most else str(least)
    return Living(f"{counts} of {layer_name(metric, arch)}'s {units} units", metric)


def widths(arch: str) -> list[int]:
    """The units of each hidden layer of a registered network."""
    layers_with_weights = (
        layer
        for layer in ARCHITECTURES[arch]().modules()
        if isinstance(layer, nn.Conv2d | nn.Linear)
    )
    return [len(layer.weight) for layer in layers_with_weights][:-1]
