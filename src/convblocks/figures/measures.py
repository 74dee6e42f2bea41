"""Measures of an evaluation beside loss and accuracy: confusion, precision and recall, calibration."""

import torch
from torch import Tensor
from torchmetrics.functional.classification import (
    multiclass_calibration_error,
    multiclass_confusion_matrix,
    multiclass_f1_score,
    multiclass_precision,
    multiclass_recall,
)

from convblocks.model.evaluation import Evaluation

# Bins of equal width, in which probabilities are compared with accuracies.
CALIBRATION_BINS = 15


def confusion(evaluation: Evaluation) -> Tensor:
    """How many images of each class (row) were predicted as each class (column): (classes, classes)."""
    return multiclass_confusion_matrix(evaluation.predicted, evaluation.targets, len(evaluation.classes))


def precision(evaluation: Evaluation) -> Tensor:
    """Of each class, the share of its predictions that are right: (classes,)."""
    classes = len(evaluation.classes)
    return multiclass_precision(evaluation.predicted, evaluation.targets, classes, average="none")


def recall(evaluation: Evaluation) -> Tensor:
    """Of each class, the share of its images that are recognised: (classes,)."""
    classes = len(evaluation.classes)
    return multiclass_recall(evaluation.predicted, evaluation.targets, classes, average="none")


def f1(evaluation: Evaluation) -> Tensor:
    """Of each class, the harmonic mean of precision and recall: (classes,)."""
    classes = len(evaluation.classes)
    return multiclass_f1_score(evaluation.predicted, evaluation.targets, classes, average="none")


def calibration_error(evaluation: Evaluation) -> float:
    """The expected calibration error: the mean distance between probability and accuracy over the bins, in 0..1."""
    probabilities, classes = evaluation.logits.softmax(dim=1), len(evaluation.classes)
    error = multiclass_calibration_error(probabilities, evaluation.targets, classes, n_bins=CALIBRATION_BINS, norm="l1")
    return float(error)


def reliability(evaluation: Evaluation) -> Tensor:
    """A row for each bin with images, of their number, mean probability and accuracy: (bins, 3) float64."""
    confidence, predicted = evaluation.logits.softmax(dim=1).double().max(dim=1)
    right = (predicted == evaluation.targets).double()
    bins = torch.ceil(confidence * CALIBRATION_BINS).long() - 1  # a bin holds its upper edge
    rows = [
        torch.stack([inside.double().sum(), confidence[inside].mean(), right[inside].mean()])
        for inside in (bins == number for number in range(CALIBRATION_BINS))
        if inside.any()
    ]
    return torch.stack(rows)
