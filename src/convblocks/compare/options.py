"""The command line of comparisons, and what it shares with that of searches."""

import os
from argparse import Namespace
from collections.abc import Mapping, Sequence

from lightning.pytorch import LightningDataModule

from convblocks.command_line import UNKNOWN, Parser, options_of, with_suggestion
from convblocks.compare.trials import JUDGE, Start, Trial, choice_of, command_line, root_of
from convblocks.errors import UsageError
from convblocks.model.networks import ARCHITECTURES
from convblocks.run.config import Config
from convblocks.run.judge import Judge
from convblocks.run.parser import SHORT, Settings, by_option, parser
from convblocks.run.result import Overrides
from convblocks.run.trainer import make_trainer
from convblocks.text import as_json

# Set by the commands themselves for every trial.
OWN_OPTIONS = ("arch", "model", "seed", "name", "resume", "epochs", "threads")

ONE_OF_BOTH = "--arch is for networks that classify images, --model for LightningModules: give one of them"
NEEDS_MODEL = "--judge and --data are for LightningModules of your own: give them as --model"
NEEDS_JUDGE = "--model needs the metric to judge it by, and its direction: give, for example, --judge val/loss:min"

# Options that change the images, and with them what an accuracy means.
OF_IMAGES = ("data.root", "data.size", "data.source")

# The arguments of the data module on which the image spec depends.
IMAGES_DEPEND_ON = ("root", "size", "source", "val_size")

# The option that holds training images out.
VAL_SIZE = "data.val_size"

# Where trials run.
LAUNCHERS = ("local", "ray")

# More are a typing error.
MOST_TRIALS = 100_000
LIMITS = {"jobs": (1, 1000), "confirm": (0, 1000)}


def parse(arguments: list[str]) -> Namespace:
    """The options, with ``overrides`` (the same for all trials) and ``grid`` (the swept ones)."""
    own = Parser()
    own.add_argument("--arch", nargs="+")
    own.add_argument("--model", nargs="+")
    own.add_argument("--seeds", type=seeds, default=seeds("10"))
    own.add_argument("--epochs", type=int)
    own.add_argument("--threads", type=int, default=1)
    own.add_argument("--jobs", type=int)
    own.add_argument("--launcher", choices=LAUNCHERS, default="local")
    own.add_argument("--name", default="compare")
    own.add_argument("--grid", type=_grid, action="append", default=[])
    own.add_argument("--confirm", type=int, default=0)
    own.add_argument("--no-fit", action="store_true")
    own.add_argument("--trial", type=int)
    options, others = own.parse_known_args([word for words in by_option(arguments) for word in words])
    refuse_out_of_range(options, LIMITS)
    given = options_of_fit(others, "comparison", own)
    options.arch = chosen(options, given) or list(ARCHITECTURES)
    if options.epochs is None:
        options.epochs = default_epochs(options.arch[0], given)
    options.overrides = (("epochs", str(options.epochs)), ("threads", str(options.threads)), *given)
    options.root = root_of(options.overrides)
    if len(dict(options.grid)) < len(options.grid):
        raise UsageError("--grid: each option can be swept once")
    options.grid = dict(options.grid)
    refuse_arguments_of_networks(options.arch, [*dict(options.overrides), *options.grid])
    if options.confirm and not options.grid:
        raise UsageError("--confirm trains the best settings of a grid with fresh seeds: give --grid, or leave it out")
    for option in options.grid:
        if option in (*OF_IMAGES, VAL_SIZE):
            raise UsageError(f"--grid {option}: runs on different images cannot be compared")
        if option in dict(options.overrides) or option in OWN_OPTIONS:
            raise UsageError(f"--grid {option}: this option is set for all trials already")
    return options


def chosen(options: Namespace, given: Overrides) -> list[str] | None:
    """The networks of ``--arch`` or the modules of ``--model``, if any.

    Raises:
        UsageError: there are both, or modules without a judge, or a judge without modules.
    """
    if options.model and options.arch:
        raise UsageError(ONE_OF_BOTH)
    if bool(options.model) != (JUDGE in dict(given)):
        raise UsageError(NEEDS_JUDGE if options.model else NEEDS_MODEL)
    names: list[str] | None = options.model or options.arch
    return names and list(dict.fromkeys(names))


