"""Averages of weights that start late: until then, the trained weights are evaluated, saved and kept."""

from pathlib import Path

import pytest
import torch
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import EMAWeightAveraging, ModelCheckpoint
from torch import Tensor

from convblocks.data.module import MNISTDataModule
from convblocks.model.classifier import DigitClassifier
from convblocks.training.averaging import follow_until_averaging_starts


def trainer_of(folder: Path, start: int | None, epochs: int = 2) -> Trainer:
    """A Trainer for 5 steps an epoch, with an average from a step on, or without one."""
    averaging = [] if start is None else [EMAWeightAveraging(decay=0.9, update_starting_at_step=start)]
    trainer = Trainer(
        default_root_dir=folder,
        max_epochs=epochs,
        limit_train_batches=5,
        limit_val_batches=2,
        callbacks=[ModelCheckpoint(folder, "{epoch}", save_top_k=-1), *averaging],
        accelerator="cpu",
        logger=False,
        num_sanity_val_steps=0,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    follow_until_averaging_starts(trainer)
    return trainer


def fit(folder: Path, start: int | None, epochs: int = 2, resumed: Path | None = None) -> list[dict[str, Tensor]]:
    """Train, and return the weights in the checkpoint of each epoch, and those at the end with the last test loss."""
    torch.manual_seed(0)
    module, trainer = DigitClassifier("batchnorm", lr=3e-3), trainer_of(folder, start, epochs)
    trainer.fit(module, datamodule=MNISTDataModule(), ckpt_path=resumed, weights_only=True)
    saved = [torch.load(path, weights_only=True)["state_dict"] for path in sorted(folder.glob("*.ckpt"))]
    return [*map(of_network, saved), of_network(module.state_dict()) | {"loss": trainer.callback_metrics["test/loss"]}]


def of_network(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The part of a state that the average has; the classifier's metrics are not in it."""
    return {name: value.clone() for name, value in state.items() if name.startswith("network.")}


def equal(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return all(torch.equal(value, other[name]) for name, value in one.items())


@pytest.mark.parametrize("start", [7, 1000], ids=["late", "never"])
def test_before_its_start_an_average_is_the_weights(tmp_path: Path, start: int) -> None:
    averaged, plain = fit(tmp_path / "averaged", start), fit(tmp_path / "plain", None)
    assert equal(averaged[0], plain[0])
    assert equal(averaged[1], plain[1]) == equal(averaged[2], plain[2]) == (start == 1000)


@pytest.mark.filterwarnings("ignore:Checkpoint directory .* exists and is not empty")
def test_an_average_that_starts_after_a_resume_ends_alike(tmp_path: Path) -> None:
    whole = fit(tmp_path / "whole", start=7)
    fit(tmp_path / "resumed", start=7, epochs=1)
    resumed = fit(tmp_path / "resumed", start=7, resumed=tmp_path / "resumed" / "epoch=0.ckpt")
    assert equal(whole[-1], resumed[-1])
