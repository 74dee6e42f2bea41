"""The command line of a search and its configuration: its space of options of ``fit``,
and what is the same for all trials; without torch, whose import takes seconds.
"""

from argparse import Namespace
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from math import isfinite
from typing import Any, NamedTuple

import numpy as np
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.samplers import BaseSampler, RandomSampler, TPESampler

from convblocks.compare.options import (
    OF_IMAGES,
    OWN_OPTIONS,
    announce,
    not_negative,
    parse_shared,
    parts_of,
    positive,
    shared_parser,
)
from convblocks.compare.trials import NO_SETTINGS, Trial, command_line
from convblocks.errors import UsageError
from convblocks.model.names import RECORDS
from convblocks.record.directory import RunDirectory
from convblocks.record.result import Overrides
from convblocks.settings.words import full_name

DEFAULT_SPACE = (
    "lr=1e-4..3e-2:log,lr_scheduler=constant|onecycle,optimizer=adam|adamw|sgd,"
    "optimizer.weight_decay=1e-6..1e-2:log,batch_size=32|64|128|256,"
    "data.shift=0.0..3.0,data.rotation=0.0..15.0,data.scale=0.0..0.15"
)

# Options that must be the same for all trials.
FIXED = {"trainer.max_epochs", *OWN_OPTIONS, *OF_IMAGES, *NO_SETTINGS}


class SearchConfig(NamedTuple):
    """The configuration of a search, which must not change while it goes on.

    Args:
        default: A trial without chosen options; the others have its network, seed and
            common options.
        space: The distribution of each option.
        sampler: "tpe" or "random".
        pruner: "median" or "none".
    """

    default: Trial
    space: Mapping[str, BaseDistribution]
    sampler: str = "tpe"
    pruner: str = "median"

    @property
    def directory(self) -> RunDirectory:
        return self.default.directory

    def trial(self, number: int, params: Mapping[str, Any]) -> Trial:
        """The trial of that number, which is kept in ``trial_3``, with these settings."""
        return replace(self.default, place=f"trial_{number}", chosen=as_overrides(params))

    def sampler_for(self, number: int) -> BaseSampler:
        """Seeded by (seed, number), so that an interrupted search chooses like an
        uninterrupted one.
        """
        seed = int(np.random.SeedSequence((self.default.seed, number)).generate_state(1)[0])
        if self.sampler == "random":
            return RandomSampler(seed)
        return TPESampler(seed=seed)

    def words(self) -> list[str]:
        """The configuration as words of the command line."""
        default = self.default
        options = [
            (default.option, default.arch),
            ("seed", str(default.seed)),
            ("sampler", self.sampler),
            ("pruner", self.pruner),
        ]
        options += [pair for pair in default.common if pair[0] not in NO_SETTINGS]
        options += [(f"space {option}", str(values)) for option, values in self.space.items()]
        return command_line(options)


# The number of fresh seeds with which the best settings are trained again, and the number of these
# settings.
FRESH_SEEDS, BEST_SETTINGS = 5, 3


def begin(name: str, arguments: Sequence[str]) -> Sequence[str]:
    """A line that says what a command line of ``search`` will do.

    Raises:
        UsageError: a wrong option, or a config that is not there.
    """
    options = parse(arguments)
    finished = [*options.config.directory.path.glob("trial_*/summary.json")]
    return announce(name, options, options.trials, 0 if options.retrain else len(finished))


def parse(arguments: Sequence[str]) -> Namespace:
    """The options, with the ``config`` of the search.

    Raises:
        UsageError: a wrong option.
    """
    parser = shared_parser("search", None)
    parser.add_argument("--trials", type=positive, default=40)
    parser.add_argument("--space", action="extend", nargs="+", default=[])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--sampler", choices=("tpe", "random"), default="tpe")
    parser.add_argument("--pruner", choices=("median", "none"), default="median")
    parser.add_argument("--confirm", type=not_negative)
    parser.add_argument("--best", type=not_negative)
    options = parse_shared(parser, arguments)
    options.renamed = _take_older_options(options)
    if len(options.archs) != 1:
        raise UsageError(
            f"give one --arch: {', '.join(RECORDS)}, or a class; "
            "or one --model; or a --config that names one"
        )
    if options.model and not options.space:
        raise UsageError("--model needs a --space, such as model.lr=1e-4..1e-1:log")
    first = options.seed + 1
    options.seeds = list(range(first, first + options.confirm))
    (arch,) = options.archs
    default = Trial(options.name, arch, options.common, (), options.seed, options.option)
    options.config = SearchConfig(
        default, parse_space(options.space, dict(options.common)), options.sampler, options.pruner
    )
    return options


