"""Small convolutional networks on MNIST, for any Lightning Trainer.

import lightning as L
from convblocks import ImageClassifier, MNISTDataModule

L.Trainer(max_epochs=1).fit(ImageClassifier("maxpool"), datamodule=MNISTDataModule())
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    __version__: str

    from convblocks.data.images import ImageSets, ImageSource, ImageSpec, LabelledImages
    from convblocks.data.module import ImageDataModule, MNISTDataModule
    from convblocks.model.classifier import ImageClassifier
    from convblocks.model.networks import (
        ARCHITECTURES,
        ConvBatchNormNetwork,
        ConvMaxPoolNetwork,
        MultiLayerPerceptron,
    )
    from convblocks.run.callbacks import RunCallback
    from convblocks.wings import DeadUnits as DeadUnits
    from convblocks.wings import PictureFolder as PictureFolder
    from exact_resume import ExactResume, check_resume

__all__ = [
    "ARCHITECTURES",
    "ConvBatchNormNetwork",
    "ConvMaxPoolNetwork",
    "ExactResume",
    "ImageClassifier",
    "ImageDataModule",
    "ImageSets",
    "ImageSource",
    "ImageSpec",
    "LabelledImages",
    "MNISTDataModule",
    "MultiLayerPerceptron",
    "RunCallback",
    "__version__",
    "check_resume",
]

# Where they are.
ROOMS = (
    "exact_resume",
    "convblocks.model.networks",
    "convblocks.model.classifier",
    "convblocks.data.images",
    "convblocks.data.module",
    "convblocks.run.callbacks",
)


def __getattr__(name: str) -> Any:
    """Import what is asked for, and torch with it, only then: ``convblocks --help``
    needs neither.
    """
    if name == "__version__":
        return import_module("importlib.metadata").version(__name__)
    wings = import_module("convblocks.wings")
    rooms = ROOMS if name in __all__ else wings.public(name)
    for module in rooms:
        room = import_module(module)
        if hasattr(room, name):
            return getattr(room, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
