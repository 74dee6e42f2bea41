"""Runs, and other things, that belong together."""

from collections.abc import Callable, Iterable
from typing import TypeVar

from convblocks.record.result import RunResult

Item = TypeVar("Item")
Key = TypeVar("Key")


def by_arch(results: Iterable[RunResult]) -> dict[str, list[RunResult]]:
    """The runs of each network, in their order."""
    return grouped(results, lambda result: result.arch)


def grouped(items: Iterable[Item], key: Callable[[Item], Key]) -> dict[Key, list[Item]]:
    """Items with the same key together, in their order."""
    found: dict[Key, list[Item]] = {}
    for item in items:
        found.setdefault(key(item), []).append(item)
    return found