def _take_older_options(options: Namespace) -> str:
    """Set ``confirm``, the number of fresh seeds, and ``best``, that of settings, also where
    they are given in the older words; a line says so.
    """
    given = options.confirm
    if options.seeds is None:
        options.confirm = FRESH_SEEDS if given is None else given
        options.best = BEST_SETTINGS if options.best is None else options.best
        return ""
    if options.best is None:
        options.best = BEST_SETTINGS if given is None else given
    options.confirm = len(options.seeds)
    return (
        "--confirm is now the number of fresh seeds, as in compare, and --best that of settings: "
        f"these words mean --best {options.best} --confirm {options.confirm}"
    )


def number_of(trial: Trial) -> int:
    """The number of a trial of a search."""
    return int(trial.place.removeprefix("trial_"))


def parse_space(texts: Sequence[str], fixed: Collection[str] = ()) -> dict[str, BaseDistribution]:
    """``lr=1e-4..3e-2:log,batch_size=32|64`` as distributions by option; several texts
    are one, none the default one.

    A range of two whole numbers holds whole numbers.

    Args:
        texts: The spaces as the command line gives them.
        fixed: The options that are set for all trials, which the default space leaves
            out.

    Raises:
        UsageError: a text is no space, or an option may not be searched.
    """
    if not texts:
        default = parse_space([DEFAULT_SPACE])
        return {option: default[option] for option in default if option not in fixed}
    space: dict[str, BaseDistribution] = {}
    taken = FIXED.union(map(full_name, fixed))
    for part in parts_of(",".join(texts)):
        option, _, values = map(str.strip, part.removeprefix("--").partition("="))
        if full_name(option) in taken:
            raise UsageError(f"--space {part}: this option is the same for all trials")
        if full_name(option) in map(full_name, space):
            raise UsageError(f"--space {part}: this option is given twice")
        try:
            space[option] = _distribution(values)
        except ValueError as error:
            raise UsageError(
                f"--space {part}: {str(error).rstrip('.')}; write OPTION=VALUES, where VALUES "
                "are a range such as 1e-4..1e-1:log, or different ones such as 32|64"
            ) from error
    if not space:
        raise UsageError("--space is empty: give OPTION=VALUES, such as lr=1e-4..1e-1:log")
    return space


def as_overrides(params: Mapping[str, Any]) -> Overrides:
    """Chosen values as options of fit."""
    return tuple((name, _text_of(value)) for name, value in params.items())


def as_trained(value: Any) -> Any:
    """A chosen value as trials have it."""
    return float(_text_of(value)) if isinstance(value, float) else value


def _text_of(value: Any) -> str:
    """A chosen value as an option's, a number with four digits."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def corners(space: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Points that together have each end of a range and each value at least once."""
    ends = {}
    for option, values in space.items():
        ends[option] = getattr(values, "choices", None) or (values.low, values.high)
    for number in range(max(map(len, ends.values()), default=1)):
        yield {option: values[number % len(values)] for option, values in ends.items()}


def _distribution(text: str) -> BaseDistribution:
    """Raises a ValueError if the text is none."""
    if ".." in text:
        ends, colon, scale = text.partition(":")
        low, _, high = ends.partition("..")
        if colon and scale != "log":
            raise ValueError("a range may end with :log")
        if all(end.strip().removeprefix("-").isdecimal() for end in (low, high)):
            return IntDistribution(int(low), int(high), log=bool(colon))
        if not isfinite(float(low)) or not isfinite(float(high)):
            raise ValueError("the ends of a range must be finite")
        return FloatDistribution(float(low), float(high), log=bool(colon))
    choices = text.split("|")
    if len(set(choices)) < max(2, len(choices)) or "" in choices:
        raise ValueError("at least two different values are needed")
    return CategoricalDistribution(choices)
