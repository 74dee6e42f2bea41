"""A plain Trainer's logger, progress bar and callbacks get all metrics, and its methods return them."""

from pathlib import Path

import pytest
import torch
from lightning.pytorch.callbacks import EarlyStopping, LearningRateMonitor, ModelCheckpoint
from lightning.pytorch.loggers import TensorBoardLogger
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch.nn import functional

from convblocks import DigitClassifier, MNISTDataModule
from convblocks.data.images import MNIST
from tests.any_trainer.plain import trainer

METRICS = ("train/loss", "train/acc", "test/loss", "test/acc")


def test_the_logger_gets_the_curves(tmp_path: Path) -> None:
    logger = TensorBoardLogger(tmp_path)
    trainer(tmp_path, logger=logger).fit(DigitClassifier("mlp"), datamodule=MNISTDataModule())
    events = EventAccumulator(logger.log_dir).Reload()
    for tag in METRICS:
        assert [event.step for event in events.Scalars(tag)] == [19, 39]
    assert [event.step for event in events.Scalars("train/loss_step")] == [4, 9, 14, 19, 24, 29, 34, 39]


def test_the_progress_bar_gets_the_same_values(tmp_path: Path) -> None:
    fitted = trainer(tmp_path)
    fitted.fit(DigitClassifier("mlp"), datamodule=MNISTDataModule())
    for name in (*METRICS, "train/loss_step"):
        assert fitted.progress_bar_metrics[name] == pytest.approx(float(fitted.callback_metrics[name]))


def test_with_held_out_images_the_metrics_are_named_val(tmp_path: Path) -> None:
    fitted = trainer(tmp_path)
    fitted.fit(DigitClassifier("mlp"), datamodule=MNISTDataModule(val_size=2000))
    assert {"val/loss", "val/acc"} <= fitted.callback_metrics.keys()
    assert "test/acc" not in fitted.callback_metrics


def test_validate_and_test_return_the_metrics(tmp_path: Path) -> None:
    module, data = DigitClassifier("mlp"), MNISTDataModule(val_size=2000)
    (validated,) = trainer(tmp_path).validate(module, datamodule=data, verbose=False)
    (tested,) = trainer(tmp_path).test(module, datamodule=data, verbose=False)
    assert validated.keys() == {"val/loss", "val/acc"}
    assert tested.keys() == {"test/loss", "test/acc"}
    with torch.no_grad():
        logits = module.eval()(MNIST.normalize(data.test.images))
    assert tested["test/loss"] == pytest.approx(functional.cross_entropy(logits, data.test.labels).item(), rel=1e-5)
    assert tested["test/acc"] == pytest.approx((logits.argmax(1) == data.test.labels).double().mean().item())


@pytest.mark.parametrize("monitor", METRICS)
def test_callbacks_find_their_monitored_metrics(tmp_path: Path, monitor: str) -> None:
    mode = "min" if monitor.endswith("loss") else "max"
    stop = EarlyStopping(monitor, mode=mode, min_delta=100.0, patience=1)  # which no improvement reaches
    keep = ModelCheckpoint(tmp_path / "kept", monitor=monitor, mode=mode)
    fitted = trainer(tmp_path, max_epochs=9, callbacks=[stop, keep])
    fitted.fit(DigitClassifier("mlp"), datamodule=MNISTDataModule())
    assert fitted.current_epoch == 2
    assert keep.best_model_score is not None
    assert Path(keep.best_model_path).is_file()


def test_the_learning_rate_is_monitored(tmp_path: Path) -> None:
    logger = TensorBoardLogger(tmp_path)
    fitted = trainer(tmp_path, logger=logger, callbacks=[LearningRateMonitor()])
    fitted.fit(DigitClassifier("mlp", lr_scheduler="onecycle"), datamodule=MNISTDataModule())
    rates = [event.value for event in EventAccumulator(logger.log_dir).Reload().Scalars("lr-Adam")]
    assert len(rates) == 8
    assert max(rates) == pytest.approx(0.01, rel=0.05)
    assert rates[-1] < 1e-4


@pytest.mark.parametrize("precision", ["bf16-true", "64-true"])
def test_a_test_without_a_fit_sums_in_at_least_32_bits(tmp_path: Path, precision: str) -> None:
    fitted = trainer(tmp_path, precision=precision, limit_test_batches=3)
    fitted.test(DigitClassifier("mlp"), datamodule=MNISTDataModule(), verbose=False)
    expected = torch.float64 if precision == "64-true" else torch.float32
    assert fitted.callback_metrics["test/loss"].dtype == fitted.callback_metrics["test/acc"].dtype == expected
