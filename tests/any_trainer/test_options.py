"""With these classes the Trainer's options work as Lightning documents."""

from pathlib import Path
from typing import Any

import pytest
import torch

from convblocks import DigitClassifier, MNISTDataModule
from tests.any_trainer.plain import Watch, trainer


def test_an_epoch_takes_other_batches_than_the_one_before(tmp_path: Path) -> None:
    watch = Watch()
    trainer(tmp_path, callbacks=[watch]).fit(DigitClassifier("mlp"), datamodule=MNISTDataModule())
    first, second = watch.epochs
    assert not torch.equal(first[0], second[0])


def test_overfit_batches_takes_the_same_batches_each_epoch(tmp_path: Path) -> None:
    watch = Watch()
    fitted = trainer(tmp_path, callbacks=[watch], overfit_batches=3, log_every_n_steps=1)
    fitted.fit(DigitClassifier("mlp"), datamodule=MNISTDataModule())
    first, second = watch.epochs
    assert len(first) == 3
    assert all(torch.equal(one, other) for one, other in zip(first, second, strict=True))


@pytest.mark.parametrize(
    ("settings", "steps", "evaluations", "evaluated"),
    [
        ({"val_check_interval": 0.25}, 40, [0, 5, 10, 15, 20, 25, 30, 35, 40], 2 * 9),
        ({"val_check_interval": 8, "check_val_every_n_epoch": None}, 40, [0, 8, 16, 24, 32, 40], 2 * 6),
        ({"check_val_every_n_epoch": 2}, 40, [0, 40], 2 * 2),
        ({"num_sanity_val_steps": 0}, 40, [20, 40], 2 * 2),
        ({"num_sanity_val_steps": 1}, 40, [0, 20, 40], 1 + 2 * 2),
        ({"limit_train_batches": 0.01, "limit_val_batches": 0.3}, 18, [0, 9, 18], 2 + 3 * 2),
        ({"limit_val_batches": 0}, 40, [], 0),
        ({"fast_dev_run": 3}, 3, [3], 3),
        ({"max_steps": 27}, 27, [0, 20], 2 * 2),
    ],
)
def test_steps_and_evaluations_are_as_asked_for(
    tmp_path: Path, settings: dict[str, Any], steps: int, evaluations: list[int], evaluated: int
) -> None:
    watch = Watch()
    fitted = trainer(tmp_path, callbacks=[watch], **settings)
    fitted.fit(DigitClassifier("mlp"), datamodule=MNISTDataModule())
    assert fitted.global_step == steps
    assert watch.evaluations == evaluations
    assert watch.evaluated == evaluated


def test_test_and_predict_are_limited_too(tmp_path: Path) -> None:
    fitted = trainer(tmp_path, limit_test_batches=3, limit_predict_batches=2)
    (tested,) = fitted.test(DigitClassifier("mlp"), datamodule=MNISTDataModule(), verbose=False)
    assert tested["test/acc"] * 3000 == pytest.approx(round(tested["test/acc"] * 3000))
    predicted = fitted.predict(DigitClassifier("mlp"), datamodule=MNISTDataModule())
    assert predicted is not None
    assert len(predicted) == 2
