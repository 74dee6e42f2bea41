"""The options of a comparison: its own, and those of fit.py for all its trials."""

import os
from argparse import Namespace
from collections.abc import Sequence

from convblocks.command_line import Parser
from convblocks.comparison.trials import Settings, command_line, root_of
from convblocks.errors import UsageError
from convblocks.model.networks import ARCHITECTURES
from convblocks.training import options as fit_options

# Set by this command itself for every trial.
OWN_OPTIONS = ("arch", "seed", "name", "resume", "epochs", "threads")

# More than anybody trains: a slip of the hand.
MOST_TRIALS = 100_000


def parse(arguments: list[str]) -> Namespace:
    """The options, with ``settings`` (the same for all trials) and ``grid`` (those that are swept)."""
    parser = Parser()
    parser.add_argument("--arch", nargs="+", default=list(ARCHITECTURES))
    parser.add_argument("--seeds", type=_seeds, default=_seeds("10"))
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--name", default="compare")
    parser.add_argument("--grid", type=_grid, action="append", default=[])
    parser.add_argument("--no-fit", action="store_true")
    parser.add_argument("--trial", type=int)
    options, others = parser.parse_known_args(fit_options.with_size_as_one(arguments))
    if options.jobs < 1:
        raise UsageError(f"--jobs must be at least 1, but is {options.jobs}")
    given = _pairs(others)
    if options.epochs is None:
        options.epochs = _default_epochs(options.arch[0], given)
    options.settings = (("epochs", str(options.epochs)), ("threads", str(options.threads)), *given)
    options.root = root_of(options.settings)
    if len(dict(options.grid)) < len(options.grid):
        raise UsageError("--grid: each option can be swept once")
    options.grid = dict(options.grid)
    of_networks = [option for option in (*dict(options.settings), *options.grid) if option.startswith("network.")]
    if of_networks and all(arch in ARCHITECTURES for arch in options.arch):
        raise UsageError(f"--{of_networks[0]}: none of these networks takes arguments")
    for option in options.grid:
        if option in dict(options.settings) or option in OWN_OPTIONS:
            raise UsageError(f"--grid {option}: this option is set for all trials already")
    return options


def _default_epochs(arch: str, given: Settings) -> int:
    """How many epochs fit.py trains for by itself, with these options."""
    epochs: int = fit_options.parse([*command_line(given), "--arch", arch]).settings["epochs"]
    return epochs


def _seeds(text: str) -> list[int]:
    """``3`` means seeds 0, 1, 2; ``0,4,7`` these three."""
    seeds = [int(part) for part in text.split(",") if part] if "," in text else range(min(int(text), MOST_TRIALS + 1))
    if len(seeds) > MOST_TRIALS:
        raise UsageError(f"--seeds {text}: give {MOST_TRIALS:,} at most")
    if not seeds or min(seeds) < 0 or max(seeds) >= 2**32 or len(set(seeds)) < len(seeds):
        raise UsageError(f"--seeds {text}: give a number of seeds above 0, or different seeds such as 0,4,7")
    return list(seeds)


def _grid(text: str) -> tuple[str, list[str]]:
    option, _, values = text.partition("=")
    swept = [value for value in values.split(",") if value]
    if not option or len(set(swept)) < max(len(swept), 1):
        raise UsageError(f"--grid {text}: give an option of fit.py and different values, such as lr=1e-3,1e-2")
    return option.removeprefix("--"), swept


def _pairs(others: Sequence[str]) -> Settings:
    """Options that are not this command's own are fit.py's: ``--key value`` or ``--key=value``."""
    pairs: list[tuple[str, str]] = []
    words = iter(others)
    for word in words:
        if not word.startswith("--"):
            raise UsageError(f"unrecognized argument: {word}")
        option, equals, value = word.removeprefix("--").partition("=")
        if option in OWN_OPTIONS:
            raise UsageError(f"--{option} is set by the comparison itself")
        if not equals and (value := next(words, "")) == "":
            raise UsageError(f"--{option} needs a value")
        pairs.append((option, value))
    return tuple(pairs)
