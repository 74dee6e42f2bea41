"""The options of ``fit``: the parser for a model, its data and the Trainer."""

import inspect
import typing
from collections.abc import Callable, Iterable, Sequence
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
from convblocks.settings.messages import rewritten
from convblocks.settings.options import OPTIONS
from convblocks.settings.words import (
    EPOCHS,
    NO_LIMIT,
    SHORT,
    Several,
    Words,
    is_class_name,
    nested,
    yaml_value,
)
from convblocks.text import Settings, as_yaml, listed
from convblocks.wings import GROUPS

DEFAULTS = {
    "trainer.enable_model_summary": False,
    "trainer.log_every_n_steps": 50,
    "trainer.num_sanity_val_steps": 0,
    "trainer.sync_batchnorm": True,
}

# As LightningCLI takes them: what makes an optimizer of parameters, and a schedule of that.
MakesOptimizer = Callable[[Iterable[Any]], Optimizer]
MakesSchedule = Callable[[Optimizer], lr_scheduler.LRScheduler]

# LightningCLI's, for modules that override no configure_optimizers.
SECTIONS = ("optimizer", "lr_scheduler")

# Options of the Trainer for which 1 is one batch, and 1.0 all of them.
BATCHES = (
    "limit_train_batches",
    "limit_val_batches",
    "limit_test_batches",
    "overfit_batches",
    "val_check_interval",
)

# For a parameter without a type it would build any class that a config names, with a
# warning for some of them.
jsonargparse.set_parsing_settings(instantiate_subclass_spec_in_any=False, import_path_denylist=[])


class FitParser(jsonargparse.ArgumentParser):
    """Raises a one-line UsageError instead of exiting.

    ``specs`` are the model's parameters that are class specs, with their defaults, or
    the ``SECTIONS`` that are there, with None. ``demanded`` are those without a
    default, which its data may give.
    """

    specs: dict[str, Any]
    demanded: Sequence[str] = ()

    @cached_property
    def usual(self) -> Namespace:
        """The defaults, only to be read: to make them takes a while."""
        return self.get_defaults()

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        known = list(self.get_defaults().keys())
        short = [option for option, full in SHORT.items() if full in known]
        reason = rewritten(message)
        unknown = reason.partition("=")[0].removeprefix(f"{UNKNOWN}--model.")
        if f"model.{unknown}" in SHORT.values():
            others = [name.removeprefix("model.") for name in known if name.startswith("model.")]
            raise UsageError(
                f"{reason}: the model has no argument {unknown}; "
                f"its arguments are {listed(others) or 'none'}"
            ) from ex
        raise UsageError(with_suggestion(reason, [*short, *known])) from ex

    def parse(self, settings: Settings, words: Words) -> Namespace:
        """All values; the command line overrides the settings of configs.

        Args:
            settings: Those of configs, as ``merge`` leaves them; the class specs in
                ``settings["model"]`` are replaced by those that hold, sections apart.
            words: The command line, as of ``full_words``.

        Raises:
            UsageError: an unknown option, or a value of another type.
        """
        rest = self._set_specs(settings, words)
        has_lr = any(option == "--model.lr" for option, *_ in words)
        if has_lr and "model.lr" not in self.usual and "optimizer" in settings:
            raise UsageError("the model has no argument lr: did you mean --optimizer.lr?")
        settings |= {group: nested(settings.get(group) or {}) for group in GROUPS}
        rest = _take_other_classes(settings, rest)
        # With defaults, jsonargparse would also fill in those of callbacks and loggers.
        parsed = self.parse_args(["--config", as_yaml(settings), *rest], defaults=False)
        self._fill_in(parsed)
        if parsed.threads is None:
            # saved, since a resume must round sums in the same way
            parsed.threads = torch.get_num_threads()
        trainer = parsed.trainer
        if trainer.max_epochs is None:
            # Lightning's rule: with another limit, epochs have none.
            is_limited = trainer.max_steps != NO_LIMIT or trainer.max_time
            trainer.max_epochs = NO_LIMIT if is_limited else EPOCHS
        return parsed

    def _set_specs(self, settings: Settings, words: Words) -> list[str]:
        """Let the settings of the model have the class specs of configs, changed by the
        command line; returns the other words, for jsonargparse.
        """
        model = settings["model"]
        # For each, those of configs, and then of the command line.
        changes: dict[str, list[Settings]] = {name: [{}, {}] for name in self.specs}
        for key in list(model):
            name, dot, argument = key.partition(".")
            if dot and name in self.specs:
                changes[name][0][_argument(argument)] = model.pop(key)
        rest = []
        for option, *values in words:
            name, _, argument = option.removeprefix("--model.").partition(".")
            if values and name in self.specs:
                argument, text = _argument(argument), values[0]
                place = f"{option} {text[:80]}"
                changes[name][1][argument] = yaml_value(place, text) if argument else text
            else:
                rest.append("=".join([option, *values]))
        for name, default in self.specs.items():
            group = settings if default is None else model
            spec = model.pop(name, group.get(name, default))
            # unless it is a section that nobody gives
            if [default, spec, *changes[name]] != [None, None, {}, {}]:
                group[name] = _class_spec(name, spec, changes[name])
        return rest

    def read(self, settings: Settings) -> Namespace:
        """All values of a run's saved settings, in the types of the signatures.

        Raises:
            UsageError: an unknown option, or a value of another type.
        """
        groups = {
            group: dict(part.get("init_args", part)) if group in GROUPS else part
            for group, part in settings.items()
        }
        return self.parse({"model": {}, "data": {}} | groups, [])

    def _fill_in(self, parsed: Namespace) -> None:
        """The defaults of options that were not given, of groups one by one."""
        for option, default in vars(self.usual).items():
            if option not in parsed:
                is_group = isinstance(default, Namespace)
                parsed[option] = default.clone() if is_group else default
            elif option in GROUPS:
                for argument, usual in vars(default).items():
                    if argument not in parsed[option]:
                        parsed[option][argument] = usual


