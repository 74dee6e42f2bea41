"""The command line of comparisons, and what it shares with that of searches; without
torch, whose import takes seconds.
"""

import math
from argparse import ArgumentTypeError, Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from convblocks.command_line import Parser, options_of
from convblocks.compare.trials import (
    NO_SETTINGS,
    VAL_SIZE,
    all_trials,
    command_line,
    refuse_run,
    root_of,
)
from convblocks.errors import UsageError
from convblocks.figures.option import figure_file
from convblocks.model.names import COURSE
from convblocks.record.directory import RunDirectory
from convblocks.record.result import Overrides
from convblocks.settings.options import line_of, refuse_misspelt, refuse_no_network
from convblocks.settings.words import (
    MODEL,
    by_option,
    full_name,
    full_words,
    given_settings,
    yaml_value,
)
from convblocks.text import counted

if TYPE_CHECKING:
    from convblocks.compare.launch import Start

# The options that the commands set themselves for every trial, by full names.
OWN_OPTIONS = ("model.arch", "model", "seed", "name", "resume", "threads")

# The most trials of a comparison: more are a slip of the finger, and fill the memory.
MOST_TRIALS = 10_000

# Options that change the images, and with them what an accuracy means.
OF_IMAGES = ("data.root", "data.size", "data.source", VAL_SIZE)


def begin(name: str, arguments: Sequence[str]) -> Sequence[str]:
    """A line that says what a command line of ``compare`` will do.

    Raises:
        UserError: a wrong option, or a file that is not there.
    """
    for option, *values in by_option(arguments):
        if values and option == "--from":
            Path(values[0]).open().close()
            return [f"{name}: {values[0]}"]
    options = parse(arguments)
    if options.trial is not None:  # fit has a line of its own
        return ()
    finished = 0 if options.retrain else sum(bool(trial.result()) for trial in options.trials)
    return announce(name, options, len(options.trials), finished, (*options.grid.items(),))


def announce(
    name: str, options: Namespace, count: int, finished: int, swept: Overrides = ()
) -> Sequence[str]:
    """A line that says how many trials there will be, and how many of them are finished.

    Raises:
        UsageError: a run is in the way, or a config is not there.
    """
    directory = RunDirectory(options.name, options.root)
    refuse_run(directory)
    trials = f"{name}: {counted(count, 'trial')} ({finished} finished)"
    settings = given_settings(full_words(command_line([*options.common, *swept])))
    return [line_of(trials, settings, directory.path)]


def parse(arguments: Sequence[str]) -> Namespace:
    """The options, with ``common`` (those of all trials), ``grid`` (the swept ones) and
    all ``trials``.

    Raises:
        UsageError: a wrong option.
    """
    parser = shared_parser("compare", seeds("10"))
    parser.add_argument("--grid", type=_grid, action="extend", nargs="+", default=[])
    parser.add_argument("--confirm", type=not_negative, default=0)
    parser.add_argument("--trial", type=int)
    parser.add_argument("--no-fit", action="store_true")
    options = parse_shared(parser, arguments)
    options.archs = options.archs or list(COURSE)
    if options.confirm and not options.grid:
        raise UsageError(
            "--confirm trains the best settings of a grid with fresh seeds: "
            "give --grid, or leave it out"
        )
    if options.retrain and (options.no_fit or options.trial is not None):
        other = "--no-fit" if options.no_fit else "--trial"
        raise UsageError(f"--retrain trains all trials again, {other} does not: leave one out")
    _check_grid(options)
    options.grid = dict(options.grid)
    count = math.prod(map(len, [options.archs, options.seeds, *options.grid.values()]))
    if count > MOST_TRIALS:
        raise UsageError(f"these are {count:,} trials: at most {MOST_TRIALS:,} can be compared")
    options.trials = all_trials(
        options.name, options.archs, options.seeds, options.common, options.grid, options.option
    )
    return options


def _check_grid(options: Namespace) -> None:
    """Raise a UsageError for an option that cannot be swept, under any of its names."""
    taken = {*OWN_OPTIONS, *map(full_name, dict(options.common))}
    for option, _ in options.grid:
        full = full_name(option)
        if full in OF_IMAGES:
            raise UsageError(f"--grid {option}: runs on different images cannot be compared")
        if full in NO_SETTINGS:
            raise UsageError(f"--grid {option}: runs cannot differ in this option")
        if full in taken:
            raise UsageError(f"--grid {option}: this option is set for all trials already")
        taken.add(full)


def shared_parser(name: str, default_seeds: Sequence[int] | None) -> Parser:
    """A parser with the options that ``compare`` and ``search`` share."""
    parser = Parser()
    parser.add_argument("--arch", nargs="+", default=[])
    parser.add_argument("--model", nargs="+", default=[])
    parser.add_argument("--seeds", type=seeds, default=default_seeds)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--jobs", type=positive)
    parser.add_argument("--launcher", choices=("local", "ray"), default="local")
    parser.add_argument("--name", default=name)
    parser.add_argument("--retrain", action="store_true")
    parser.add_argument("--figure", type=figure_file)
    return parser


