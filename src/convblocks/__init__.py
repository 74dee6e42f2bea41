"""Small convolutional networks on MNIST, for any Lightning Trainer.

import lightning as L
from convblocks import ImageClassifier, MNISTDataModule

L.Trainer(max_epochs=1).fit(ImageClassifier("maxpool"), datamodule=MNISTDataModule())
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from convblocks.model.names import RECORDS

if TYPE_CHECKING:
    __version__: str

    from convblocks.data.images import ImageSets, ImageSource, ImageSpec, LabelledImages
    from convblocks.data.module import ImageDataModule, MNISTDataModule
    from convblocks.model.classifier import ImageClassifier
    from convblocks.model.networks import *  # noqa: F403  # the classes that the records name
    from convblocks.model.networks import ARCHITECTURES
    from convblocks.run.callbacks import RunCallback
    from convblocks.run.progress import RunProgress
    from exact_resume import ExactResume, check_resume

# Names of wings: PUBLIC of wings.py says where they are when the package runs.
if TYPE_CHECKING:
    from convblocks.diagnosis.callback import DeadUnits as DeadUnits
    from convblocks.pictures.source import PictureFolder as PictureFolder

__all__ = [
    "ARCHITECTURES",
    "ExactResume",
    "ImageClassifier",
    "ImageDataModule",
    "ImageSets",
    "ImageSource",
    "ImageSpec",
    "LabelledImages",
    "MNISTDataModule",
    "RunCallback",
    "RunProgress",
    "__version__",
    "check_resume",
]

# The classes of the registered networks, and the module of each.
NETWORK_CLASSES = {record.class_name: record.module for record in RECORDS.values()}
__all__ += [*NETWORK_CLASSES]

# The module of each name.
MODULES = NETWORK_CLASSES | {
    "ARCHITECTURES": "convblocks.model.networks",
    "ExactResume": "exact_resume",
    "ImageClassifier": "convblocks.model.classifier",
    "ImageDataModule": "convblocks.data.module",
    "ImageSets": "convblocks.data.images",
    "ImageSource": "convblocks.data.images",
    "ImageSpec": "convblocks.data.images",
    "LabelledImages": "convblocks.data.images",
    "MNISTDataModule": "convblocks.data.module",
    "RunCallback": "convblocks.run.callbacks",
    "RunProgress": "convblocks.run.progress",
    "check_resume": "exact_resume",
}


def __getattr__(name: str) -> Any:
    """Import what is asked for, and torch with it, only then: ``convblocks --help``
    needs neither.
    """
    if name == "__version__":
        return import_module("importlib.metadata").version(__name__)
    module = MODULES.get(name) or import_module("convblocks.wings").public(name)
    if module:
        return getattr(import_module(module), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
