"""The classes that settings name, imported."""

from collections.abc import Sequence

from lightning.pytorch import LightningDataModule, LightningModule

from convblocks.model import trust
from convblocks.model.class_specs import Factory, short_name
from convblocks.model.classifier import ImageClassifier
from convblocks.settings.words import DATA, MODEL
from convblocks.text import Settings

KINDS = {"model": LightningModule, "data": LightningDataModule}


def import_classes(given: Settings) -> tuple[dict[str, str], dict[str, Factory]]:
    """The names and classes of model and data; an ImageClassifier gets an
    ImageDataModule unless --data names another.

    Args:
        given: Settings by full names.

    Raises:
        UsageError: there is no such class, or it is of another kind.
    """
    names = {"model": given.get("model", MODEL)}
    classes = {"model": _import_class("model", names["model"])}
    usual_data = DATA if trust.is_a(ImageClassifier, classes["model"]) else None
    if data := given.get("data", usual_data):
        names["data"], classes["data"] = data, _import_class("data", data)
    return names, classes


def import_what_is_named(settings: Settings, options: Sequence[str]) -> None:
    """Import the classes that settings name for these options, by full names: a person has
    named them. A checkpoint's names are not imported.
    """
    for option in options:
        section = option.removeprefix("model.")
        name = short_name(settings.get(option) or settings.get(section, ""))
        if "." in name:
            trust.import_class(name)


def _import_class(group: str, name: str) -> Factory:
    named = trust.import_class(name)
    trust.check_kind(KINDS[group], name, named)
    return named
