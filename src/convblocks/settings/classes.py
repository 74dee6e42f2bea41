"""The classes that settings name, imported."""

from collections.abc import Sequence

from lightning.pytorch import LightningDataModule, LightningModule

from convblocks.model import trust
from convblocks.model.class_specs import Factory, short_name
from convblocks.model.classifier import ImageClassifier
from convblocks.settings.words import DATA, MODEL
from convblocks.text import Settings

KINDS = {"model": LightningModule, "data": LightningDataModule}


def import_classes(settings: Settings) -> tuple[dict[str, str], dict[str, Factory]]:
    """The names and classes of model and data; an ImageClassifier gets an
    ImageDataModule unless --data names another.

    Takes the names out of the settings, which are left with the arguments.

    Raises:
        UsageError: there is no such class, or it is of another kind.
    """
    names = {"model": settings["model"].pop("class_path", MODEL)}
    classes = {"model": _import_class("model", names["model"])}
    usual_data = DATA if trust.is_a(ImageClassifier, classes["model"]) else None
    if data := settings["data"].pop("class_path", usual_data):
        names["data"], classes["data"] = data, _import_class("data", data)
    elif not settings["data"]:
        del settings["data"]
    return names, classes


def import_what_is_named(settings: Settings, options: Sequence[str]) -> None:
    """A checkpoint's names are not imported, but what a person names is."""
    for option in options:
        arguments = settings["model"]["init_args"] | settings
        name = short_name(arguments.get(option, ""))
        if "." in name:
            trust.import_class(name)


def _import_class(group: str, name: str) -> Factory:
    named = trust.import_class(name)
    trust.check_kind(KINDS[group], name, named)
    return named
