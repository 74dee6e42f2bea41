"""The command line of comparisons, and what it shares with that of searches."""

import math
import os
from argparse import Namespace
from collections.abc import Mapping, Sequence

from convblocks.command_line import UNKNOWN, Parser, options_of, with_suggestion
from convblocks.compare.launch import Start
from convblocks.compare.trials import all_trials, root_of
from convblocks.errors import UsageError
from convblocks.model.networks import ARCHITECTURES
from convblocks.run.parser import SHORT, by_option, parser
from convblocks.run.result import Overrides

# What the commands set themselves for every trial.
OWN_OPTIONS = ("arch", "model", "seed", "name", "resume", "threads")

# Options that change the images, and with them what an accuracy means.
OF_IMAGES = ("data.root", "data.size", "data.source", "data.val_size")

# The option that holds training images out.
VAL_SIZE = "data.val_size"

# Where trials run.
LAUNCHERS = ("local", "ray")

# More are a typing error.
MOST_TRIALS = 100_000
LIMITS = {"jobs": (1, 1000), "confirm": (0, 1000)}


def parse(arguments: Sequence[str]) -> Namespace:
    """The options, with ``common`` (those of all trials), ``grid`` (the swept ones) and all ``trials``."""
    own = own_parser("compare", seeds("10"))
    own.add_argument("--grid", type=_grid, action="append", default=[])
    own.add_argument("--confirm", type=int, default=0)
    own.add_argument("--trial", type=int)
    own.add_argument("--no-fit", action="store_true")
    options = parse_shared(own, arguments, "comparison", LIMITS)
    options.archs = options.archs or list(ARCHITECTURES)
    if len(dict(options.grid)) < len(options.grid):
        raise UsageError("--grid: each option can be swept once")
    options.grid = dict(options.grid)
    refuse_arguments_of_networks(options.archs, [*dict(options.common), *options.grid])
    if options.confirm and not options.grid:
        raise UsageError("--confirm trains the best settings of a grid with fresh seeds: give --grid, or leave it out")
    for option in options.grid:
        if option in OF_IMAGES:
            raise UsageError(f"--grid {option}: runs on different images cannot be compared")
        if option in dict(options.common) or option in OWN_OPTIONS:
            raise UsageError(f"--grid {option}: this option is set for all trials already")
    count = math.prod(map(len, (options.archs, options.seeds, *options.grid.values())))
    if count > MOST_TRIALS:
        raise UsageError(f"these are {count:,} trials, and {MOST_TRIALS:,} are the most: give fewer")
    options.trials = all_trials(
        options.name, options.archs, options.seeds, options.common, options.grid, options.option
    )
    if len({trial.name for trial in options.trials}) < len(options.trials):
        raise UsageError("--grid: two of its values would be kept under the same name")
    return options


def own_parser(name: str, default_seeds: Sequence[int]) -> Parser:
    """A parser with the options that ``compare`` and ``search`` share."""
    own = Parser()
    own.add_argument("--arch", nargs="+", default=[])
    own.add_argument("--model", nargs="+", default=[])
    own.add_argument("--seeds", type=seeds, default=default_seeds)
    own.add_argument("--threads", type=int, default=1)
    own.add_argument("--jobs", type=int)
    own.add_argument("--launcher", choices=LAUNCHERS, default="local")
    own.add_argument("--name", default=name)
    return own


def parse_shared(
    own: Parser, arguments: Sequence[str], command: str, limits: Mapping[str, tuple[int, int]]
) -> Namespace:
    """The options of ``own_parser``, and as ``common`` those of ``fit`` for all trials.

    ``archs`` are the different names of ``--arch`` or ``--model``, ``option`` which of both it is; ``root`` is the
    folder in which ``lightning_logs`` lies.

    Args:
        own: The command's parser.
        arguments: The command line.
        command: The noun for the command, for messages.
        limits: The least and largest value of options.

    Raises:
        UsageError: a wrong option.
    """
    options, given = split(own, arguments, command)
    for name, (least, most) in limits.items():
        value = getattr(options, name)
        if value is not None and not least <= value <= most:
            raise UsageError(f"--{name} must be {least} to {most:,}, but is {value}")
    if options.model and options.arch:
        raise UsageError("--arch is for networks that classify images, --model for LightningModules: give one of them")
    options.option = "model" if options.model else "arch"
    options.archs = list(dict.fromkeys(options.model or options.arch))
    options.common = (("threads", str(options.threads)), *given)
    options.root = root_of(options.common)
    return options


