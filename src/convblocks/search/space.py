"""The space of a search: options of ``fit``, each with a range or values."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from convblocks.compare.options import OF_IMAGES, OWN_OPTIONS, VAL_SIZE
from convblocks.compare.results import is_number
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
FIXED = (*OWN_OPTIONS, *OF_IMAGES, VAL_SIZE, *NO_SETTINGS)

LOG = ":log"

EXAMPLE = "give a range such as 1e-4..1e-1:log, or values such as 32|64"


def parse(text: str) -> Space:
    """``lr=1e-4..3e-2:log,batch_size=32|64``, or the YAML file of that name, as a space.

    A range of two whole numbers holds whole numbers.

    Raises:
        UsageError: it is neither, a range is empty or reversed, or an option may not be searched.
    """
    space: Space = {}
    for option, values in _file(Path(text)) if "=" not in text else _parts(text):
        where = f"--space {option}={values}" if isinstance(values, str) else f"--space {option}"
        if option in space:
            raise UsageError(f"{where}: this option is there twice")
        if option in FIXED:
            raise UsageError(f"{where}: this option is the same for all trials")
        space[option] = _dimension(values, where)
    if not space:
        raise UsageError(f"--space {text}: it holds no options")
    return space


def describe(dimension: Dimension) -> str:
    """A dimension as ``parse`` reads it."""
    if isinstance(dimension, CategoricalDistribution):
        return "|".join(map(str, dimension.choices))
    return f"{dimension.low}..{dimension.high}{LOG if dimension.log else ''}"


def as_overrides(params: Params) -> Overrides:
    """Chosen values as options of fit."""
    return tuple((option, as_text(value)) for option, value in params.items())


def as_text(value: Any) -> str:
    """A chosen value as on a command line, with four digits."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def corners(space: Space) -> Iterator[Params]:
    """Points that together have each end of a range and each value at least once."""
    ends = {
        option: one.choices if isinstance(one, CategoricalDistribution) else (one.low, one.high)
        for option, one in space.items()
    }
    for number in range(max(map(len, ends.values()))):
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
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        reason = error.strerror if isinstance(error, OSError) else " ".join(str(error).split())
        raise UsageError(f"--space {path}: {reason}; give OPTION=VALUES, or a YAML file of such lines") from error
    if not isinstance(content, dict):
        raise UsageError(f"--space {path}: it must hold a line such as `lr: 1e-4..1e-1{LOG}` for each option")
    for option, values in content.items():
        yield str(option), values


def _dimension(values: Any, where: str) -> Dimension:
    if isinstance(values, str) and ".." in values:
        return _range(values, where)
    choices = [_written(value) for value in values] if isinstance(values, list) else str(values).split("|")
    if len(set(choices)) < max(2, len(choices)) or "" in choices:
        raise UsageError(f"{where}: {EXAMPLE}, all different")
    return CategoricalDistribution(choices)


def _written(value: Any) -> str:
    """A value of a YAML file as on a command line: ``null``, not ``None``."""
    return value if isinstance(value, str) else json.dumps(value, default=str)


def _range(text: str, where: str) -> FloatDistribution | IntDistribution:
    ends, log, rest = text.partition(LOG)
    first, _, last = ends.partition("..")
    if rest or not is_number(first) or not is_number(last):
        raise UsageError(f"{where}: {EXAMPLE}")
    low, high = float(first), float(last)
    if low >= high:
        raise UsageError(f"{where}: the range {'is empty' if low == high else 'must begin with the lower number'}")
    if log and low <= 0:
        raise UsageError(f"{where}: a logarithmic range must begin above 0")
    if all(end.strip().removeprefix("-").isdecimal() for end in (first, last)):
        return IntDistribution(int(first), int(last), log=bool(log))
    return FloatDistribution(low, high, log=bool(log))
