"""The networks' names, for what must not import torch."""

from collections.abc import Collection

from convblocks.errors import UsageError, did_you_mean

NETWORKS = ("mlp", "maxpool", "batchnorm")


def refuse_unknown(arch: str, known: Collection[str] = NETWORKS) -> None:
    """Raise a UsageError unless it is a known network, or may be the name of a class."""
    if arch not in known and "." not in arch:
        choices = f": choose one of {', '.join(known)}, or a class such as module.Network"
        raise UsageError(f"unknown architecture {arch!r}{did_you_mean(arch, known) or choices}")
