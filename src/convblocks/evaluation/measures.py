"""Logits in, measures out: how good a classifier is, where it is wrong, and how sure of itself."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional
from torchmetrics.functional.classification import (
    multiclass_calibration_error,
    multiclass_confusion_matrix,
    multiclass_f1_score,
    multiclass_precision,
    multiclass_recall,
)

# The quantile of the normal distribution that 95 % intervals reach to.
QUANTILE = 1.96

# Bins of equal width that probabilities are sorted into to compare them with how often they come true.
CALIBRATION_BINS = 15


@dataclass(frozen=True)
class Evaluation:
    """How good a classifier's answers to N labelled images are. Each measure lies in 0..1, but for the loss.

    Args:
        logits: (N, classes).
        targets: (N,) int64.
        classes: Their names.
    """

    logits: Tensor
    targets: Tensor
    classes: tuple[str, ...]

    @property
    def losses(self) -> Tensor:
        """The cross-entropy of each image: (N,)."""
        return functional.cross_entropy(self.logits, self.targets, reduction="none")

    @property
    def probabilities(self) -> Tensor:
        return self.logits.softmax(dim=1)

    @property
    def predicted(self) -> Tensor:
        """The most probable class of each image: (N,)."""
        return self.logits.argmax(dim=1)

    @property
    def loss(self) -> float:
        return float(self.losses.double().mean())

    @property
    def accuracy(self) -> float:
        return float((self.predicted == self.targets).double().mean())

    @property
    def confusion(self) -> Tensor:
        """How many images of each class (row) were taken for each class (column): (classes, classes)."""
        return multiclass_confusion_matrix(self.predicted, self.targets, len(self.classes))

    @property
    def precision(self) -> Tensor:
        """For each class, the share of right answers among those that name it: (classes,)."""
        return multiclass_precision(self.predicted, self.targets, len(self.classes), average="none")

    @property
    def recall(self) -> Tensor:
        """For each class, the share of its images that are recognised, which is its accuracy: (classes,)."""
        return multiclass_recall(self.predicted, self.targets, len(self.classes), average="none")

    @property
    def f1(self) -> Tensor:
        """For each class, the harmonic mean of precision and recall: (classes,)."""
        return multiclass_f1_score(self.predicted, self.targets, len(self.classes), average="none")

    @property
    def calibration_error(self) -> float:
        """The expected calibration error: the mean distance between probability and accuracy, over the bins."""
        return float(
            multiclass_calibration_error(
                self.probabilities, self.targets, len(self.classes), n_bins=CALIBRATION_BINS, norm="l1"
            )
        )

    def reliability(self) -> Tensor:
        """A row for each bin that has images: how many, mean probability and accuracy: (bins, 3) float64."""
        confidence, predicted = self.probabilities.double().max(dim=1)
        right = (predicted == self.targets).double()
        bins = torch.ceil(confidence * CALIBRATION_BINS).long() - 1  # a bin holds its upper edge
        rows = [
            torch.stack([inside.double().sum(), confidence[inside].mean(), right[inside].mean()])
            for inside in (bins == number for number in range(CALIBRATION_BINS))
            if inside.any()
        ]
        return torch.stack(rows)


def wilson_intervals(shares: Tensor, counts: Tensor) -> tuple[Tensor, Tensor]:
    """Between which two shares the truth lies, at 95 %, where so many images have shown these: (n,) float64 each.

    E. B. Wilson: "Probable inference, the law of succession, and statistical inference", 1927.
    """
    square = QUANTILE**2 / counts
    middle = (shares + square / 2) / (1 + square)
    reach = QUANTILE * (shares * (1 - shares) / counts + square / (4 * counts)).sqrt() / (1 + square)
    return (middle - reach).clamp(0, 1), (middle + reach).clamp(0, 1)
