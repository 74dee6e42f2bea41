"""The registered networks: a record of each, which all that names a network asks. Without torch."""

from collections.abc import Collection
from typing import NamedTuple

from convblocks.errors import UsageError, did_you_mean


class NetworkRecord(NamedTuple):
    """The record of a network, for commands, figures and pages.

    Attributes:
        name: The name that ``--arch`` takes.
        class_path: The full name of its class, which takes an image spec;
            ``from convblocks import ...`` finds the class too.
        title: The name in figures and tables.
        style: The number of its colour, line and marker in figures, from 0; no other record has it.
        layer: The word for its layers with a ReLU: ``block`` makes these block 1, block 2, ....
        in_sentences: The name within a sentence, such as ``the MLP``; by default the title.
    """

    name: str
    class_path: str
    title: str
    style: int
    layer: str
    in_sentences: str = ""

    @property
    def module(self) -> str:
        """The full name of the module that has its class."""
        return self.class_path.rpartition(".")[0]

    @property
    def class_name(self) -> str:
        """The name of its class in that module."""
        return self.class_path.rpartition(".")[2]


# The records by the names of the networks, in the order in which these are listed and drawn.
RECORDS = {
    record.name: record
    for record in (
        NetworkRecord(
            name="mlp",
            class_path="convblocks.model.networks.MultiLayerPerceptron",
            title="MLP",
            style=0,
            layer="layer",
            in_sentences="the MLP",
        ),
        NetworkRecord(
            name="maxpool",
            class_path="convblocks.model.networks.ConvMaxPoolNetwork",
            title="MaxPool",
            style=1,
            layer="block",
        ),
        NetworkRecord(
            name="batchnorm",
            class_path="convblocks.model.networks.ConvBatchNormNetwork",
            title="BatchNorm",
            style=2,
            layer="block",
        ),
    )
}

# The networks of the course: those that a comparison is of unless it names others.
COURSE = ("mlp", "maxpool", "batchnorm")


def title_of(arch: str) -> str:
    """The title of a registered network; of any other the name that was given."""
    return RECORDS[arch].title if arch in RECORDS else arch


def name_of(arch: str) -> str:
    """The name of a network within a sentence."""
    record = RECORDS.get(arch)
    return (record and record.in_sentences) or title_of(arch)


def refuse_unknown(arch: str, known: Collection[str] = RECORDS) -> None:
    """Raise a UsageError unless it is a known network, or may be the name of a class."""
    if arch not in known and "." not in arch:
        choices = f": choose one of {', '.join(known)}, or a class such as module.Network"
        raise UsageError(f"unknown architecture {arch!r}{did_you_mean(arch, known) or choices}")


def in_order(archs: Collection[str]) -> list[str]:
    """These networks, each once: registered ones first, in the order of their records."""
    return [arch for arch in dict.fromkeys([*RECORDS, *archs]) if arch in archs]
