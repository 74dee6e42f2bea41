"""Small convolutional networks on MNIST, for any Lightning Trainer.

import lightning as L
from convblocks import DigitClassifier, MNISTDataModule

L.Trainer(max_epochs=1).fit(DigitClassifier("maxpool"), datamodule=MNISTDataModule())
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from convblocks.data.module import MNISTDataModule
    from convblocks.model.classifier import DigitClassifier
    from convblocks.model.networks import ARCHITECTURES, ConvBatchNormNetwork, ConvMaxPoolNetwork, MultiLayerPerceptron

__all__ = [
    "ARCHITECTURES",
    "ConvBatchNormNetwork",
    "ConvMaxPoolNetwork",
    "DigitClassifier",
    "MNISTDataModule",
    "MultiLayerPerceptron",
]


def __getattr__(name: str) -> Any:
    """Import what is asked for, and torch with it, only then: ``fit.py --help`` needs neither."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    rooms = {"DigitClassifier": "model.classifier", "MNISTDataModule": "data.module"}
    return getattr(import_module(f"{__name__}.{rooms.get(name, 'model.networks')}"), name)
