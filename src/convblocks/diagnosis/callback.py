"""Logs the share of dead units, and says at the end what is wrong with a run."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer

from convblocks.console import command_text, prose
from convblocks.diagnosis.advice import diagnose, whole_percent
from convblocks.diagnosis.collapse import (
    chance_accuracy,
    collapsed_in,
    dead_units_in,
    has_collapsed,
)
from convblocks.diagnosis.dead_units import dead_shares
from convblocks.model.classifier import ImageClassifier
from convblocks.record.directory import DEAD
from convblocks.record.result import Row, RunResult
from convblocks.run.callbacks import RunCallback
from convblocks.run.parts import Parts
from convblocks.run.run import Run
from convblocks.text import as_shown

# A unit is dead if it outputs 0 for each of this many images: the first of those that
# the run is evaluated on.
IMAGES = 1000


def make(parts: Parts) -> "DeadUnits | None":
    """The callback of runs of image classifiers; None for others."""
    return DeadUnits() if parts.is_classification else None


class DeadUnits(RunCallback):
    """Logs the share of dead units behind each ReLU, as ``dead/relu1`` and so on;
    nothing without ReLUs.

    Every process computes the same shares, from the same weights and images. Training
    is not affected.
    """

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not trainer.sanity_checking:
            # The shares are equal in all processes, but without sync_dist Lightning would warn.
            pl_module.log_dict(measure_dead_units(trainer, pl_module), sync_dist=True)

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        # Not logged: the shares of the final weights are no point of the curves.
        for name, share in measure_dead_units(trainer, pl_module).items():
            trainer.callback_metrics[name] = torch.tensor(share, dtype=torch.float64)

    def on_result(self, run: Run, result: RunResult) -> RunResult:
        """The result, failed if it has collapsed, with facts: its images, what chance
        gets, what is wrong with it.
        """
        data: Any = run.data
        train = data.train.labels
        test = data.test.labels
        images = {"spec": data.image_spec.as_dict(), "train": len(train), "test": len(test)}
        result = result.with_facts(images=images, chance=chance_accuracy(test))
        if result.failed or has_collapsed(result, train):
            result = result.with_facts(collapsed_in=collapsed_in(result))
            result = replace(result, failed=True)
        diagnosis = diagnose(data, result, run.divergence.step)
        return result.with_facts(diagnosis=diagnosis._asdict()) if diagnosis else result

    def last_lines(self, run: Run, result: RunResult) -> Sequence[str]:
        """The shares of dead units, what is wrong, and the command to try next."""
        lines = []
        diagnosis = result.facts.get("diagnosis")
        # If the run diverged, fit has said so already.
        if run.divergence.step is None:
            shares = dead_units_in(result).items()
            texts = [f"{whole_percent(share)} of {layer}" for layer, share in shares]
            if texts:
                lines.append("dead units: " + ", ".join(texts))
            if diagnosis:
                lines.append(prose(diagnosis["sentence"]))
        if diagnosis and diagnosis["options"]:
            words = ["--config", as_shown(run.directory.config), *diagnosis["options"]]
            lines.append("try next      " + command_text("fit", *words))
        return lines


def measure_dead_units(trainer: Trainer, classifier: LightningModule) -> Row:
    """The share of dead units behind each ReLU, as metrics; none where a plain Trainer
    has no data module.

    The images are always the same, however many the Trainer evaluates.
    """
    # Lightning sets it at run time
    data = trainer.datamodule  # type: ignore[attr-defined]
    if data is None:
        return {}
    assert isinstance(classifier, ImageClassifier)
    images = data.val.images[:IMAGES].to(classifier.device)
    precision = trainer.precision_plugin
    inputs = (
        precision.convert_input(data.image_spec.normalize(batch))
        for batch in images.split(data.eval_batch_size)
    )
    with precision.forward_context():
        shares = dead_shares(classifier.network, inputs)
    return {f"{DEAD}{relu}": share for relu, share in shares.items()}
