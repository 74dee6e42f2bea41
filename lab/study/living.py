"""How many units of a network live at the end of its runs."""

from collections.abc import Sequence
from statistics import median
from typing import NamedTuple

from torch import nn

from convblocks.model.networks import ARCHITECTURES
from convblocks.run.directory import DEAD
from convblocks.run.result import RunResult
from lab.study.dead_units import layers


class Living(NamedTuple):
    """How many of the units behind a ReLU, such as relu2, live."""

    counts: str
    units: int
    relu: str

    @property
    def of_layer(self) -> str:
        return f"{self.counts} of the {self.units} units of {self.relu}"

    @property
    def of_block(self) -> str:
        """For networks of blocks, each of which has one ReLU."""
        return f"{self.counts} of block {self.relu.removeprefix('relu')}'s {self.units} units"


def living_units(runs: Sequence[RunResult], relu: str = "") -> Living | None:
    """After the last epoch, in this layer or the worst one, of one network's runs that
    trained; None if not known.
    """
    trained = [run for run in runs if not run.failed]
    shares = {
        name: [run.epochs[-1][name] for run in trained if name in run.epochs[-1]]
        for name in layers(trained)
    }
    if not shares:
        return None
    layer = f"{DEAD}{relu}"
    if not relu:
        layer = max(shares, key=lambda name: median(shares[name]))
    units = dict(zip(shares, widths(trained[0].arch), strict=True))[layer]
    living = [round(units * (1 - share)) for share in shares[layer]]
    least = min(living)
    most = max(living)
    between = "or" if most == least + 1 else "to"
    counts = f"{least} {between} {most}" if least < most else str(least)
    return Living(counts, units, layer.removeprefix(DEAD))


def widths(arch: str) -> list[int]:
    """The units of each hidden layer of a registered network."""
    found = []
    for layer in ARCHITECTURES[arch]().modules():
        if isinstance(layer, nn.Conv2d):
            found.append(layer.out_channels)
        elif isinstance(layer, nn.Linear):
            found.append(layer.out_features)
    return found[:-1]
