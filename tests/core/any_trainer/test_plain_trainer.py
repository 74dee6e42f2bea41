"""A plain Trainer with these classes: options, metrics, predictions, resuming, others' modules and loaders."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import TensorBoardLogger
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

from convblocks import ImageClassifier, MNISTDataModule
from convblocks.data.images import MNIST, ImageSets
from tests.core.any_trainer.plain import Watch, trainer

METRICS = ("train/loss", "train/acc", "test/loss", "test/acc")


def fit(folder: Path, *, data: MNISTDataModule | None = None, **settings: Any) -> Trainer:
    """Fit the perceptron."""
    fitted = trainer(folder, **settings)
    fitted.fit(ImageClassifier("mlp"), datamodule=data or MNISTDataModule())
    return fitted


@pytest.mark.parametrize(("settings", "repeats"), [({}, False), ({"overfit_batches": 3}, True)])
def test_epoch_takes_other_batches_than_the_one_before_unless_overfitting(
    tmp_path: Path, settings: dict[str, Any], repeats: bool
) -> None:
    watch = Watch()
    fit(tmp_path, callbacks=[watch], log_every_n_steps=1, **settings)
    first, second = watch.epochs
    assert len(first) == settings.get("overfit_batches", 20)
    assert all(map(torch.equal, first, second)) == repeats


@pytest.mark.parametrize(
    ("settings", "steps", "evaluations", "evaluated"),
    [
        ({"val_check_interval": 0.25}, 40, [0, 5, 10, 15, 20, 25, 30, 35, 40], 2 * 9),
        ({"limit_train_batches": 0.01, "limit_val_batches": 0.3}, 18, [0, 9, 18], 2 + 3 * 2),
        ({"max_steps": 27}, 27, [0, 20], 2 * 2),
    ],
)
def test_steps_and_evaluations_are_as_asked_for(
    tmp_path: Path, settings: dict[str, Any], steps: int, evaluations: list[int], evaluated: int
) -> None:
    watch = Watch()
    fitted = fit(tmp_path, callbacks=[watch], **settings)
    assert fitted.global_step == steps
    assert watch.evaluations == evaluations
    assert watch.evaluated == evaluated


def test_logger_and_progress_bar_get_the_curves(tmp_path: Path) -> None:
    logger = TensorBoardLogger(tmp_path)
    fitted = fit(tmp_path, logger=logger)
    events = EventAccumulator(logger.log_dir).Reload()
    steps = {name: [19, 39] for name in METRICS} | {"train/loss_step": list(range(4, 40, 5))}
    for name in steps:
        assert [event.step for event in events.Scalars(name)] == steps[name]
        assert fitted.progress_bar_metrics[name] == pytest.approx(float(fitted.callback_metrics[name]))


def test_validate_and_test_return_the_metrics(tmp_path: Path) -> None:
    module, data = ImageClassifier("mlp"), MNISTDataModule(val_size=2000)
    (validated,) = trainer(tmp_path).validate(module, datamodule=data, verbose=False)
    (tested,) = trainer(tmp_path).test(module, datamodule=data, verbose=False)
    assert validated.keys() == {"val/loss", "val/acc"}
    assert tested.keys() == {"test/loss", "test/acc"}
    with torch.no_grad():
        logits = module.eval()(MNIST.normalize(data.test.images))
    assert tested["test/loss"] == pytest.approx(functional.cross_entropy(logits, data.test.labels).item(), rel=1e-5)
    assert tested["test/acc"] == pytest.approx((logits.argmax(1) == data.test.labels).double().mean().item())


@pytest.mark.parametrize("precision", ["bf16-true", "64-true"])
def test_test_without_a_fit_sums_in_at_least_32_bits(tmp_path: Path, precision: str) -> None:
    fitted = trainer(tmp_path, precision=precision, limit_test_batches=3)
    fitted.test(ImageClassifier("mlp"), datamodule=MNISTDataModule(), verbose=False)
    expected = torch.float64 if precision == "64-true" else torch.float32
    assert fitted.callback_metrics["test/loss"].dtype == fitted.callback_metrics["test/acc"].dtype == expected


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


def test_predictions_are_probabilities_in_the_order_of_the_data(tmp_path: Path, digits: ImageSets) -> None:
    module = ImageClassifier("mlp")
    probabilities = together(trainer(tmp_path).predict(module, datamodule=MNISTDataModule()))
    assert probabilities.shape == (10_000, 10)
    with torch.no_grad():
        expected = module.eval()(MNIST.normalize(digits.test.images)).softmax(dim=1)
    assert torch.allclose(probabilities, expected, atol=1e-6)


def test_predictions_need_no_targets(tmp_path: Path, digits: ImageSets) -> None:
    images = list(MNIST.normalize(digits.test.images[:10]))
    loader: DataLoader[Tensor] = DataLoader(images, batch_size=4)  # type: ignore[arg-type]  # a list will do
    assert together(trainer(tmp_path).predict(ImageClassifier("mlp"), loader)).shape == (10, 10)


@pytest.mark.slow
def test_torch_is_imported_with_the_first_class_that_is_asked_for() -> None:
    program = (
        "import sys, convblocks; assert 'torch' not in sys.modules; "
        "convblocks.ImageClassifier, convblocks.MNISTDataModule; assert 'torch' in sys.modules; "
        "assert not hasattr(convblocks, 'ImageClassifiers')"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_checkpoint_loads_with_nothing_else_given(tmp_path: Path, digits: ImageSets) -> None:
    module, fitted = ImageClassifier("mlp", lr=3e-3), trainer(tmp_path, limit_train_batches=5)
    fitted.fit(module, datamodule=MNISTDataModule())
    fitted.save_checkpoint(tmp_path / "kept.ckpt")
    loaded = ImageClassifier.load_from_checkpoint(tmp_path / "kept.ckpt")
    images = MNIST.normalize(digits.test.images[:10])
    assert loaded.hparams["lr"] == 3e-3
    assert torch.equal(loaded.eval()(images), module.eval()(images))


def test_data_module_serves_anybodys_module(tmp_path: Path) -> None:
    fitted = trainer(tmp_path, limit_train_batches=200, max_epochs=1)
    fitted.fit(Linear(), datamodule=MNISTDataModule())
    assert fitted.callback_metrics["accuracy"] > 0.8


def test_classifier_takes_anybodys_loader(tmp_path: Path, digits: ImageSets) -> None:
    data = TensorDataset(MNIST.normalize(digits.train.images[:2000]), digits.train.labels[:2000])
    fitted = trainer(tmp_path, limit_train_batches=1.0, limit_val_batches=1.0)
    fitted.fit(ImageClassifier("mlp"), DataLoader(data, 64, shuffle=True), DataLoader(data, 500))
    assert fitted.callback_metrics["val/acc"] > 0.8


@pytest.mark.filterwarnings("ignore:Checkpoint directory .* exists and is not empty")
def test_resume_of_a_loader_without_the_data_module_by_lightnings_own_protocol(tmp_path: Path) -> None:
    def fit(checkpoint: Path | None = None) -> dict[str, Tensor]:
        torch.manual_seed(0)
        module, data = ImageClassifier("mlp"), MNISTDataModule()
        data.setup()
        keep = ModelCheckpoint(tmp_path, "{step}", every_n_train_steps=27, save_top_k=-1)
        loaders = (data.train_dataloader(), data.val_dataloader())
        trainer(tmp_path, callbacks=[keep]).fit(module, *loaders, ckpt_path=checkpoint, weights_only=True)
        return module.state_dict()

    expected = fit()
    resumed = fit(tmp_path / "step=27.ckpt")
    assert all(torch.equal(weight, resumed[name]) for name, weight in expected.items())


def test_checkpoint_that_was_tested_does_not_shorten_the_next_fit(tmp_path: Path) -> None:
    data, first, second = MNISTDataModule(), Watch(), Watch()
    fitted = trainer(tmp_path, max_epochs=1, limit_test_batches=1, callbacks=[first])
    fitted.fit(ImageClassifier("mlp"), datamodule=data)
    fitted.test(datamodule=data, ckpt_path="best", weights_only=True, verbose=False)
    trainer(tmp_path, max_epochs=1, callbacks=[second]).fit(ImageClassifier("mlp"), datamodule=data)
    assert all(map(torch.equal, first.epochs[0], second.epochs[0]))
