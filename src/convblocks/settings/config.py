"""The configuration of a run: settings in plain values, made into data and module."""

import os
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import chdir, suppress
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from jsonargparse import Namespace
from lightning.pytorch import LightningDataModule, LightningModule, seed_everything
from lightning.pytorch.utilities.model_helpers import is_overridden
from lightning.pytorch.utilities.seed import isolate_rng
from yaml import YAMLError

from convblocks import wings
from convblocks.console import command_text, see_current_folder
from convblocks.data.module import ImageDataModule
from convblocks.errors import UsageError
from convblocks.model import trust
from convblocks.model.building import configure
from convblocks.model.class_specs import Factory
from convblocks.model.classifier import ImageClassifier
from convblocks.settings.checks import check
from convblocks.settings.classes import KINDS, import_classes, import_what_is_named
from convblocks.settings.options import refuse_no_network
from convblocks.settings.parser import SECTIONS, FitParser, make_parser, refuse_several
from convblocks.settings.plain import is_same, plain_settings
from convblocks.settings.words import Words, full_words, given_options, given_settings, typed_values
from convblocks.text import Settings, as_plain, as_shown, as_yaml
from exact_resume import slurm


@dataclass(frozen=True)
class Config:
    """A parsed and checked command line of ``fit``.

    Args:
        settings: Everything that determines the run's results, in plain values, as
            LightningCLI writes them: ``model`` and ``data`` as ``{"class_path": NAME,
            "init_args": {...}}``, ``trainer``, ``seed`` and so on; ``from_data`` names
            the arguments of the model that its data have given. Saved in
            ``config.yaml``, and read by ``--config``.
        name: The run directory below ``lightning_logs``; None for the next free
            version.
        root: The parent folder of ``lightning_logs``.
        resume: Whether to resume an existing run.
        weights_only: Whether its checkpoint is refused if it holds objects.
        options: The values of the options that wings add, which are no settings.
        classes: Those of ``model`` and ``data``, or the functions that make them.
        parser: The one that reads the settings.
    """

    settings: Settings
    name: str | None
    root: Path
    resume: bool
    weights_only: bool
    options: Settings
    classes: Mapping[str, Factory]
    parser: FitParser

    @classmethod
    def parse(cls, arguments: Sequence[str]) -> "Config":
        """Parse and check a command line; imports the classes that it names, and builds
        nothing but data that know what the model demands.

        Raises:
            UsageError: options that are unknown, out of range, or incompatible, or
                classes that do not exist.
        """
        see_current_folder()  # for a user's own classes
        words = full_words(arguments)
        given = given_options(words)
        settings, rest = given_settings(words)
        typed = typed_values(settings, rest)
        names, classes = import_classes(settings)
        for group, part in classes.items():
            refuse_several(rest, group, part)
        is_classifier = trust.is_a(ImageClassifier, classes["model"])
        named = {*settings["model"], *given}  # config keys have no dashes, options have
        if is_classifier and not named & {"arch", "--model.arch", "--help"}:
            refuse_no_network(None)
        parser = make_parser(classes["model"], classes.get("data"))
        if "--help" not in given:
            _add_linked(settings, names, parser.demanded, rest, typed)
        parsed = parser.parse(settings, rest)
        check(parsed)
        if parsed.get("data.root") is None and typed.get("data.root") is not None:
            raise UsageError(
                f"--data.root {typed['data.root']} is no value in YAML: give the path of a folder"
            )
        settings = plain_settings(parser, parsed, names, typed)
        if "--print_config" in given:
            print(as_yaml(settings), end="")
            sys.exit()
        import_what_is_named(settings, ["arch"] * is_classifier + [*parser.specs])
        return cls(
            settings=settings,
            name=parsed.name,
            # Absolute, since a module may change the current folder.
            root=Path(os.path.expanduser(parsed.trainer.default_root_dir or "")).absolute(),
            resume=parsed.resume,
            weights_only=parsed.weights_only,
            options={option: parsed.get(option) for option in wings.modules("OPTIONS")},
            classes=classes,
            parser=parser,
        )

    @cached_property
    def _parsed(self) -> Namespace:
        """The settings in the types of the signatures."""
        return self.parser.read(self.settings)

    def effective(self, settings: Settings, with_unset: bool = False) -> Settings:
        """Saved settings as they would hold now, with the present defaults of what they
        lack; also what is None by default, if asked for.
        """
        names = {
            group: settings[group].get("class_path", "") for group in KINDS if group in settings
        }
        parsed = self._parsed if settings is self.settings else self.parser.read(settings)
        return plain_settings(self.parser, parsed, names, with_unset=with_unset)

    def make_data(self) -> LightningDataModule | None:
        """The data, if they are not the module's own.

        Raises:
            UsageError: they do not take their arguments.
        """
        if "data" not in self.classes:
            return None
        is_ours = trust.is_a(ImageDataModule, self.classes["data"])
        more = {"seed": self.settings["seed"]} if is_ours else {}
        return self._make("data", **more)  # type: ignore[no-any-return]

    def make_module(self, data: LightningDataModule | None) -> LightningModule:
        """The module for these data; its weights are drawn from the global generators,
        which are seeded.

        A module with a parameter ``image_spec`` gets that of its data, for which images
        may be read. One that configures no optimizer gets that of the settings.

        Raises:
            UsageError: it does not take its arguments, or has no optimizer, or two.
            DataError: there are no images.
        """
        image_spec = getattr(data, "image_spec", None)
        model = self.classes["model"]
        more: Settings = {}
        if image_spec is not None and trust.accepts(model, "image_spec"):
            more["image_spec"] = image_spec
        if trust.is_a(ImageClassifier, model):
            more["sync_batchnorm"] = self.settings["trainer"]["sync_batchnorm"]
        module: LightningModule = self._make("model", **more)
        sections = {name: self.settings[name] for name in SECTIONS if name in self.settings}
        is_own = is_overridden("configure_optimizers", module)
        if is_own and not sections:
            return module
        if is_own and not _returns_none(module.configure_optimizers):
            raise UsageError(
                "--optimizer and --lr_scheduler, sections of a config too, are for models without "
                f"configure_optimizers: {type(module).__name__} has its own"
            )
        if "optimizer" not in sections:
            raise UsageError(
                "the model configures no optimizer, so nothing would be trained: "
                "give, for example, --optimizer Adam --optimizer.lr 1e-3"
            )
        configured = partial(configure, module, **sections)  # as LightningCLI does
        configured(is_trial=True)
        module.configure_optimizers = configured  # type: ignore[method-assign]
        return module

    def arguments(self, group: str, **changed: Any) -> Settings:
        """What the class of model, data or Trainer is called with, in its types.

        Args:
            group: One of ``GROUPS``.
            changed: Plain values instead of those of the settings.
        """
        part = self.settings.get(group, {})
        arguments = part.get("init_args", part)
        parsed = self._parsed
        if any(arguments.get(name) != value for name, value in changed.items()):
            parsed = self.parser.read(self.settings | {group: arguments | changed})
        if group not in parsed:  # a class without parameters has none
            return {}
        values, defaults = vars(parsed[group]), self.parser.usual[group]
        # Not instantiated, since a default may be of another type than its parameter.
        usual = {
            name: value
            for name, value in values.items()
            if is_same(value, defaults[name]) and not isinstance(value, Namespace)
        }
        chosen: Any = Namespace()  # type: ignore[no-untyped-call]
        for name in values.keys() - usual.keys():
            chosen[f"{group}.{name}"] = values[name]
        made = self.parser.instantiate(chosen.clone())
        part = made.get(group)  # None where all are usual
        return usual | (part.as_dict() if part else {})

    def resume_hint(self, name: str) -> str:
        """``continue with COMMAND``: what resumes a run of that name, with the options
        that its ``config.yaml`` does not hold.
        """
        words = ["--name", name, "--resume"]
        if self.root != Path.cwd():
            words += ["--trainer.default_root_dir", as_shown(self.root)]
        options, usual = self.options | {"weights_only": self.weights_only}, self.parser.usual
        words += [
            f"--{option}={value}" for option, value in options.items() if value != usual.get(option)
        ]
        # How its launcher was started is not known.
        text = shlex.join(words) if slurm.is_launched() else command_text("fit", *words)
        return f"continue with {text}"

    def _make(self, group: str, **more: Any) -> Any:
        # Seeded before each, so that what data draw does not change the weights.
        seed_everything(self.settings["seed"], verbose=False)
        arguments = self.arguments(group) | more
        # chdir restores the folder afterwards: a constructor may change it, and Lightning
        # starts further processes in it.
        with chdir("."):
            return trust.instantiate(KINDS[group], self.classes[group], **arguments)


