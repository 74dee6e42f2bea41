"""The records of runs in docs/data, and what pages read from them beyond a comparison."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from convblocks.data.mnist import ORIGINAL_MD5
from convblocks.errors import UserError
from convblocks.record.result import RunResult, decode, encode
from exact_resume.files import write


def write_results(path: Path, results: Sequence[RunResult]) -> None:
    """Write results as JSON Lines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write(path, "".join(map(encode, results)))


def read_results(path: Path) -> list[RunResult]:
    """The results that ``write_results`` has written.

    Raises:
        UserError: the file is missing or damaged.
    """
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise UserError(f"cannot read {path} ({error.strerror})") from error
    if not lines:
        raise UserError(f"cannot read {path} (it is empty)")
    return [
        decode(line, path, f"line {number}: write it again with lab/train.py")
        for number, line in enumerate(lines, start=1)
    ]


def rate_of(run: RunResult) -> str:
    """The learning rate, as it was given."""
    return dict(run.overrides)["lr"]


def is_confirming(run: RunResult) -> bool:
    """Whether it trained on all training images, maybe with what others chose on held-out ones."""
    return run.validation is None


def collapses(runs: Iterable[RunResult]) -> int:
    """How many runs collapsed."""
    return sum(run.failed for run in runs)


def is_of_mnist(result: RunResult) -> bool:
    """Whether its images were MNIST's own, as far as is known."""
    files = result.provenance.data or {}
    return set(files.values()) <= set(ORIGINAL_MD5.values())


def time_to(result: RunResult, accuracy: float) -> float | None:
    """After how many seconds it first reached an accuracy; None if it never did."""
    seconds = 0.0
    rows = (*result.epochs, *result.evaluations)
    for epoch, reached in enumerate(result.scores, start=1):
        seconds += sum(row["seconds"] for row in rows if row["epoch"] == epoch)
        if reached >= accuracy:
            return seconds
    return None


def hardware(result: RunResult) -> str:
    """Processor and system that a run ran on."""
    return without_versions(result.provenance.place)


def without_versions(machine: str) -> str:
    return machine.partition(", python ")[0]
