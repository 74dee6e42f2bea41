"""The seconds of the study's runs, which shared their machine with other work and so
have none worth reading.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from convblocks.run.result import RunResult
from lab.benchmarks.rows import Labels, Results
from lab.pages.writing import read_raw_numbers


def at_quiet_speed(results: Sequence[RunResult], data: Path) -> list[RunResult]:
    """The runs with the seconds that an epoch of their network takes on one thread of a
    quiet machine.

    Those are medians of the rounds in ``performance.json``, which include the
    evaluation.
    """
    measured = read_raw_numbers(data, "performance", Results)
    case: Labels = {"part": "training", "variant": "fit", "threads": "one", "precision": "32-true"}
    archs = {run.arch for run in results}
    seconds = {arch: measured.median("epoch", **case, arch=arch) for arch in archs}
    found = []
    for run in results:
        epochs = tuple(row | {"seconds": seconds[run.arch]} for row in run.epochs)
        found.append(replace(run, epochs=epochs, evaluations=()))
    return found