def _returns_none(method: Callable[[], Any]) -> bool:
    """Whether it does, before there is a Trainer."""
    with suppress(Exception):  # of a user's code
        return method() is None
    return False


def _add_linked(
    settings: Settings,
    names: Mapping[str, str],
    demanded: Sequence[str],
    words: Words,
    typed: Settings,
) -> None:
    """Let the settings have the arguments that are demanded, nobody has given, and the
    data know: as they are made, or else set up.

    Raises:
        UsageError: they do not.
    """
    given = {option.split(".")[1] for option in typed if option.startswith("model.")}
    missing = [name for name in demanded if name not in given]
    if not missing:
        return
    reason = "there are no --data that could have an attribute of this name"
    found: Settings = {}
    if "data" in names:
        reason = "the data no attribute of this name that is a number, text or a list"
        alone = ["--model=lightning.pytorch.LightningModule", f"--data={names['data']}"]
        config = as_yaml({"data": settings["data"], "seed": settings.get("seed", 0)})
        of_data = ["=".join(word) for word in words if word[0].startswith(("--data.", "--seed"))]
        found = _found_in(Config.parse([*alone, "--config", config, *of_data]), missing)
    for name in missing:
        if name not in found:
            raise UsageError(
                f"--model.{name} is required: the model has no default for it, and {reason}"
            )
    settings["model"] |= found
    settings["from_data"] = missing


def _found_in(config: "Config", names: Sequence[str]) -> Settings:
    """Attributes of a config's data in plain values: as they are made, or else set up.

    Raises:
        UsageError: they cannot be made, or set up without a Trainer.
    """
    with isolate_rng(include_cuda=False):
        data: Any = config.make_data()
        found = _plain_attributes(data, names)
        if len(found) == len(names):
            return found
        try:
            data.prepare_data()
            data.setup("fit")
        except Exception as error:  # of a user's code
            raise UsageError(
                f"give --model.{names[0]}: the setup of the data, which may know it, "
                f"fails without a Trainer: {error!r}"
            ) from error
        return _plain_attributes(data, names) | found


def _plain_attributes(owner: Any, names: Sequence[str]) -> Settings:
    """Those that there are, and YAML stands for."""
    plain = {}
    for name in names:
        value = as_plain(getattr(owner, name, None), _as_number)
        with suppress(YAMLError):
            as_yaml({name: value})
            if value is not None:
                plain[name] = value
    return plain


def _as_number(value: Any) -> Any:
    """A number of NumPy or torch as one of Python's."""
    return value.item() if getattr(value, "ndim", None) == 0 else value
