"""What Lightning's finders of learning rate and batch size, ModelPruning and averages of weights need in a run."""

from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import (
    BatchSizeFinder,
    Callback,
    LearningRateFinder,
    ModelPruning,
    StochasticWeightAveraging,
    WeightAveraging,
)

from convblocks.data.module import ImageDataModule
from convblocks.errors import UsageError
from convblocks.model.classifier import ImageClassifier
from convblocks.run.callbacks import RunCallback
from convblocks.run.final_evaluation import classification_of
from convblocks.run.resume import ExactResume, callbacks_of
from convblocks.run.run import Run

# The part of a checkpoint that holds the batch size, which a finder may have chosen.
BATCH_SIZE = "batch_size"


def make(run: Run) -> "Compatibility":
    """For every run.

    Raises:
        UsageError: LearningRateFinder with a schedule on which it has no effect.
    """
    finds = "LearningRateFinder" in str(run.settings["trainer"].get("callbacks"))  # none is made yet
    if finds and run.module.hparams.get("lr_scheduler") == "onecycle":
        raise UsageError("LearningRateFinder has no effect on onecycle, which is built before it, with --lr")
    return Compatibility(run)


class Compatibility(RunCallback):
    """Lets averages follow the weights until they start, and keeps, on a resume, the values that finders chose.

    Until WeightAveraging starts its average holds the untrained weights, which Lightning would evaluate and save, and
    keep if it never starts (pytorch-lightning's issue 21724).
    """

    def __init__(self, run: Run) -> None:
        self.run = run

    def on_start(self, run: Run, checkpoint: dict[str, Any] | None) -> None:
        """Use the values that finders found when the run began, without a new search."""
        finders = (LearningRateFinder, BatchSizeFinder)
        classification = classification_of(run)
        if checkpoint is None or classification is None or not callbacks_of(run.trainer, *finders):
            return
        others = [callback for callback in callbacks_of(run.trainer, Callback) if not isinstance(callback, finders)]
        run.trainer.callbacks = others  # type: ignore[attr-defined]  # Lightning sets it at run time
        classification.module.hparams["lr"] = checkpoint["hyper_parameters"]["lr"]
        classification.data.batch_size = checkpoint[BATCH_SIZE]

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if stage == "fit" and isinstance(pl_module, ImageClassifier) and callbacks_of(trainer, ModelPruning):
            # torch prunes flat views, which channels_last lacks.
            pl_module.to(memory_format=torch.contiguous_format)

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        _follow(trainer, pl_module)

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        _follow(trainer, pl_module)
        data = trainer.datamodule  # type: ignore[attr-defined]  # Lightning sets it at run time
        if isinstance(data, ImageDataModule):
            checkpoint[BATCH_SIZE] = data.batch_size

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        _follow(trainer, pl_module)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Put in place the average of StochasticWeightAveraging, which it makes after the last checkpoint.

        With batch normalisation there is nothing to do: another epoch and its checkpoint follow.
        """
        for averaging in callbacks_of(trainer, StochasticWeightAveraging):
            if not averaging.pl_module_contains_batch_norm(pl_module):
                averaging.on_train_end(trainer, pl_module)  # again: a run killed just before lacks it
                self.run.tests_again = True
                for resume in callbacks_of(trainer, ExactResume):
                    trainer.save_checkpoint(resume.path)


def _follow(trainer: Trainer, module: LightningModule) -> None:
    """Copy the weights to each average that has not started."""
    for averaging in callbacks_of(trainer, WeightAveraging):
        average = averaging._average_model
        if average is not None and average.n_averaged == 0:
            average.update_parameters(module)  # a first update only copies
            average.n_averaged.zero_()