def split(own: Parser, arguments: Sequence[str], command: str) -> tuple[Namespace, Overrides]:
    """The options of a parser, and all others, which are those of ``fit`` for all trials: only trials parse these.

    Raises:
        UsageError: a wrong option of the parser's, one that the command sets for every trial, one that ``fit`` cannot
            have, or one without a value.
    """
    names = options_of(own)
    words: list[str] = []
    given: list[tuple[str, str]] = []
    for word, *values in by_option(arguments):
        option = word.removeprefix("--")
        if option in names:
            words += [word, *values]
            continue
        if not word.startswith("--") or values[1:]:
            raise UsageError(f"unrecognized argument: {values[1] if values[1:] else word}")
        if option in OWN_OPTIONS:
            raise UsageError(f"--{option} is set by the {command} itself")
        if not _may_be_of_fit(option):
            known = [name for name in _options_of_fit() if name not in OWN_OPTIONS]
            raise UsageError(with_suggestion(f"{UNKNOWN}{word}", [*names, *known]))
        if not values or not values[0]:
            raise UsageError(f"--{option} needs a value")
        given.append((option, values[0]))
    return own.parse_args(words), tuple(given)


def refuse_arguments_of_networks(archs: Sequence[str], options: Sequence[str]) -> None:
    """Refuse ``network.*`` if all networks are registered: these take no arguments."""
    given = [option for option in options if option.startswith("network.")]
    if given and all(arch in ARCHITECTURES for arch in archs):
        raise UsageError(f"--{given[0]}: none of these networks takes arguments")


def launch(options: Namespace) -> Start | None:
    """What starts the trials with ``--launcher``, None for this machine; chooses ``jobs`` if that is not given.

    Raises:
        UserError: there is no Ray, or no cluster with a node for a trial.
    """
    start = None
    if options.launcher == "ray":
        from convblocks.compare import on_ray  # only it needs Ray

        start, places = on_ray.connect(options.common)
        options.jobs = options.jobs or places
    options.jobs = options.jobs or os.cpu_count()
    return start


def seeds(text: str) -> list[int]:
    """``3`` means seeds 0, 1, 2; ``5-9`` and ``0,4,7`` are these."""
    first, dash, last = text.partition("-")
    found: Sequence[int]
    if dash and first:
        found = range(int(first), min(int(last), int(first) + MOST_TRIALS) + 1)
    elif "," in text:
        found = [int(part) for part in text.split(",") if part]
    else:
        found = range(min(int(text), MOST_TRIALS + 1))
    if len(found) > MOST_TRIALS:
        raise UsageError(f"--seeds {text}: give {MOST_TRIALS:,} at most")
    if not found or min(found) < 0 or max(found) >= 2**32 or len(set(found)) < len(found):
        raise UsageError(f"--seeds {text}: give a number of seeds above 0, or different seeds such as 0,4,7 or 5-9")
    return list(found)


def _may_be_of_fit(option: str) -> bool:
    """Whether fit may have an option, by its beginning: its own parser checks arguments of classes."""
    names = ["model", "data", *_options_of_fit()]
    return any(option.startswith(name) and option[len(name) :][:1] in ("", ".", "+") for name in names)


def _options_of_fit() -> list[str]:
    return [*SHORT, *parser().get_defaults().keys()]


def _grid(text: str) -> tuple[str, list[str]]:
    option, _, values = text.partition("=")
    swept = [value for value in values.split(",") if value]
    if not option or len(set(swept)) < max(len(swept), 1):
        raise UsageError(f"--grid {text}: give an option of fit and different values, such as lr=1e-3,1e-2")
    return option.removeprefix("--"), swept
