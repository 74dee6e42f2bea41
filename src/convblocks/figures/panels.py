"""Confusion and calibration of an evaluation, and its figures."""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, to_rgb
from matplotlib.figure import Figure
from torch import Tensor
from torchmetrics.functional.classification import multiclass_calibration_error, multiclass_confusion_matrix

from convblocks.figures.estimates import share
from convblocks.figures.page import Chart
from convblocks.figures.style import LETTERS, SMALL, WIDTH, muted, style
from convblocks.model.restore import Evaluation

# Rows and columns of the grid of the hardest images: for digits, and with class names above them in two lines.
GRID, NAMED_GRID = (3, 4), (3, 3)

# In inches: two stand side by side.
HALF = (WIDTH / 2, 4.6)

# Longer class names are cut, along an axis and above an image.
LONGEST_NAME, LONGEST_CAPTION = 14, 10

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


def evaluation_charts(evaluation: Evaluation, images: Tensor) -> dict[str, Chart]:
    """The figures of the answers to images (N, C, H, W) uint8, by name."""
    panels: dict[str, tuple[str, Callable[[Axes], None]]] = {
        "confusion": ("Confusion: true classes down, predicted ones across", partial(draw_confusion, evaluation)),
        "hardest_images": ("The images with the highest loss", partial(draw_hardest, evaluation, images)),
        "calibration": ("How often answers of each probability are right", partial(draw_reliability, evaluation)),
    }
    return {name: Chart(partial(_figure_of, panel), caption) for name, (caption, panel) in panels.items()}


def _figure_of(panel: Callable[[Axes], None]) -> Figure:
    figure = Figure(figsize=HALF, layout="constrained")
    panel(figure.subplots())
    return figure


def draw_confusion(evaluation: Evaluation, axes: Axes) -> None:
    """The confusion matrix; colours show the mistakes only, which the diagonal would outshine."""
    counts = confusion(evaluation).numpy()
    mistakes = counts * (1 - np.eye(len(counts), dtype=int))
    names, shrink = _cut(evaluation.classes, LONGEST_NAME), min(1, 12 / len(counts))
    colour = to_rgb(style(1).colour)
    colours = LinearSegmentedColormap.from_list("mistakes", [(*colour, 0), (*colour, 1)])  # on paper of any colour
    axes.imshow(mistakes, cmap=colours, vmax=max(1, 1.5 * mistakes.max()))
    axes.grid(visible=False)
    for row, column in zip(*np.nonzero(counts), strict=True):
        axes.text(column, row, f"{counts[row, column]}", ha="center", va="center", fontsize=shrink * SMALL)
    axes.set(xlabel="predicted", ylabel="true", title=f"{np.trace(counts):,} of {counts.sum():,} right")
    upright = sum(len(name) + 1 for name in names) > 33  # they would overlap
    axes.set_xticks(range(len(names)), names, rotation=90 if upright else 0, fontsize=shrink * LETTERS)
    axes.set_yticks(range(len(names)), names, fontsize=shrink * LETTERS)


def draw_hardest(evaluation: Evaluation, images: Tensor, axes: Axes) -> None:
    """The images with the highest loss, each with its true and its predicted class and the latter's probability.

    They are drawn as a single image with transparent gaps: a panel for each would take seconds.
    """
    names = _cut(evaluation.classes, LONGEST_CAPTION)
    has_names = max(map(len, names)) > 2
    (rows, columns), lines, link = (NAMED_GRID, 2, " →\n") if has_names else (GRID, 1, " → ")
    order = evaluation.losses.argsort(descending=True)[: rows * columns]
    shown = images[order].expand(-1, 3, -1, -1).permute(0, 2, 3, 1).numpy()
    _, height, width, _ = shown.shape
    longer = max(height, width)
    gap, head = max(1, longer // 8), lines * longer // 4
    down, across = head + longer, lines * longer + gap
    mosaic = np.zeros((-(-len(shown) // columns) * down, columns * across, 4), np.uint8)
    confidence = 100 * evaluation.logits.softmax(dim=1).amax(dim=1)
    for place, (image, index) in enumerate(zip(shown, order, strict=True)):
        top, left = place // columns * down + head, place % columns * across
        mosaic[top : top + height, left : left + width] = np.dstack([image, np.full((height, width), 255)])
        answer = f"{names[evaluation.targets[index]]}{link}{names[evaluation.predicted[index]]}"
        axes.text(left, top - 1, f"{answer}  {confidence[index]:.0f} %", fontsize=SMALL, va="bottom")
    axes.imshow(mosaic)
    axes.set_axis_off()
    axes.set_title("highest loss: true → predicted, its probability")


def draw_reliability(evaluation: Evaluation, axes: Axes) -> None:
    """How often answers of each probability are right; on the diagonal a network is calibrated."""
    confidence, predicted = evaluation.logits.softmax(dim=1).double().max(dim=1)
    bins, right = (confidence * CALIBRATION_BINS).ceil(), predicted == evaluation.targets
    axes.plot([0, 1], [0, 1], color=muted(), linewidth=0.8)
    for number in bins.unique():
        inside = bins == number
        x, found = float(confidence[inside].mean()), share(int(right[inside].sum()), int(inside.sum()))
        axes.vlines(x, found.low, found.high, color=style(0).colour, linewidth=1.2)
        axes.plot(x, found.value, "o", color=style(0).colour, markersize=5, clip_on=False, gid="shares")
    axes.set(
        xlabel="mean probability of the answers",
        ylabel="share that is right, 95 % interval",
        xlim=(0, 1.05),
        ylim=(0, 1.05),
        xticks=np.linspace(0, 1, 6),
        title=f"expected calibration error {100 * calibration_error(evaluation):.2f} %",
    )


def _cut(classes: Sequence[str], longest: int) -> list[str]:
    """The names, or their beginnings."""
    return [name if len(name) <= longest else f"{name[: longest - 1]}…" for name in classes]