@cache
def make_parser(
    model: Factory = ImageClassifier, data: Factory | None = ImageDataModule
) -> FitParser:
    """All options with types, defaults and help, from the signatures and docstrings of
    the classes or functions that they set.
    """
    parser = FitParser(prog="convblocks fit", allow_abbrev=False)
    for name, keywords in OPTIONS.items():
        parser.add_argument(f"--{name}", **keywords)
    _let_take_factories(model)
    for group, part in zip(GROUPS, (model, data, Trainer), strict=True):
        if part:
            # Arguments that come from the data, the run and the Trainer are no options.
            skipped: set[str | int] = {"image_spec", *BATCHES}
            if trust.is_a(ImageClassifier | ImageDataModule, part):
                skipped |= {"seed", "sync_batchnorm"}
            try:
                # which takes classes too
                parser.add_function_arguments(part, group, False, fail_untyped=False, skip=skipped)
            except Exception as error:  # jsonargparse compares defaults, such as arrays
                raise UsageError(
                    f"--{group}: the parameters of {part.__qualname__} and their defaults cannot "
                    f"become options: {error}"
                ) from error
    # by hand: typing may have cached Union[int, float] as Union[float, int]
    for option in BATCHES:
        parser.add_argument(
            f"--trainer.{option}",
            type=int | float | None,
            default=inspect.signature(Trainer).parameters[option].default,
            help="A number of batches, or a share of them: 0.5.",
        )
    list(wings.call("OPTIONS", "add_option", parser))
    if trust.is_a(ImageClassifier, model):
        parser.specs = {
            name: part.default
            for name, part in inspect.signature(model).parameters.items()
            if part.annotation == ClassSpec
        }
    else:
        _add_what_others_give(parser, model, data is not None)
    parser.set_defaults(DEFAULTS)
    return parser


