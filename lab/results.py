"""The records of runs in docs/data, and what pages read from them beyond a comparison."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from convblocks.data.images import MNIST, ImageSpec
from convblocks.data.mnist import ORIGINAL_MD5
from convblocks.errors import UserError
from convblocks.figures.grouping import grouped
from convblocks.run.result import Overrides, RunResult, decode, encode
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
    found = []
    for number, line in enumerate(lines, start=1):
        hint = f"line {number}: write it again with lab/train.py"
        found.append(decode(line, path, hint))
    return found


def by_overrides(results: Sequence[RunResult]) -> dict[Overrides, list[RunResult]]:
    """The runs at each setting, in their order."""
    return grouped(results, lambda result: result.overrides)


def collapses(runs: Iterable[RunResult]) -> int:
    """How many runs collapsed."""
    return sum(run.failed for run in runs)


def is_of_mnist(result: RunResult) -> bool:
    """Whether its images were MNIST's own, as far as is known."""
    data = result.provenance.data
    images = result.facts.get("images")
    is_alike = images is not None and ImageSpec.from_dict(images["spec"]).same_images(MNIST)
    return is_alike and (data is None or set(data.values()) <= set(ORIGINAL_MD5.values()))


def time_to(result: RunResult, accuracy: float) -> float | None:
    """After how many seconds it first reached an accuracy; None if it never did."""
    seconds = 0.0
    rows = (*result.epochs, *result.evaluations)
    for epoch, reached in enumerate(result.scores, start=1):
        seconds += sum(row["seconds"] for row in rows if row["epoch"] == epoch)
        if reached >= accuracy:
            return seconds
    return None
