"""The space of a search: options of ``fit``, each with a range or values."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from convblocks.compare.analysis import is_number
from convblocks.compare.options import OF_IMAGES, OWN_OPTIONS
from convblocks.compare.trials import NO_SETTINGS
from convblocks.errors import UsageError
from convblocks.run.result import Overrides

DEFAULT = (
    "lr=1e-4..3e-2:log,lr_scheduler=constant|onecycle,optimizer=adam|adamw|sgd,optimizer.weight_decay=1e-6..1e-2:log,"
    "batch_size=32|64|128|256,data.shift=0.0..3.0,data.rotation=0.0..15.0,data.scale=0.0..0.15"
)

Dimension = FloatDistribution | IntDistribution | CategoricalDistribution
Space = dict[str, Dimension]  # by the option of fit without its dashes
Params = Mapping[str, Any]

# Options that must be the same for all trials.
FIXED = ("epochs", *OWN_OPTIONS, *OF_IMAGES, *NO_SETTINGS)

# The name of the network as a dimension.
ARCH = "arch"

LOG = ":log"

EXAMPLE = "give a range such as 1e-4..1e-1:log, or different values such as 32|64"


def parse(texts: Sequence[str], given: Sequence[str] = ()) -> Space:
    """``lr=1e-4..3e-2:log,batch_size=32|64``, or YAML files of such lines, as one space; without any the default one.

    A range of two whole numbers holds whole numbers.

    Args:
        texts: Of the command line.
        given: The options that are set for all trials, which the default space leaves out.

    Raises:
        UsageError: a text is neither, a range is reversed, or an option may not be searched.
    """
    if not texts:
        return {option: found for option, found in parse([DEFAULT]).items() if option not in given}
    space: Space = {}
    for text in texts:
        for option, values in _parts(text) if "=" in text else _file(Path(text)):
            where = f"--space {option}={values}"
            if option in space:
                raise UsageError(f"{where}: this option is there twice")
            if option in FIXED or option in given:
                raise UsageError(f"{where}: this option is the same for all trials")
            try:
                space[option] = _dimension(values)
            except ValueError as error:
                raise UsageError(f"{where}: {str(error).rstrip('.')}; {EXAMPLE}") from error
    return space


def describe(dimension: Dimension) -> str:
    """A dimension as ``parse`` reads it."""
    if isinstance(dimension, CategoricalDistribution):
        return "|".join(map(str, dimension.choices))
    return f"{dimension.low}..{dimension.high}{LOG if dimension.log else ''}"


def as_overrides(params: Params) -> Overrides:
    """Chosen values as options of fit, numbers with four digits."""
    return tuple((name, f"{value:.4g}" if isinstance(value, float) else str(value)) for name, value in params.items())


def corners(space: Space) -> Iterator[Params]:
    """Points that together have each end of a range and each value at least once."""
    ends = {
        option: found.choices if isinstance(found, CategoricalDistribution) else (found.low, found.high)
        for option, found in space.items()
    }
    for number in range(max(map(len, ends.values()), default=1)):
        yield {option: values[min(number, len(values) - 1)] for option, values in ends.items()}


def _parts(text: str) -> Iterator[tuple[str, str]]:
    for part in text.split(","):
        option, equals, values = part.partition("=")
        if not equals or not option:
            raise UsageError(f"--space {part}: write OPTION=VALUES with an option of fit; {EXAMPLE}")
        yield option.strip().removeprefix("--"), values.strip()


def _file(path: Path) -> Iterator[tuple[str, Any]]:
    """A YAML file with a range as text, or a list of values, for each option."""
    try:
        content = yaml.safe_load(path.read_text())
    except (OSError, ValueError, yaml.YAMLError) as error:
        reason = error.strerror if isinstance(error, OSError) else " ".join(str(error).split())
        raise UsageError(f"--space {path}: {reason}; give OPTION=VALUES, or a YAML file of such lines") from error
    if not isinstance(content, dict) or not content:
        raise UsageError(f"--space {path}: it must hold a line such as `lr: 1e-4..1e-1{LOG}` for each option")
    yield from ((str(option), values) for option, values in content.items())


def _dimension(values: Any) -> Dimension:
    """Raises a ValueError if the values are none."""
    if isinstance(values, str) and ".." in values:
        ends, colon, scale = values.partition(":")
        low, _, high = ends.partition("..")
        if (colon and colon + scale != LOG) or not (is_number(low) and is_number(high)):
            raise ValueError("this is no range")
        if all(end.strip().removeprefix("-").isdecimal() for end in (low, high)):
            return IntDistribution(int(low), int(high), log=bool(colon))
        return FloatDistribution(float(low), float(high), log=bool(colon))
    if isinstance(values, list):  # of a YAML file: null is written as on a command line, not None
        choices = [value if isinstance(value, str) else json.dumps(value, default=str) for value in values]
    else:
        choices = str(values).split("|")
    if len(set(choices)) < max(2, len(choices)) or "" in choices:
        raise ValueError("this is no choice")
    return CategoricalDistribution(choices)