def parse_shared(parser: Parser, arguments: Sequence[str]) -> Namespace:
    """The options of ``shared_parser``, and as ``common`` those of ``fit`` for all
    trials.

    ``archs`` are the different names of ``--arch`` or ``--model``, or the one of a
    config, ``option`` which of both it is; ``root`` is the folder in which
    ``lightning_logs`` lies.

    Raises:
        UsageError: a wrong option.
    """
    options, fit_options = split(parser, arguments)
    if options.model and options.arch:
        raise UsageError(
            "--arch is for networks that classify images, --model for LightningModules: "
            "give one of them"
        )
    if not (options.model or options.arch):
        _take_from_configs(options, fit_options)
    options.option = "model" if options.model else "arch"
    options.archs = list(dict.fromkeys(options.model or options.arch))
    for arch in options.arch:
        refuse_no_network(arch)
    options.common = (("threads", str(options.threads)), *fit_options)
    options.root = root_of(options.common)
    return options


def _take_from_configs(options: Namespace, fit_options: Overrides) -> None:
    settings = given_settings([[f"--{option}", value] for option, value in fit_options])
    name = settings.get("model", MODEL)
    if name != MODEL:
        options.model = [name]
    elif "model.arch" in settings:
        options.arch = [str(settings["model.arch"])]


def split(parser: Parser, arguments: Sequence[str]) -> tuple[Namespace, Overrides]:
    """The options of a parser, and all others, which are those of ``fit`` for all
    trials: only ``fit`` checks these.

    Raises:
        UsageError: a wrong option of the parser's, one that the command sets for every
            trial, or one without a value.
    """
    options, others = parser.parse_known_args(arguments)
    words = by_option(others)
    refuse_misspelt(words, options_of(parser))
    fit_options = []
    for word, *values in words:
        option = word.removeprefix("--")
        if full_name(option) in OWN_OPTIONS:
            raise UsageError(f"--{option} is set for every trial")
        if option == word or len(values) != 1 or not values[0]:
            raise UsageError(
                f"{' '.join([word, *values])}: options of fit are given as --OPTION VALUE here"
            )
        fit_options.append((option, values[0]))
    return options, tuple(fit_options)


def launch(options: Namespace) -> "Start | None":
    """The function that starts trials with ``--launcher``; None without it, on this machine. On
    a cluster it also chooses ``jobs``.

    Raises:
        UserError: there is no Ray, or no cluster with a node for a trial.
    """
    if options.launcher != "ray":
        return None
    from convblocks.compare import on_ray  # only it needs Ray

    start, places = on_ray.connect(options.common)
    options.jobs = options.jobs or places
    return start


def seeds(text: str) -> list[int]:
    """``3`` means seeds 0, 1, 2; ``5-9`` and ``0,4,7`` are these."""
    first, dash, last = text.partition("-")
    if "," in text:
        numbers = [int(part) for part in text.split(",")]
    else:
        begin, end = (int(first), int(last) + 1) if dash else (0, int(text))
        if end - begin > MOST_TRIALS:
            raise UsageError(f"--seeds {text}: at most {MOST_TRIALS:,} seeds can be compared")
        numbers = list(range(begin, end))
    if not numbers or len(set(numbers)) < len(numbers):
        raise UsageError(f"--seeds {text}: give a number such as 5, or different seeds, as 0,4,7")
    return numbers


def positive(text: str) -> int:
    """A whole number of at least 1."""
    return not_negative(text, 1)


def not_negative(text: str, least: int = 0) -> int:
    """A whole number of at least 0."""
    if int(text) < least:
        raise ArgumentTypeError(f"must be at least {least}, but is {text}")
    return int(text)


def parts_of(text: str) -> list[str]:
    """The parts between commas, but for those within brackets: ``[16, 32],[32]``."""
    parts, depth = [""], 0
    for letter in text:
        depth += (letter in "[{") - (letter in "]}")
        if letter == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += letter
    return [part.strip() for part in parts if part.strip()]


def _grid(text: str) -> tuple[str, list[str]]:
    option, _, values = text.partition("=")
    swept = parts_of(values)
    if len(swept) == 1 and swept[0].startswith("["):
        swept = parts_of(swept[0][1:-1])  # a list of them
    meant = {str(yaml_value(f"--grid {text}", value)) for value in swept}
    if not option or len(meant) < max(len(swept), 1):
        raise UsageError(
            f"--grid {text}: give an option of fit and different values, such as lr=1e-3,1e-2"
        )
    return option.removeprefix("--"), swept
