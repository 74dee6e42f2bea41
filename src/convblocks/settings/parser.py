"""The options of ``fit``: the parser for a model, its data and the Trainer."""

import inspect
import typing
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import cache, cached_property
from typing import Any, NoReturn

import jsonargparse
import torch
from jsonargparse import Namespace
from lightning.pytorch import Trainer
from torch.optim import Optimizer, lr_scheduler

from convblocks import wings
from convblocks.command_line import UNKNOWN, options_of, with_suggestion
from convblocks.data.module import ImageDataModule
from convblocks.errors import UsageError
from convblocks.model import trust
from convblocks.model.class_specs import ClassSpec, Factory
from convblocks.model.classifier import ImageClassifier
from convblocks.settings.class_options import take_other_classes, take_specs
from convblocks.settings.messages import rewritten
from convblocks.settings.options import OPTIONS
from convblocks.settings.words import EPOCHS, NO_LIMIT, SHORT, Several, Words, nested
from convblocks.text import Settings, as_plain, as_yaml, listed
from convblocks.wings import GROUPS

DEFAULTS = {
    "trainer.enable_model_summary": False,
    "trainer.log_every_n_steps": 50,
    "trainer.num_sanity_val_steps": 0,
    "trainer.sync_batchnorm": True,
}

# The types of functions that make an optimizer from parameters, and a schedule from an optimizer,
# like LightningCLI's OptimizerCallable and LRSchedulerCallable.
MakesOptimizer = Callable[[Iterable[Any]], Optimizer]
MakesSchedule = Callable[[Optimizer], lr_scheduler.LRScheduler]

# Sections at the top of a config, as in LightningCLI, for modules without a configure_optimizers
# of their own.
SECTIONS = ("optimizer", "lr_scheduler")

# Options of the Trainer for which 1 is one batch, and 1.0 all of them.
BATCHES = (
    "limit_train_batches",
    "limit_val_batches",
    "limit_test_batches",
    "overfit_batches",
    "val_check_interval",
)

# For a parameter without a type, jsonargparse would build any class that a config names, with a
# warning for some of them.
jsonargparse.set_parsing_settings(instantiate_subclass_spec_in_any=False, import_path_denylist=[])


