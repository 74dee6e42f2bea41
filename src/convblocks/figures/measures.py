"""Measures of an evaluation beside loss and accuracy: confusion and calibration."""

from torch import Tensor
from torchmetrics.functional.classification import multiclass_calibration_error, multiclass_confusion_matrix

from convblocks.model.evaluation import Evaluation

# Bins of equal width, in which probabilities are compared with accuracies.
CALIBRATION_BINS = 15


def confusion(evaluation: Evaluation) -> Tensor:
    """How many images of each class (row) were predicted as each class (column): (classes, classes)."""
    return multiclass_confusion_matrix(evaluation.predicted, evaluation.targets, len(evaluation.classes))


def calibration_error(evaluation: Evaluation) -> float:
    """The expected calibration error: the mean distance between probability and accuracy over the bins, in 0..1."""
    probabilities, classes = evaluation.logits.softmax(dim=1), len(evaluation.classes)
    error = multiclass_calibration_error(probabilities, evaluation.targets, classes, n_bins=CALIBRATION_BINS, norm="l1")
    return float(error)