def _let_take_factories(model: Factory) -> None:
    """Read a parameter that is annotated as an optimizer or a schedule as what makes one.

    Such as ``optimizer: torch.optim.Optimizer`` in modules for Hydra, which hands over a
    partial: nobody but the module has the weights of which an optimizer is made. The
    annotation may be the module ``torch.optim.lr_scheduler``, as in a well-known template.
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


def _add_what_others_give(parser: FitParser, model: Factory, has_data: bool) -> None:
    """Options for a model that leaves its optimizer to a section, or arguments to data."""
    options = options_of(parser)
    parser.specs = {name: None for name in SECTIONS if f"model.{name}" not in options}
    for name in parser.specs:
        parser.add_argument(
            f"--{name}", type=ClassSpec | None, help="For a model without configure_optimizers."
        )
    parser.demanded = [name for name in _demanded(model) if f"model.{name}" in options]
    if has_data and parser.demanded:
        for name in parser.demanded:
            option = options[f"model.{name}"]
            option.help = f"{option.help or ''} If not given, that of the data."
        parser.add_argument("--from_data", type=list[str] | None, help="Those of the data.")


def _demanded(model: Factory) -> list[str]:
    """The parameters of a model that have no default, also of the classes above it that
    its ``**kwargs`` may go to.
    """
    parameters: dict[str, inspect.Parameter] = {}
    for kind in getattr(model, "__mro__", [model]):
        further = inspect.signature(kind).parameters
        parameters = {**further, **parameters}
        if not any(part.kind is part.VAR_KEYWORD for part in further.values()):
            break
    return [name for name, part in parameters.items() if part.default is part.empty]


def refuse_several(words: Words, group: str, part: Factory) -> None:
    """Raise a UsageError if a parameter whose type, or else default, is a single value
    is given several.
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


def _take_other_classes(settings: Settings, words: Sequence[str]) -> list[str]:
    """Let the settings of configs have the other classes that words name, with their defaults:
    jsonargparse would drop the arguments of the ones before, and add none of these; returns the
    other words.
    """
    rest = []
    for word in words:
        option, _, text = word.partition("=")
        *path, name = option.removeprefix("--").split(".")
        part = _part_at(path, settings)
        before: Any = part.get(name)
        names_class = isinstance(before, dict) and "class_path" in before and is_class_name(text)
        # one that is the same may have its short name
        if names_class and not f".{before['class_path']}".endswith(f".{text}"):
            part[name] = {"class_path": text}
        else:
            rest.append(word)
    return rest


def _part_at(path: Sequence[str], settings: Settings) -> Settings:
    """The settings at a dotted option, of a class its arguments; empty if there are none."""
    part: Any = settings
    for key in path:
        part = part.get(key) if isinstance(part, dict) else None
        part = part.get("init_args", part) if isinstance(part, dict) else None
    return part if isinstance(part, dict) else {}


def _argument(name: str) -> str:
    """The argument of a class spec by a dotted key; "" for the class itself."""
    return "" if name == "class_path" else name.removeprefix("init_args.")


def _class_spec(name: str, spec: Any, changes: Sequence[Settings]) -> ClassSpec:
    """A class spec, changed by dotted keys of a config, and by the command line: values
    of arguments and, by the name "", another class, which drops the arguments that were
    there.
    """
    parts = spec if isinstance(spec, dict) else {"class_path": spec}
    arguments = parts.get("init_args") or {}
    known = {"class_path", "init_args"}
    is_spec = isinstance(arguments, dict) and parts.keys() | {"init_args"} == known
    if not is_spec:
        parts, arguments = {"class_path": None}, {}
    class_path = parts["class_path"]
    for given in changes:
        if "" in given:
            class_path, arguments = given.pop(""), {}
        arguments = arguments | given
    if not (isinstance(class_path, str) and class_path):
        raise UsageError(f"--{name} must be a name, or a class_path with init_args")
    return {"class_path": class_path, "init_args": arguments} if arguments else class_path
