"""The space of a search: options of ``fit``, each with a range or values."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from convblocks.compare.options import OF_IMAGES, OWN_OPTIONS
from convblocks.compare.trials import NO_SETTINGS
from convblocks.errors import UsageError
from convblocks.run.result import Overrides

DEFAULT = (
    "lr=1e-4..3e-2:log,lr_scheduler=constant|onecycle,optimizer=adam|adamw|sgd,optimizer.weight_decay=1e-6..1e-2:log,"
    "batch_size=32|64|128|256,data.shift=0.0..3.0,data.rotation=0.0..15.0,data.scale=0.0..0.15"
)

# Options that must be the same for all trials.
FIXED = ("epochs", *OWN_OPTIONS, *OF_IMAGES, *NO_SETTINGS)

EXAMPLE = "write OPTION=VALUES, where VALUES are a range such as 1e-4..1e-1:log, or different ones such as 32|64"


def parse(texts: Sequence[str], fixed: Sequence[str] = ()) -> dict[str, BaseDistribution]:
    """``lr=1e-4..3e-2:log,batch_size=32|64`` as distributions by option; several texts are one, none the default one.

    A range of two whole numbers holds whole numbers.

    Args:
        texts: Of the command line.
        fixed: The options that are set for all trials, which the default space leaves out.

    Raises:
        UsageError: a text is no space, or an option may not be searched.
    """
    if not texts:
        return {option: values for option, values in parse([DEFAULT]).items() if option not in fixed}
    space = {}
    for part in ",".join(texts).split(","):
        option, _, values = map(str.strip, part.strip().removeprefix("--").partition("="))
        if option in FIXED or option in fixed:
            raise UsageError(f"--space {part}: this option is the same for all trials")
        try:
            space[option] = _distribution(values)
        except ValueError as error:
            raise UsageError(f"--space {part}: {str(error).rstrip('.')}; {EXAMPLE}") from error
    return space


def as_overrides(params: Mapping[str, Any]) -> Overrides:
    """Chosen values as options of fit, numbers with four digits."""
    return tuple((name, f"{value:.4g}" if isinstance(value, float) else str(value)) for name, value in params.items())


def corners(space: Mapping[str, BaseDistribution]) -> Iterator[dict[str, Any]]:
    """Points that together have each end of a range and each value at least once."""
    ends = {option: values_of(distribution) for option, distribution in space.items()}
    for number in range(max(map(len, ends.values()), default=1)):
        yield {option: values[min(number, len(values) - 1)] for option, values in ends.items()}


def values_of(distribution: BaseDistribution) -> Sequence[Any]:
    """The values of an option, or the ends of its range."""
    if isinstance(distribution, CategoricalDistribution):
        return distribution.choices
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    return distribution.low, distribution.high


def _distribution(text: str) -> BaseDistribution:
    """Raises a ValueError if the text is none."""
    if ".." in text:
        ends, colon, scale = text.partition(":")
        low, _, high = ends.partition("..")
        if colon and scale != "log":
            raise ValueError("a range may end with :log")
        if all(end.strip().removeprefix("-").isdecimal() for end in (low, high)):
            return IntDistribution(int(low), int(high), log=bool(colon))
        return FloatDistribution(float(low), float(high), log=bool(colon))
    choices = text.split("|")
    if len(set(choices)) < max(2, len(choices)) or "" in choices:
        raise ValueError("these are not different values")
    return CategoricalDistribution(choices)
