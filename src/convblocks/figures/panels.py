"""Confusion and calibration of an evaluation, and its figures."""

import numpy as np
from matplotlib.colors import LinearSegmentedColormap, to_rgba
from matplotlib.figure import Figure
from torch import Tensor
from torchmetrics.functional.classification import (
    multiclass_calibration_error,
    multiclass_confusion_matrix,
)

from convblocks.figures.curves import half_figure, wrapped
from convblocks.figures.estimates import share
from convblocks.figures.report import Chart
from convblocks.figures.style import LETTERS, OTHERS, SMALL, foreground, muted, style
from convblocks.model.restore import Evaluation

# Rows and columns of the hardest images.
GRID = (3, 3)

# Longer class names have several lines along an axis, and longer texts above an image or a
# figure.
LONGEST_NAME, LONGEST_CAPTION, LONGEST_TITLE = 14, 18, 36

# Bins of equal width, in which probabilities are compared with accuracies.
CALIBRATION_BINS = 15


def confusion(evaluation: Evaluation) -> Tensor:
    """The number of images of each class (row) that were predicted as each class (column):
    (classes, classes) int64.
    """
    return multiclass_confusion_matrix(
        evaluation.predicted, evaluation.targets, len(evaluation.classes)
    )


def calibration_error(evaluation: Evaluation) -> float:
    """The expected calibration error: the mean distance between probability and
    accuracy over the bins, in 0..1.
    """
    return float(
        multiclass_calibration_error(
            evaluation.logits.softmax(dim=1),
            evaluation.targets,
            len(evaluation.classes),
            n_bins=CALIBRATION_BINS,
            norm="l1",
        )
    )


def evaluation_charts(evaluation: Evaluation, images: Tensor) -> dict[str, Chart]:
    """The figures of the answers to images (N, C, H, W) uint8, by name."""
    return {
        "confusion": Chart(
            lambda: confusion_figure(evaluation),
            "Confusion: true classes down, predicted ones across",
        ),
        "hardest_images": Chart(
            lambda: hardest_figure(evaluation, images),
            "The mistakes with the highest loss: true → predicted",
        ),
        "calibration": Chart(
            lambda: reliability_figure(evaluation),
            "How often answers of each probability are right",
        ),
    }


def confusion_figure(evaluation: Evaluation) -> Figure:
    """The confusion matrix; colours show the mistakes only, which the diagonal would
    outshine, on any paper.
    """
    figure = half_figure()
    axes = figure.subplots()
    counts = confusion(evaluation).numpy()
    mistakes = counts * (1 - np.eye(len(counts), dtype=int))
    names = [wrapped(name, LONGEST_NAME) for name in evaluation.classes]
    lines = max(name.count("\n") + 1 for name in names)
    shrink = min(1, 12 / len(counts))
    letters = min(shrink, 16 / len(counts) / lines) * LETTERS
    clear, full = [to_rgba(style(OTHERS).colour, alpha) for alpha in (0, 1)]
    colours = LinearSegmentedColormap.from_list("mistakes", [clear, full])
    axes.imshow(mistakes, cmap=colours, vmax=max(1, 1.5 * mistakes.max()))
    axes.grid(visible=False)
    for row, column in zip(*np.nonzero(counts), strict=True):
        axes.text(
            column,
            row,
            f"{counts[row, column]:,}",
            ha="center",
            va="center",
            fontsize=shrink * SMALL,
        )
    axes.set(xlabel="predicted", ylabel="true", title=_finding(evaluation, mistakes))
    places = range(len(names))
    upright = sum(len(name) + 1 for name in names) > 33  # they would overlap
    axes.set_xticks(places, names, rotation=90 if upright else 0, fontsize=letters)
    axes.set_yticks(places, names, fontsize=letters)
    return figure


def _finding(evaluation: Evaluation, mistakes: np.ndarray) -> str:
    """The most frequent mistake, as a title."""
    true, predicted = np.unravel_index(mistakes.argmax(), mistakes.shape)
    most = mistakes[true, predicted]
    if not most:
        return "No mistakes"
    names = evaluation.classes
    text = f"Most often: {names[true]} taken for {names[predicted]} ({most:,})"
    return wrapped(text, LONGEST_TITLE)


def hardest_figure(evaluation: Evaluation, images: Tensor) -> Figure:
    """The mistakes with the highest loss, each with its true and its predicted class
    and the latter's probability.
    """
    figure = half_figure()
    wrong = evaluation.predicted != evaluation.targets
    figure.suptitle("Highest losses: true → predicted", x=0.02, ha="left", fontsize=LETTERS)
    names = evaluation.classes
    panels = list(figure.subplots(*GRID).flat)
    confidence = 100 * evaluation.logits.softmax(dim=1).amax(dim=1)
    for panel in panels:
        panel.set_axis_off()
        panel.set_anchor("W")
    hardest = evaluation.losses.argsort(descending=True)
    for panel, index in zip(panels, hardest[wrong[hardest]], strict=False):
        panel.imshow(images[index].expand(3, -1, -1).permute(1, 2, 0).numpy())
        true = names[evaluation.targets[index]]
        answer = (
            f"{names[evaluation.predicted[index]]} ({confidence[index]:.0f}\N{NO-BREAK SPACE}%)"
        )
        caption = wrapped(f"{true}\N{NO-BREAK SPACE}→ {answer}", LONGEST_CAPTION)
        panel.set_title(caption, fontsize=SMALL, fontweight="normal")
    return figure


def reliability_figure(evaluation: Evaluation) -> Figure:
    """A figure of how often answers of each probability are right. A calibrated network lies on
    the diagonal.
    """
    figure = half_figure()
    axes = figure.subplots()
    confidence, predicted = evaluation.logits.softmax(dim=1).double().max(dim=1)
    right = predicted == evaluation.targets
    bins = (confidence * CALIBRATION_BINS).ceil()
    axes.plot([0, 1], [0, 1], color=muted(), linewidth=0.8)
    for number in bins.unique():
        inside = bins == number
        x = float(confidence[inside].mean())
        accuracy = share(int(right[inside].sum()), int(inside.sum()))
        axes.vlines(x, accuracy.low, accuracy.high, color=foreground(), linewidth=1.2)
        axes.plot(
            x, accuracy.value, "o", color=foreground(), markersize=5, clip_on=False, gid="shares"
        )
    axes.set(xlabel="mean probability of the answers", ylabel="share that is right, 95 % interval")
    axes.set(xlim=(0, 1.05), ylim=(0, 1.05), xticks=np.linspace(0, 1, 6))
    axes.set_title(f"expected calibration error {100 * calibration_error(evaluation):.2f} %")
    return figure