class FitParser(jsonargparse.ArgumentParser):
    """A parser that raises a one-line UsageError where argparse would exit.

    ``specs`` has the options that take class specs (see ``class_specs.py``), by full names, with
    their defaults. Where the model has no such parameters, ``model.optimizer`` and
    ``model.lr_scheduler``, with the default None, stand for the sections ``optimizer`` and
    ``lr_scheduler`` of a config.
    ``required`` has the options without a default; those of the model may come from the data.
    """

    specs: Mapping[str, ClassSpec | None]
    required: Collection[str] = ()

    @cached_property
    def all_defaults(self) -> Namespace:
        """The defaults of all options. Making them takes a while, so they are made once: change
        a copy only.
        """
        return self.get_defaults()

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        known = list(self.all_defaults.keys())
        short = [option for option, full in SHORT.items() if full in known]
        reason = rewritten(message)
        # A module may lack an argument that has a short option, such as --lr: name those it has.
        unknown = reason.partition("=")[0].removeprefix(f"{UNKNOWN}--model.")
        if f"model.{unknown}" in SHORT.values():
            others = [name.removeprefix("model.") for name in known if name.startswith("model.")]
            raise UsageError(
                f"{reason}: the model has no argument {unknown}; "
                f"its arguments are {listed(others) or 'none'}"
            ) from ex
        raise UsageError(with_suggestion(reason, [*short, *known])) from ex

    def parse(self, settings: Settings, words: Words) -> Namespace:
        """The settings that are given, in the types of the signatures; the command line
        overrides configs. With them stand the number of threads, the epochs and the class
        specs, even if nobody gives these.

        Args:
            settings: The settings of configs, by full names. Class specs in the words are
                written into them.
            words: The command line, as of ``full_words``.

        Raises:
            UsageError: an unknown option, or a value of another type.
        """
        # take_specs changes settings, and take_other_classes changes config: each writes the
        # classes that words name into them, and returns the other words.
        rest = take_specs(self.specs, settings, words)
        has_lr = any(option == "--model.lr" for option, *_ in rest)
        if has_lr and "model.lr" not in self.all_defaults and "optimizer" in settings:
            raise UsageError("the model has no argument lr: did you mean --optimizer.lr?")
        config = nested(settings)
        rest = take_other_classes(config, rest)
        arguments = ["=".join(word) for word in rest if not _is_read_before(word)]
        # Without defaults: with them jsonargparse would also fill in the arguments of callbacks and
        # loggers that nobody gave.
        parsed = self.parse_args(["--config", as_yaml(config), *arguments], defaults=False)
        if parsed.get("threads") is None:
            # The number is saved, since a resume must round sums in the same way.
            parsed.threads = torch.get_num_threads()
        if parsed.get("trainer.max_epochs") is None:
            # As in Lightning, there is no limit of epochs where another limit is given.
            limits = parsed.get("trainer.max_steps", NO_LIMIT), parsed.get("trainer.max_time")
            parsed["trainer.max_epochs"] = EPOCHS if limits == (NO_LIMIT, None) else NO_LIMIT
        return parsed

    def with_defaults(self, parsed: Namespace) -> Namespace:
        """The values of all options: of those that are not given, the defaults."""
        values: Namespace = self.all_defaults.clone()
        values.update(parsed)
        return values

    def read(self, settings: Settings) -> Namespace:
        """Plain settings by full names, in the types of the signatures, without defaults.

        Raises:
            UsageError: an unknown option, or a value of another type.
        """
        # as_plain makes a copy, since jsonargparse changes the lists that it reads.
        parsed: Namespace = self.parse_object(nested(as_plain(settings)), defaults=False)
        return parsed


def _is_read_before(word: Sequence[str]) -> bool:
    """True for a word that is not for the parser: ``--model``, ``--data`` and ``--config``, which
    are read before there is one, and ``--print_config``, which `Config.parse` obeys.
    """
    option, *values = word
    return option in ("--config", "--print_config") or (
        option in ("--model", "--data") and bool(values)
    )


@cache
def make_parser(
    model: Factory = ImageClassifier, data: Factory | None = ImageDataModule
) -> FitParser:
    """The parser of all options. Their types, defaults and help come from the signatures and
    docstrings of the classes or functions whose arguments they are.

    Args:
        model: The class of the module, or a function that makes it.
        data: The class of the data, or a function; None for data that the module has itself.

    Raises:
        UsageError: a signature cannot become options.
    """
    parser = FitParser(prog="convblocks fit", allow_abbrev=False)
    for name, keywords in OPTIONS.items():
        parser.add_argument(f"--{name}", **keywords)
    _let_take_factories(model)
    for group, part in zip(GROUPS, (model, data, Trainer), strict=True):
        if part:
            # Arguments that come from the data, the run and the Trainer are no options; BATCHES
            # are added below.
            skipped: set[str | int] = {"image_spec", *BATCHES}
            if trust.is_a(ImageClassifier | ImageDataModule, part):
                skipped |= {"seed", "sync_batchnorm"}
            try:
                # This method takes classes too.
                parser.add_function_arguments(part, group, False, fail_untyped=False, skip=skipped)
            except Exception as error:  # jsonargparse compares defaults, such as arrays
                raise UsageError(
                    f"--{group}: the parameters of {part.__qualname__} and their defaults cannot "
                    f"become options: {error}"
                ) from error
    # Not from the signature: typing may have cached its Union[int, float] as Union[float, int].
    for option in BATCHES:
        parser.add_argument(
            f"--trainer.{option}",
            type=int | float | None,
            default=inspect.signature(Trainer).parameters[option].default,
            help="A number of batches, or a share of them: 0.5.",
        )
    list(wings.call("OPTIONS", "add_option", parser))  # a list, since call is a generator
    parser.specs = _specs_of(model, options_of(parser))
    for option, default in parser.specs.items():
        if default is None:
            parser.add_argument(
                f"--{option.removeprefix('model.')}",
                type=ClassSpec | None,
                help="For a model without configure_optimizers.",
            )
    parser.required = _required(parser, model, has_data=data is not None)
    parser.set_defaults(DEFAULTS)
    return parser