def is_validated(settings: Settings) -> bool:
    """Whether runs with these settings are evaluated on held-out images or other validation data."""
    data = settings.get("data", {}).get("init_args", {})
    validates = data["val_size"] if "val_size" in data else not Judge.parse(settings["judge"]).is_of_test
    return bool(validates) and settings["trainer"].get("limit_val_batches") != 0


def refuse_out_of_range(options: Namespace, limits: Mapping[str, tuple[int, int]]) -> None:
    """Raise a UsageError unless each of these options is from its least to its largest value."""
    for name, (least, most) in limits.items():
        value = getattr(options, name)
        if value is not None and not least <= value <= most:
            raise UsageError(f"--{name} must be {least} to {most:,}, but is {value}")


def launch(options: Namespace, overrides: Overrides) -> Start | None:
    """What starts the trials with ``--launcher``, None for this machine; chooses ``jobs`` if that is not given.

    Raises:
        UserError: there is no Ray, or no cluster with a node for a trial.
    """
    start = None
    if options.launcher == "ray" and not options.no_fit:
        from convblocks.compare import on_ray  # only it needs Ray

        start, places = on_ray.connect(overrides)
        options.jobs = options.jobs or places
    options.jobs = options.jobs or os.cpu_count()
    return start


def options_of_fit(others: Sequence[str], command: str, own: Parser) -> Overrides:
    """Options that are not a command's own are those of fit: ``--key value`` or ``--key=value``.

    Args:
        others: The words that the command's own parser left.
        command: The noun for the command, for messages.
        own: The command's own parser.

    Raises:
        UsageError: words that are not options, options without a value, those that the command sets itself, and
            unknown ones.
    """
    pairs: list[tuple[str, str]] = []
    words = iter(others)
    for word in words:
        if not word.startswith("--"):
            raise UsageError(f"unrecognized argument: {word}")
        option, equals, value = word.removeprefix("--").partition("=")
        if option in OWN_OPTIONS:
            raise UsageError(f"--{option} is set by the {command} itself")
        if not _may_be_of_fit(option):
            of_fit = [name for name in _options_of_fit() if name not in OWN_OPTIONS]
            raise UsageError(with_suggestion(f"{UNKNOWN}{word}", [*options_of(own), *of_fit]))
        if not equals and (value := next(words, "")) == "":
            raise UsageError(f"--{option} needs a value")
        pairs.append((option, value))
    return tuple(pairs)


def refuse_arguments_of_networks(archs: Sequence[str], options: Sequence[str]) -> None:
    """Refuse ``network.*`` if all networks are registered: these take no arguments."""
    of_networks = [option for option in options if option.startswith("network.")]
    if of_networks and all(arch in ARCHITECTURES for arch in archs):
        raise UsageError(f"--{of_networks[0]}: none of these networks takes arguments")


def seeds(text: str) -> list[int]:
    """``3`` means seeds 0, 1, 2; ``0,4,7`` these three."""
    found = [int(part) for part in text.split(",") if part] if "," in text else range(min(int(text), MOST_TRIALS + 1))
    if len(found) > MOST_TRIALS:
        raise UsageError(f"--seeds {text}: give {MOST_TRIALS:,} at most")
    if not found or min(found) < 0 or max(found) >= 2**32 or len(set(found)) < len(found):
        raise UsageError(f"--seeds {text}: give a number of seeds above 0, or different seeds such as 0,4,7")
    return list(found)


def default_epochs(arch: str, given: Overrides) -> int:
    """The number of epochs for which fit trains with these options."""
    epochs: int = Config.parse([*command_line(given), *choice_of(arch, given)]).settings["trainer"]["max_epochs"]
    return epochs


def config_of(trial: Trial) -> Config:
    """The configuration of a trial, checked as fit does."""
    config = Config.parse(trial.arguments())
    if config.settings["trainer"]["fast_dev_run"]:
        raise UsageError("--trainer.fast_dev_run leaves no runs to compare")
    config.make_module(data_of(config))
    make_trainer(config, trial.run.path)  # an option of the Trainer is refused once, not by each trial
    return config


def data_of(config: Config) -> LightningDataModule | None:
    """A trial's data; pictures, which may be read for it, are read once for all trials."""
    settings = config.settings.get("data", {})
    data = config.make_data()  # also refuses options out of range
    given = settings.get("init_args", {})
    of_images = as_json([settings.get("class_path"), {option: given.get(option) for option in IMAGES_DEPEND_ON}])
    return _data.setdefault(of_images, data)


_data: dict[str, LightningDataModule | None] = {}


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
