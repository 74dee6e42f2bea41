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
    from convblocks.diagnosis.callback import DeadUnits as DeadUnits
    from convblocks.model.classifier import ImageClassifier
    from convblocks.model.networks import ARCHITECTURES, ConvBatchNormNetwork, ConvMaxPoolNetwork, MultiLayerPerceptron
    from convblocks.pictures.source import PictureFolder as PictureFolder
    from convblocks.run.callbacks import RunCallback
    from convblocks.run.resume import ExactResume

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
]

# Where each is, unless among the networks.
ROOMS = {
    "ExactResume": "run.resume",
    "ImageClassifier": "model.classifier",
    "ImageDataModule": "data.module",
    "ImageSpec": "data.images",
    "ImageSets": "data.images",
    "ImageSource": "data.images",
    "LabelledImages": "data.images",
    "MNISTDataModule": "data.module",
    "RunCallback": "run.callbacks",
}


def __getattr__(name: str) -> Any:
    """Import what is asked for, and torch with it, only then: ``convblocks --help`` needs neither."""
    if name == "__version__":
        metadata = import_module("importlib.metadata")
        try:
            return metadata.version("convblocks")
        except metadata.PackageNotFoundError as error:
            raise AttributeError("convblocks is not installed, and has no version") from error
    if name in __all__:
        return getattr(import_module(f"{__name__}.{ROOMS.get(name, 'model.networks')}"), name)
    wings = import_module(f"{__name__}.wings")
    if wings.is_there(module := wings.PUBLIC.get(name, "")):
        return getattr(import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
