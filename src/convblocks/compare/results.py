"""The results of several runs: in files, as rows, and what a comparison reads from them."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import msgspec

from convblocks.data.images import MNIST, ImageSpec
from convblocks.data.mnist import ORIGINAL_MD5
from convblocks.errors import UserError
from convblocks.figures.grouping import grouped
from convblocks.files import write
from convblocks.run.result import Overrides, RunResult, decode, encode
from convblocks.text import flatten

# Fields that are no single value, and derived numbers that a row has beside the others; those of training losses.
NO_COLUMNS = ("epochs", "evaluations", "overrides")
DERIVED = ("score", "validation", "seconds")
LOSSES = ("first_loss", "last_loss")


def by_overrides(results: Iterable[RunResult]) -> dict[Overrides, list[RunResult]]:
    """The runs at each setting, in their order."""
    return grouped(results, lambda result: result.overrides)


def options_text(result: RunResult) -> str:
    """The options by which it differs from other runs, as text."""
    return ",".join(f"{option}={value}" for option, value in result.overrides)


def as_row(result: RunResult) -> dict[str, Any]:
    """A row of comparison.csv: everything that is a single value."""
    kept = {field.name: getattr(result, field.name) for field in fields(result) if field.name not in NO_COLUMNS}
    values = flatten(msgspec.to_builtins(kept)) | {"overrides": options_text(result)}
    scalars = {name: value for name, value in values.items() if not isinstance(value, list | tuple)}
    return scalars | {name: getattr(result, name) for name in (*DERIVED, *(LOSSES if has_losses([result]) else ()))}


def has_losses(results: Sequence[RunResult]) -> bool:
    """Whether training losses are compared too: those of classifiers, whose accuracies are written in per cent."""
    return all(one.judge.in_percent and all("train/loss" in row for row in one.epochs) for one in results)


def has_diverged(result: RunResult) -> bool:
    """Whether it failed because a loss was not finite; only where ``chance`` is known has a run failed otherwise."""
    return not math.isfinite(result.last_loss) if "chance" in result.facts else result.failed


def is_of_mnist(result: RunResult) -> bool:
    """Whether its images were MNIST's own, as far as is known."""
    data = result.provenance.data
    images = result.facts.get("images")
    is_alike = images is not None and ImageSpec.from_dict(images["spec"]).same_images(MNIST)
    return is_alike and (data is None or set(data.values()) <= set(ORIGINAL_MD5.values()))


def learned_in(result: RunResult) -> list[int]:
    """The epochs after which the accuracy was above chance."""
    chance = result.facts.get("chance", math.inf)
    return [epoch for epoch, score in enumerate(result.scores, start=1) if score > chance]


def died_in(result: RunResult) -> int | None:
    """The epoch in which a collapsed run lost for good what it had learned; None of any other."""
    learned = learned_in(result)
    return learned[-1] + 1 if result.failed and learned and learned[-1] < len(result.epochs) else None


def time_to(result: RunResult, accuracy: float) -> tuple[int, float] | None:
    """After how many epochs and seconds it first reached an accuracy; None if it never did."""
    seconds = 0.0
    for epoch, reached in enumerate(result.scores, start=1):
        seconds += sum(row["seconds"] for row in (*result.epochs, *result.evaluations) if row["epoch"] == epoch)
        if reached >= accuracy:
            return epoch, seconds
    return None


def after(result: RunResult, epochs: int) -> RunResult:
    """The result as it was after that many epochs, if the run was extended since; -1 stands for all.

    With validation images its final metrics remain those of the best evaluation of all. Whether it had collapsed by
    then is known from what came later: a collapsed run does not recover.
    """
    if epochs < 0 or len(result.epochs) <= epochs:
        return result
    evaluations = tuple(row for row in result.evaluations if row["epoch"] <= epochs)
    facts = {name: fact for name, fact in result.facts.items() if name != "diagnosis"}
    cut = replace(result, epochs=result.epochs[:epochs], evaluations=evaluations, facts=facts)
    if "chance" not in facts or result.validation is not None or "test/acc" not in cut.epochs[-1]:
        return cut
    failed = has_diverged(cut) or (result.failed and facts.get("collapsed_in", len(result.epochs)) <= epochs)
    of_the_end = ("mistakes",) if failed else ("mistakes", "collapsed_in")
    facts = {name: fact for name, fact in facts.items() if name not in of_the_end}
    return replace(cut, final=cut.epochs[-1], failed=failed, facts=facts)


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
    hint = "write it again with lab/train.py"
    return [decode(line, path, f"line {number}: {hint}") for number, line in enumerate(lines, start=1)]


def is_number(text: str) -> bool:
    """Whether an option's value is a finite number."""
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False
