"""Makes Lightning's ModelPruning and its averages of weights work in a run."""

from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelPruning, StochasticWeightAveraging, WeightAveraging

from convblocks.model.classifier import ImageClassifier
from convblocks.run.callbacks import RunCallback
from convblocks.run.parts import Parts
from convblocks.run.run import Run
from exact_resume.callback import ExactResume
from exact_resume.lightning_private import AVERAGE
from exact_resume.training import callbacks_of


def make(parts: Parts) -> "Compatibility":
    """The callback of every run."""
    return Compatibility()


class Compatibility(RunCallback):
    """Lets averages follow the weights until they start.

    Until WeightAveraging starts its average holds the untrained weights, which
    Lightning would evaluate and save, and keep if it never starts (pytorch-lightning's
    issue 21724).
    """

    def __init__(self) -> None:
        self.trains = False

    def on_start(self, run: Run, *_: Any) -> None:
        self.run = run

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if (
            stage == "fit"
            and isinstance(pl_module, ImageClassifier)
            and callbacks_of(trainer, ModelPruning)
        ):
            # torch prunes flat views, which channels_last lacks.
            pl_module.to(memory_format=torch.contiguous_format)

    def on_train_start(self, *_: Any) -> None:
        self.trains = True  # not where the training had ended already before a resume

    def _follow(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Copy the weights to each average that has not started."""
        for averaging in callbacks_of(trainer, WeightAveraging):
            average = AVERAGE.of(averaging)
            if average is not None and average.n_averaged == 0:
                average.update_parameters(pl_module)  # a first update only copies
                average.n_averaged.zero_()

    on_validation_epoch_start = _follow
    on_train_end = _follow

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        self._follow(trainer, pl_module)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Put in place the average of StochasticWeightAveraging, which it makes after
        the last checkpoint.

        With batch normalisation there is nothing to do: another epoch and its
        checkpoint follow. WeightAveraging puts its own in place, but not where the
        training had ended already before a resume.
        """
        for averaging in () if self.trains else callbacks_of(trainer, WeightAveraging):
            averaging.on_train_end(trainer, pl_module)
        for averaging in callbacks_of(trainer, StochasticWeightAveraging):
            if not averaging.pl_module_contains_batch_norm(pl_module):
                averaging.on_train_end(
                    trainer, pl_module
                )  # again: a run killed just before lacks it
                self.run.tests_again = True
                for resume in callbacks_of(trainer, ExactResume):
                    trainer.save_checkpoint(resume.path)
