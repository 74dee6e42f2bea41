"""Predictions and checkpoints; the classifier with other people's loaders, the data with other people's modules."""

from pathlib import Path

import pytest
import torch
from lightning import LightningModule
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

from convblocks import DigitClassifier, MNISTDataModule
from convblocks.data.images import MNIST, ImageSets
from tests.any_trainer.plain import trainer


class Linear(LightningModule):
    """A module from elsewhere, which knows nothing of this project."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(784, 10)

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        images, targets = batch
        return functional.cross_entropy(self.layer(images.flatten(1)), targets)

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        images, targets = batch
        self.log("accuracy", (self.layer(images.flatten(1)).argmax(1) == targets).float().mean())

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def together(predicted: object) -> Tensor:
    """The result of ``trainer.predict`` for one loader."""
    assert isinstance(predicted, list)
    return torch.cat(predicted)


@pytest.mark.slow
def test_predictions_are_probabilities_in_the_order_of_the_data(tmp_path: Path, digits: ImageSets) -> None:
    module = DigitClassifier("batchnorm")
    probabilities = together(trainer(tmp_path).predict(module, datamodule=MNISTDataModule()))
    assert probabilities.shape == (10_000, 10)
    with torch.no_grad():
        expected = module.eval()(MNIST.normalize(digits.test.images)).softmax(dim=1)
    assert torch.allclose(probabilities, expected, atol=1e-6)


def test_images_without_targets_are_predicted_too(tmp_path: Path, digits: ImageSets) -> None:
    images = list(MNIST.normalize(digits.test.images[:10]))
    loader: DataLoader[Tensor] = DataLoader(images, batch_size=4)  # type: ignore[arg-type]  # a list will do
    assert together(trainer(tmp_path).predict(DigitClassifier("mlp"), loader)).shape == (10, 10)


@pytest.mark.slow
def test_a_checkpoint_loads_with_nothing_else_given(tmp_path: Path, digits: ImageSets) -> None:
    module, fitted = DigitClassifier("maxpool", lr=3e-3), trainer(tmp_path, limit_train_batches=5)
    fitted.fit(module, datamodule=MNISTDataModule())
    fitted.save_checkpoint(tmp_path / "kept.ckpt")
    loaded = DigitClassifier.load_from_checkpoint(tmp_path / "kept.ckpt")
    images = MNIST.normalize(digits.test.images[:10])
    assert loaded.hparams["lr"] == 3e-3
    assert torch.equal(loaded.eval()(images), module.eval()(images))


def test_the_data_module_serves_anybodys_module(tmp_path: Path) -> None:
    fitted = trainer(tmp_path, limit_train_batches=200, max_epochs=1)
    fitted.fit(Linear(), datamodule=MNISTDataModule())
    assert fitted.callback_metrics["accuracy"] > 0.8


def test_the_classifier_takes_anybodys_loader(tmp_path: Path, digits: ImageSets) -> None:
    data = TensorDataset(MNIST.normalize(digits.train.images[:2000]), digits.train.labels[:2000])
    fitted = trainer(tmp_path, limit_train_batches=1.0, limit_val_batches=1.0)
    fitted.fit(DigitClassifier("mlp"), DataLoader(data, 64, shuffle=True), DataLoader(data, 500))
    assert fitted.callback_metrics["val/acc"] > 0.8
