"""An epoch saved in the middle continues with the next batch, and ends as if it had not been interrupted."""

from pathlib import Path
from typing import Any

import pytest
import torch
from lightning import Callback, LightningModule, Trainer

from convblocks import DigitClassifier, MNISTDataModule
from tests.any_trainer.plain import Watch, assert_equal_states, trainer


class StopAfter(Callback):
    """Saves a checkpoint after a step, and ends the run as a crash would."""

    def __init__(self, step: int, path: Path) -> None:
        self.step, self.path = step, path

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *arguments: Any) -> None:
        if trainer.global_step == self.step:
            trainer.save_checkpoint(self.path)
            raise RuntimeError("stopped")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("schedule", "step"),
    [
        *[("onecycle", step) for step in (1, 20, 39)],
        *[pytest.param("onecycle", step, marks=pytest.mark.nightly) for step in (19, 21)],
        *[pytest.param("constant", step, marks=pytest.mark.nightly) for step in (1, 19, 20, 21, 39)],
    ],
)
def test_of_twenty_steps(tmp_path: Path, schedule: Any, step: int) -> None:
    """Schedules read estimated_stepping_batches, which creates the loader before its state is restored."""

    def fit(seed: int, callbacks: list[Callback], checkpoint: Path | None = None) -> tuple[Trainer, DigitClassifier]:
        torch.manual_seed(seed)
        fitted = trainer(tmp_path, callbacks=callbacks, enable_checkpointing=False)
        module = DigitClassifier("mlp", lr_scheduler=schedule)
        fitted.fit(module, datamodule=MNISTDataModule(shift=2.0), ckpt_path=checkpoint, weights_only=True)
        return fitted, module

    whole, expected = fit(0, [])
    with pytest.raises(RuntimeError, match="stopped"):
        fit(0, [StopAfter(step, tmp_path / "stopped.ckpt")])
    resumed, module = fit(1, [], tmp_path / "stopped.ckpt")
    assert_equal_states(module, expected)
    assert resumed.callback_metrics == whole.callback_metrics


def test_a_loader_without_the_data_module_goes_on_by_lightnings_own_protocol(tmp_path: Path) -> None:
    def fit(callbacks: list[Callback], checkpoint: Path | None = None) -> DigitClassifier:
        torch.manual_seed(0)
        module, data = DigitClassifier("mlp"), MNISTDataModule()
        data.setup()
        loaders = (data.train_dataloader(), data.val_dataloader())
        fitted = trainer(tmp_path, callbacks=callbacks, enable_checkpointing=False)
        fitted.fit(module, *loaders, ckpt_path=checkpoint, weights_only=True)
        return module

    expected = fit([])
    with pytest.raises(RuntimeError, match="stopped"):
        fit([StopAfter(27, tmp_path / "stopped.ckpt")])
    assert_equal_states(fit([], tmp_path / "stopped.ckpt"), expected)


def test_a_checkpoint_that_was_tested_does_not_shorten_the_next_fit(tmp_path: Path) -> None:
    data, first, second = MNISTDataModule(), Watch(), Watch()
    fitted = trainer(tmp_path, max_epochs=1, limit_test_batches=1, callbacks=[first])
    fitted.fit(DigitClassifier("mlp"), datamodule=data)
    fitted.test(datamodule=data, ckpt_path="best", weights_only=True, verbose=False)
    trainer(tmp_path, max_epochs=1, callbacks=[second]).fit(DigitClassifier("mlp"), datamodule=data)
    assert all(torch.equal(one, other) for one, other in zip(first.epochs[0], second.epochs[0], strict=True))