def _let_take_factories(model: Factory) -> None:
    """Let a parameter that is annotated as an optimizer or a schedule take a function that
    makes one, or None in place of a schedule: changes the annotations of the model itself.

    Modules for Hydra have parameters such as ``optimizer: torch.optim.Optimizer``, for which
    it hands over a partial: only the module has the weights of which an optimizer is made.
    The annotation may also be the module ``torch.optim.lr_scheduler``, as in
    lightning-hydra-template.
    """
    made = {Optimizer: MakesOptimizer, lr_scheduler.LRScheduler: MakesSchedule | None}
    for kind in getattr(model, "__mro__", [model]):
        called = vars(kind).get("__init__", kind) if isinstance(kind, type) else kind
        annotations = getattr(called, "__annotations__", {})
        with suppress(Exception):  # some types cannot be evaluated
            annotations = annotations | typing.get_type_hints(called)
        for name, annotation in annotations.items():
            if annotation is lr_scheduler:
                annotation = lr_scheduler.LRScheduler
            for base, maker in made.items():
                if name != "return" and trust.is_a(base, annotation):
                    called.__annotations__[name] = maker


def _specs_of(model: Factory, options: Collection[str]) -> dict[str, ClassSpec | None]:
    """The options that take class specs, by full names with their defaults. For our classifier
    these are parameters; for other models, the ``SECTIONS`` that are no parameters.
    """
    if trust.is_a(ImageClassifier, model):
        parameters = inspect.signature(model).parameters.items()
        specs = {name: part for name, part in parameters if part.annotation == ClassSpec}
        return {f"model.{name}": part.default for name, part in specs.items()}
    sections = [f"model.{name}" for name in SECTIONS]
    return dict.fromkeys(name for name in sections if name not in options)


def _required(parser: FitParser, model: Factory, has_data: bool) -> Collection[str]:
    """The options without a default, by full names. The parser is changed to accept a command
    line without them, since the data may give those of the model.
    """
    options = options_of(parser)
    required = {option: action for option, action in options.items() if action.required}
    for name in _without_default(model):
        if f"model.{name}" in options:
            required[f"model.{name}"] = options[f"model.{name}"]
    for option, action in required.items():
        action.required = False
        by_data = has_data and option.startswith("model.")
        whence = "If not given, the data's value." if by_data else "Required."
        action.help = f"{action.help or ''} {whence}".lstrip()
    return [*required]


def _without_default(model: Factory) -> list[str]:
    """The names of a model's parameters that have no default, and of those of its base classes
    that its ``**kwargs`` may be passed to.
    """
    parameters: dict[str, inspect.Parameter] = {}
    for kind in getattr(model, "__mro__", [model]):
        further = inspect.signature(kind).parameters
        parameters = {**further, **parameters}
        if not any(part.kind is part.VAR_KEYWORD for part in further.values()):
            break
    return [name for name, part in parameters.items() if part.default is part.empty]


def refuse_several(words: Words, group: str, part: Factory) -> None:
    """Raise a UsageError if several values are given for a parameter that is one number, text
    or bool by its type or, without one, by its default.
    """
    parameters = inspect.signature(part).parameters
    for option, *values in words:
        parameter = parameters.get(option.removeprefix(f"--{group}."))
        if parameter and any(isinstance(value, Several) for value in values):
            kind = parameter.annotation
            if kind is parameter.empty:
                kind = type(parameter.default)
            if getattr(kind, "__name__", kind) in ("int", "float", "str", "bool"):
                raise UsageError(f"{option} takes one value, not {values[0]}")
