"""A plain Trainer with these classes: options, metrics, predictions, resuming, others'
modules and loaders.
"""

from pathlib import Path
from typing import Any

import pytest
import torch
from lightning import Callback, LightningModule, Trainer
from torch import Tensor
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

from convblocks import ImageClassifier, MNISTDataModule
from convblocks.data.images import MNIST, ImageSets
from tests.core.any_trainer.plain import trainer

METRICS = {"train/loss", "train/acc", "val/loss", "val/acc"}


class FirstLabels(Callback):
    """Records the first label of each training batch, by epoch."""

    def __init__(self) -> None:
        self.epochs: list[list[int]] = []

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.epochs.append([])

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, *arguments: Any
    ) -> None:
        self.epochs[-1].append(int(arguments[1][1][0]))


@pytest.mark.parametrize(("settings", "repeats"), [({}, False), ({"overfit_batches": 20}, True)])
def test_epoch_takes_other_batches_than_the_one_before_unless_overfitting(
    tmp_path: Path, settings: dict[str, Any], repeats: bool
) -> None:
    labels = FirstLabels()
    trainer(tmp_path, callbacks=[labels], **settings).fit(
        ImageClassifier("mlp"), datamodule=MNISTDataModule()
    )
    first, second = labels.epochs
    assert len(first) == 20
    assert (first == second) == repeats


def test_epoch_is_whole_after_a_test_of_a_checkpoint(tmp_path: Path) -> None:
    data, first, second = MNISTDataModule(), FirstLabels(), FirstLabels()
    fitted = trainer(tmp_path, max_epochs=1, limit_test_batches=1, callbacks=[first])
    fitted.fit(ImageClassifier("mlp"), datamodule=data)
    fitted.test(datamodule=data, ckpt_path="best", weights_only=True, verbose=False)
    trainer(tmp_path, max_epochs=1, callbacks=[second]).fit(ImageClassifier("mlp"), datamodule=data)
    assert first.epochs == second.epochs


def test_predictions_are_probabilities_in_the_order_of_the_data_with_or_without_targets(
    tmp_path: Path, digits: ImageSets
) -> None:
    module = ImageClassifier("mlp")
    images = MNIST.normalize(digits.test.images)
    with torch.no_grad():
        expected = module.eval()(images).softmax(dim=1)
    # a list will do
    without_targets: DataLoader[Tensor] = DataLoader(list(images[:10]), 4)  # type: ignore[arg-type]
    predicted: Any = trainer(tmp_path).predict(module, datamodule=MNISTDataModule())
    assert torch.allclose(torch.cat(predicted), expected, atol=1e-6)
    predicted = trainer(tmp_path).predict(module, without_targets)
    assert torch.allclose(torch.cat(predicted), expected[:10], atol=1e-6)


def test_validate_and_test_return_the_metrics(tmp_path: Path) -> None:
    module, data = ImageClassifier("mlp"), MNISTDataModule(val_size=2000)
    (validated,) = trainer(tmp_path).validate(module, datamodule=data, verbose=False)
    (tested,) = trainer(tmp_path).test(module, datamodule=data, verbose=False)
    assert validated.keys() == {"val/loss", "val/acc"}
    assert tested.keys() == {"test/loss", "test/acc"}
    with torch.no_grad():
        logits = module.eval()(MNIST.normalize(data.test.images))
    assert tested["test/loss"] == pytest.approx(
        functional.cross_entropy(logits, data.test.labels).item(), rel=1e-5
    )
    assert tested["test/acc"] == pytest.approx(
        (logits.argmax(1) == data.test.labels).double().mean().item()
    )


@pytest.mark.parametrize("precision", ["bf16-true", "64-true"])
def test_test_without_a_fit_sums_in_at_least_32_bits(tmp_path: Path, precision: str) -> None:
    fitted = trainer(tmp_path, precision=precision, limit_test_batches=3)
    fitted.test(ImageClassifier("mlp"), datamodule=MNISTDataModule(), verbose=False)
    expected = torch.float64 if precision == "64-true" else torch.float32
    assert (
        fitted.callback_metrics["test/loss"].dtype
        == fitted.callback_metrics["test/acc"].dtype
        == expected
    )


def test_classifier_takes_anybodys_loader(tmp_path: Path, digits: ImageSets) -> None:
    data = TensorDataset(MNIST.normalize(digits.train.images[:2000]), digits.train.labels[:2000])
    fitted = trainer(tmp_path, limit_train_batches=1.0, limit_val_batches=1.0)
    fitted.fit(ImageClassifier("mlp"), DataLoader(data, 64, shuffle=True), DataLoader(data, 500))
    assert fitted.callback_metrics["val/acc"] > 0.8
    assert fitted.progress_bar_metrics.keys() >= METRICS
