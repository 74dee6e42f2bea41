"""The configuration of a run: its settings, in plain values, and how data and module are
made of them.
"""

import os
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import chdir, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from lightning.pytorch import LightningDataModule, LightningModule, seed_everything
from lightning.pytorch.utilities.model_helpers import is_overridden
from lightning.pytorch.utilities.seed import isolate_rng

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
from convblocks.settings.from_data import given_by_data
from convblocks.settings.options import refuse_no_network
from convblocks.settings.parser import SECTIONS, FitParser, make_parser, refuse_several
from convblocks.settings.saved import as_config, saved_settings
from convblocks.settings.words import by_full_name, full_words, given_options, settings_of_files
from convblocks.text import Settings, as_list, as_shown, as_yaml
from convblocks.wings import GROUPS
from exact_resume import slurm


@dataclass(frozen=True)
class Config:
    """A command line of ``fit``, parsed and checked.

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
        classes: The classes of ``model`` and ``data``, or functions that make them.
        parser: The parser that reads the settings.
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
        """Parse and check a command line. This imports the classes that it names, and builds
        nothing, except the data if the model demands arguments that only they can give. With
        ``--print_config`` it prints the settings and ends the process.

        Raises:
            UsageError: options that are unknown, out of range, or incompatible, or
                classes that do not exist.
        """
        see_current_folder()  # for a user's own classes
        # The settings take five forms:
        #   settings  of files; the parser adds the class specs of the command line
        #   given     of files, and the command line's as texts, for checks
        #   parsed    of both, in the types of the signatures
        #   values    parsed, with the defaults of all others
        #   saved     values, as plain values for config.yaml
        words = full_words(arguments)
        settings = settings_of_files(words)
        given = settings | given_options(words)
        names, classes = import_classes(given)
        for group, part in classes.items():
            settings.pop(group, None)  # the parser gets the class itself
            refuse_several(words, group, part)
        is_classifier = trust.is_a(ImageClassifier, classes["model"])
        if is_classifier and not given.keys() & {"model.arch", "help"}:
            refuse_no_network(None)
        from_data = as_list(settings.pop("from_data", None))
        parser = make_parser(classes["model"], classes.get("data"))
        parsed = parser.parse(settings, words)
        values = parser.with_defaults(parsed)
        check(values, given)
        saved = saved_settings(parser, parsed, given)
        import_what_is_named(saved, ["model.arch"] * is_classifier + [*parser.specs])
        config = cls(
            settings=as_config(names, saved, from_data),
            name=values.name,
            # An absolute path, since a module may change the current folder.
            root=Path(os.path.expanduser(values.trainer.default_root_dir or "")).absolute(),
            resume=values.resume,
            weights_only=values.weights_only,
            options={option: values.get(option) for option in wings.modules("OPTIONS")},
            classes=classes,
            parser=parser,
        )
        # The data, made for this only, are asked for arguments that the model demands and nobody
        # gives.
        if missing := [option for option in parser.required if option not in parsed]:
            with isolate_rng(include_cuda=False):
                found = given_by_data(missing, config.make_data)
            read = saved_settings(parser, parser.read(found), found)
            saved |= {option: read[option] for option in found}
            from_data = [option.removeprefix("model.") for option in missing]
            config = replace(config, settings=as_config(names, saved, from_data))
        if "print_config" in given:
            print(as_yaml(config.settings), end="")
            sys.exit()
        return config

    @property
    def with_unset(self) -> Settings:
        """The settings with which a run begins, for its checkpoints: also those that are None
        because nobody sets them, since a later version may have another default.
        """
        settings = dict(self.settings)
        for group in GROUPS:
            defaults = self.parser.all_defaults.get(group)  # a class without parameters has none
            if defaults is not None and group in settings:
                part = settings[group]
                unset = {name: None for name, value in vars(defaults).items() if value is None}
                arguments = unset | part.get("init_args", part)
                is_class = "class_path" in part
                settings[group] = part | {"init_args": arguments} if is_class else arguments
        return settings

    def effective(self, began: Settings) -> Settings:
        """The settings that a run was begun with, in the form in which this version saves them,
        and with its defaults for those that are missing.
        """
        given = by_full_name(began)
        from_data = as_list(given.pop("from_data", None))
        names = {group: given.pop(group) for group in KINDS if group in given}
        saved = saved_settings(self.parser, self.parser.parse(given, []), given)
        return as_config(names, saved, from_data)

    def make_data(self) -> LightningDataModule | None:
        """The data module; None if the module has data of its own.

        Raises:
            UsageError: its class does not take the arguments.
        """
        if "data" not in self.classes:
            return None
        is_ours = trust.is_a(ImageDataModule, self.classes["data"])
        more = {"seed": self.settings["seed"]} if is_ours else {}
        return self._make("data", **more)  # type: ignore[no-any-return]

    def make_module(self, data: LightningDataModule | None) -> LightningModule:
        """The module for these data. Its weights are drawn from the global generators, after
        these were seeded.

        A module with a parameter ``image_spec`` gets the data's, which may have to read images
        for it. A module that configures no optimizer gets the one in the settings.

        Raises:
            UsageError: its class does not take the arguments, or there is no optimizer, or
                one in the settings and one of its own.
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
        configured(is_trial=True)  # refuses wrong arguments now
        module.configure_optimizers = configured  # type: ignore[method-assign]
        return module

    def arguments(self, group: str, **changed: Any) -> Settings:
        """The arguments for the class of the model, the data or the Trainer, in the types of
        its signature. Defaults that cannot be saved as plain values are left to the class.

        Args:
            group: ``model``, ``data`` or ``trainer``.
            changed: Plain values that replace those of the settings.
        """
        part = self.settings.get(group, {})
        plain = part.get("init_args", part) | changed
        parsed = self.parser.read({f"{group}.{name}": value for name, value in plain.items()})
        made = self.parser.instantiate(parsed).get(group)
        return made.as_dict() if made else {}  # a class without parameters has none

    def resume_hint(self, name: str) -> str:
        """The text ``continue with COMMAND``, with the command that resumes a run of that name.
        It has the options that ``config.yaml`` does not hold.
        """
        words = ["--name", name, "--resume"]
        if self.root != Path.cwd():
            words += ["--trainer.default_root_dir", as_shown(self.root)]
        options = self.options | {"weights_only": self.weights_only}
        defaults = self.parser.all_defaults
        words += [
            f"--{option}={value}"
            for option, value in options.items()
            if value != defaults.get(option)
        ]
        # With a launcher only the words of fit, since how that was started is not known.
        text = shlex.join(words) if slurm.is_launched() else command_text("fit", *words)
        return f"continue with {text}"

    def _make(self, group: str, **more: Any) -> Any:
        # Seeded before each class is called, so that what data draw does not change the weights.
        seed_everything(self.settings["seed"], verbose=False)
        arguments = self.arguments(group) | more
        # chdir returns to the current folder afterwards: a constructor may change it, and
        # Lightning starts further processes in it.
        with chdir("."):
            return trust.instantiate(KINDS[group], self.classes[group], **arguments)


def _returns_none(method: Callable[[], Any]) -> bool:
    """True if a method can be called before there is a Trainer, and returns None."""
    with suppress(Exception):  # a user's code may raise any
        return method() is None
    return False
