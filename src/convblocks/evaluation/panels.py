"""An evaluation as pictures: each function here fills one panel, ``figure_of`` makes a figure of one or more."""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor, nn

from convblocks.data.description import Description
from convblocks.evaluation.measures import Evaluation

Panel = Callable[[Axes], None]

BLUE, ORANGE = "#0072B2", "#D55E00"

# Rows and columns of the grid that shows the hardest images.
GRID = (4, 6)


def figure_of(*panels: Panel) -> Figure:
    """A figure with the panels side by side."""
    figure = Figure(figsize=(5 * len(panels), 4.6), dpi=80, layout="constrained")
    FigureCanvasAgg(figure)
    for panel, axes in zip(panels, np.atleast_1d(figure.subplots(1, len(panels))), strict=True):
        panel(axes)
    return figure


def evaluation_panels(evaluation: Evaluation, images: Tensor) -> dict[str, Panel]:
    """The panels that need no more than answers and images (N, C, H, W) uint8, by name."""
    return {
        "confusion": partial(confusion, evaluation),
        "hardest_images": partial(hardest, evaluation, images),
        "calibration": partial(reliability, evaluation),
        "class_accuracy": partial(class_accuracy, evaluation),
    }


def confusion(evaluation: Evaluation, axes: Axes) -> None:
    """The confusion matrix with its counts; the colours show only the mistakes, which the diagonal would outshine."""
    counts = evaluation.confusion.numpy()
    mistakes = counts * (1 - np.eye(len(counts), dtype=int))
    size = min(8.0, 110 / len(counts))  # in points; the cells of many classes are small
    axes.imshow(mistakes, cmap="Oranges", vmax=max(1, 1.5 * mistakes.max()))
    for row, column in zip(*np.nonzero(counts), strict=True):
        axes.text(column, row, f"{counts[row, column]}", ha="center", va="center", fontsize=size)
    axes.set(xlabel="predicted", ylabel="true", title=f"{np.trace(counts):,} of {counts.sum():,} right")
    axes.set_yticks(range(len(counts)), evaluation.classes)
    _name_classes(axes, evaluation.classes)


def hardest(evaluation: Evaluation, images: Tensor, axes: Axes) -> None:
    """The images with the highest loss, each with its true and its predicted class and the latter's probability."""
    rows, columns = GRID
    names = [name[:9] for name in evaluation.classes]  # longer ones would run into each other
    order = evaluation.losses.argsort(descending=True)[: rows * columns]
    confidence = 100 * evaluation.probabilities.amax(dim=1)
    captions = [
        f"{names[evaluation.targets[index]]} → {names[evaluation.predicted[index]]}  {confidence[index]:.0f} %"
        for index in order
    ]
    _mosaic(axes, _to_show(images[order] / 255), columns, captions)
    axes.set_title("highest loss: true class → predicted class, and its probability")


def reliability(evaluation: Evaluation, axes: Axes) -> None:
    """How often the answers of each probability are right; on the diagonal a network is as sure as it should be."""
    share, confidence, accuracy = evaluation.reliability().T.numpy()
    axes.plot([0, 1], [0, 1], color="grey", linewidth=0.8)
    axes.vlines(confidence, confidence, accuracy, color=ORANGE)
    axes.scatter(confidence, accuracy, s=15 + 300 * share, color=BLUE, zorder=2)
    axes.set(
        xlabel="mean probability of the answers (area: their share)",
        ylabel="share that is right",
        xlim=(0, 1.05),
        ylim=(0, 1.05),
        title=f"expected calibration error {100 * evaluation.calibration_error:.2f} %",
    )


def class_accuracy(evaluation: Evaluation, axes: Axes) -> None:
    accuracy = 100 * evaluation.recall.numpy()
    axes.bar(range(len(accuracy)), accuracy, color=BLUE)
    for number, value in enumerate(accuracy):
        axes.text(number, value, f"{value:.1f}", ha="center", va="bottom", fontsize=8)
    low = max(0.0, float(accuracy.min()) - 2)
    axes.set(xlabel="class", ylabel="accuracy [%]", ylim=(low, 100 + 0.05 * (100 - low)))
    _name_classes(axes, evaluation.classes)


def first_layer(network: nn.Module, description: Description) -> Panel | None:
    """The panel of a network's first weights: one picture for each unit or channel that sees pixels.

    None where these weights are no pictures, such as those of a recurrent layer.
    """
    weights = next(network.parameters(), torch.empty(0)).detach().float().cpu()
    if weights.ndim == 2 and weights.shape[1] == math.prod(description.shape):
        weights = weights.view(-1, *description.shape)
    elif not (weights.ndim == 4 and weights.shape[1] == description.channels):
        return None
    return partial(filters, weights)


def filters(weights: Tensor, axes: Axes) -> None:
    """Weights (N, C, H, W) of a layer that sees pixels; in colours grey stands for 0."""
    count, channels, height, width = weights.shape
    columns, title = math.ceil(math.sqrt(count)), f"the first layer: {count} filters of {height} x {width}"
    if channels == 1:
        _mosaic(axes, _to_show(weights), columns, [], cmap="RdBu")
        axes.set_title(f"{title}, blue is positive")
    else:
        _mosaic(axes, _to_show(0.5 + weights / (2 * weights.abs().max())), columns, [])
        axes.set_title(title)


def _name_classes(axes: Axes, classes: Sequence[str]) -> None:
    """Name the classes along the lower edge, upright where they would run into each other."""
    upright = sum(len(name) + 1 for name in classes) > 40
    axes.set_xticks(range(len(classes)), classes, rotation=90 if upright else 0)


def _to_show(images: Tensor) -> NDArray[Any]:
    """Images (N, C, H, W) as matplotlib takes them: (N, H, W), or with colours (N, H, W, 3)."""
    array: NDArray[Any] = (images.squeeze(1) if images.shape[1] == 1 else images.permute(0, 2, 3, 1)).numpy()
    return array


def _mosaic(axes: Axes, images: NDArray[Any], columns: int, captions: Sequence[str], cmap: str = "gray") -> None:
    """Images (N, H, W) or (N, H, W, 3) in rows, in one drawing: a panel for each would take seconds."""
    _, height, width, *colours = images.shape
    gap = max(1, height // 8)
    head = height // 4 if captions else gap
    rows = -(-len(images) // columns)
    empty = 1.0 if colours else np.nan
    mosaic = np.full((rows * (height + head), columns * (width + gap), *colours), empty)
    for index, image in enumerate(images):
        top, left = index // columns * (height + head) + head, index % columns * (width + gap)
        mosaic[top : top + height, left : left + width] = image
    limit = np.abs(images).max()
    axes.imshow(mosaic, cmap=cmap, vmin=-limit if images.min() < 0 else 0, vmax=limit)
    for index, caption in enumerate(captions):
        top, left = index // columns * (height + head), index % columns * (width + gap)
        axes.text(left, top + head - 1, caption, fontsize=7.5, va="bottom")
    axes.set_axis_off()
