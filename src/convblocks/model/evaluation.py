"""Measures of a classifier's logits: accuracy, mistakes, calibration."""

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

# Bins of equal width, in which probabilities are compared with accuracies.
CALIBRATION_BINS = 15


@dataclass(frozen=True)
class Evaluation:
    """A classifier's logits for N labelled images. All measures but the loss lie in 0..1.

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
        """How many images of each class (row) were predicted as each class (column): (classes, classes)."""
        return multiclass_confusion_matrix(self.predicted, self.targets, len(self.classes))

    @property
    def precision(self) -> Tensor:
        """Of each class, the share of its predictions that are right: (classes,)."""
        return multiclass_precision(self.predicted, self.targets, len(self.classes), average="none")

    @property
    def recall(self) -> Tensor:
        """Of each class, the share of its images that are recognised: (classes,)."""
        return multiclass_recall(self.predicted, self.targets, len(self.classes), average="none")

    @property
    def f1(self) -> Tensor:
        """Of each class, the harmonic mean of precision and recall: (classes,)."""
        return multiclass_f1_score(self.predicted, self.targets, len(self.classes), average="none")

    @property
    def calibration_error(self) -> float:
        """The expected calibration error: the mean distance between probability and accuracy over the bins."""
        return float(
            multiclass_calibration_error(
                self.probabilities, self.targets, len(self.classes), n_bins=CALIBRATION_BINS, norm="l1"
            )
        )

    def reliability(self) -> Tensor:
        """A row for each bin with images, of their number, mean probability and accuracy: (bins, 3) float64."""
        confidence, predicted = self.probabilities.double().max(dim=1)
        right = (predicted == self.targets).double()
        bins = torch.ceil(confidence * CALIBRATION_BINS).long() - 1  # a bin holds its upper edge
        rows = [
            torch.stack([inside.double().sum(), confidence[inside].mean(), right[inside].mean()])
            for inside in (bins == number for number in range(CALIBRATION_BINS))
            if inside.any()
        ]
        return torch.stack(rows)
