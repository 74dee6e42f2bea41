"""The figure of an evaluation; each function fills one panel."""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, to_rgb
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor, nn

from convblocks.data.images import ImageSpec
from convblocks.figures import measures
from convblocks.figures.estimates import wilson
from convblocks.figures.style import LETTERS, SMALL, WIDTH, muted, style
from convblocks.model.evaluation import Evaluation

Panel = Callable[[Axes], None]

# Rows and columns of the grid of the hardest images: for digits, and with class names above them in two lines.
GRID, NAMED_GRID = (3, 4), (3, 3)

# Panels side by side.
COLUMNS = 2

# Probabilities of fewer images are drawn faded.
FEW = 30

# Longer class names are cut, along an axis and above an image.
LONGEST_NAME, LONGEST_CAPTION = 14, 10


def figure_of(*panels: Panel) -> Figure:
    """A figure with the panels, two in a row."""
    columns, rows = min(len(panels), COLUMNS), -(-len(panels) // COLUMNS)
    figure = Figure(figsize=(WIDTH / COLUMNS * columns, 4.6 * rows), layout="constrained")
    axes = list(figure.subplots(rows, columns, squeeze=False).flat)
    for panel, own in zip(panels, axes, strict=False):
        panel(own)
    for unused in axes[len(panels) :]:
        unused.remove()
    return figure


def evaluation_panels(evaluation: Evaluation, images: Tensor) -> dict[str, Panel]:
    """The panels of the answers to images (N, C, H, W) uint8, by name."""
    return {
        "confusion": partial(confusion, evaluation),
        "hardest_images": partial(hardest, evaluation, images),
        "calibration": partial(reliability, evaluation),
        "class_errors": partial(class_errors, evaluation),
    }


def confusion(evaluation: Evaluation, axes: Axes) -> None:
    """The confusion matrix; colours show the mistakes only, which the diagonal would outshine."""
    counts = measures.confusion(evaluation).numpy()
    mistakes = counts * (1 - np.eye(len(counts), dtype=int))
    size = _size_of(SMALL, evaluation.classes)
    colour = to_rgb(style(1).colour)
    colours = LinearSegmentedColormap.from_list("mistakes", [(*colour, 0), (*colour, 1)])  # on paper of any colour
    axes.imshow(mistakes, cmap=colours, vmax=max(1, 1.5 * mistakes.max()))
    axes.grid(visible=False)
    for row, column in zip(*np.nonzero(counts), strict=True):
        axes.text(column, row, f"{counts[row, column]}", ha="center", va="center", fontsize=size)
    axes.set(xlabel="predicted", ylabel="true", title=f"{np.trace(counts):,} of {counts.sum():,} right")
    _name_classes(axes, evaluation.classes)
    axes.set_yticks(axes.get_xticks(), _cut(evaluation.classes), fontsize=_size_of(LETTERS, evaluation.classes))


def hardest(evaluation: Evaluation, images: Tensor, axes: Axes) -> None:
    """The images with the highest loss, each with its true and its predicted class and the latter's probability."""
    names = _cut(evaluation.classes, LONGEST_CAPTION)
    has_names = max(map(len, names)) > 2
    (rows, columns), link = (NAMED_GRID, " →\n") if has_names else (GRID, " → ")
    order = evaluation.losses.argsort(descending=True)[: rows * columns]
    confidence = 100 * evaluation.logits.softmax(dim=1).amax(dim=1)
    captions = [
        f"{names[evaluation.targets[index]]}{link}{names[evaluation.predicted[index]]}  {confidence[index]:.0f} %"
        for index in order
    ]
    _mosaic(axes, _to_show(images[order] / 255), columns, captions)
    axes.set_title("highest loss: true → predicted, its probability")


def reliability(evaluation: Evaluation, axes: Axes) -> None:
    """How often answers of each probability are right; on the diagonal a network is calibrated."""
    counts, confidence, accuracy = measures.reliability(evaluation).T.numpy()
    low, high = np.transpose([wilson(*one) for one in zip(accuracy.tolist(), counts.tolist(), strict=True)])
    axes.plot([0, 1], [0, 1], color=muted(), linewidth=0.8)
    for of_these, alpha in ((counts >= FEW, 1.0), (counts < FEW, 0.35)):
        x, y = confidence[of_these], accuracy[of_these]
        axes.vlines(x, low[of_these], high[of_these], color=style(0).colour, alpha=alpha, linewidth=1.2)
        axes.scatter(x, y, s=24, color=style(0).colour, alpha=alpha, linewidths=0, zorder=2, clip_on=False)
    axes.set(
        xlabel=f"mean probability of the answers\n(faded: fewer than {FEW} images)",
        ylabel="share that is right, 95 % interval",
        xlim=(0, 1.05),
        ylim=(0, 1.05),
        xticks=np.linspace(0, 1, 6),
        title=f"expected calibration error {100 * measures.calibration_error(evaluation):.2f} %",
    )


def class_errors(evaluation: Evaluation, axes: Axes) -> None:
    """The error rate of each class."""
    counts = measures.confusion(evaluation).sum(dim=1)
    present = counts.nonzero().flatten()
    errors = 100 * (1 - measures.recall(evaluation).double()[present])
    shares = zip((errors / 100).tolist(), counts[present].tolist(), strict=True)
    low, high = 100 * np.transpose([wilson(*one) for one in shares])
    axes.vlines(present, low, high, color=style(0).colour, linewidth=1.2)
    axes.scatter(present, errors, s=24, color=style(0).colour, zorder=2, clip_on=False)
    axes.grid(visible=False, axis="x")
    axes.set(xlabel="class", ylabel="wrong [%], 95 % interval", ylim=(0, 1.05 * max(1.0, float(high.max()))))
    axes.set_xlim(-0.5, len(counts) - 0.5)
    axes.set_title(f"{100 * (1 - evaluation.accuracy):.2f} % of all are wrong")
    _name_classes(axes, evaluation.classes)


def first_layer(network: nn.Module, image_spec: ImageSpec) -> Panel | None:
    """The panel of a network's first weights, an image for each unit or channel.

    None if they have no shape of an image, such as those of a recurrent layer.
    """
    weights = next(network.parameters(), torch.empty(0)).detach().float().cpu()
    if weights.ndim == 2 and weights.shape[1] == math.prod(image_spec.shape):
        weights = weights.view(-1, *image_spec.shape)
    elif not (weights.ndim == 4 and weights.shape[1] == image_spec.channels):
        return None
    return partial(filters, weights)


def filters(weights: Tensor, axes: Axes) -> None:
    """Weights (N, C, H, W) of the first layer; in colour images grey stands for 0."""
    count, channels, height, width = weights.shape
    columns, title = math.ceil(math.sqrt(count)), f"first layer: {count} filters of {height} x {width}"
    if channels == 1:
        _mosaic(axes, _to_show(weights), columns, [], cmap="RdBu")
        axes.set_title(f"{title}\nblue is positive")
    else:
        _mosaic(axes, _to_show(0.5 + weights / (2 * weights.abs().max())), columns, [])
        axes.set_title(title)


def _name_classes(axes: Axes, classes: Sequence[str]) -> None:
    """Name the classes along the lower edge, vertically if they would overlap."""
    names = _cut(classes)
    upright = sum(len(name) + 1 for name in names) > 33
    axes.set_xticks(range(len(names)), names, rotation=90 if upright else 0, fontsize=_size_of(LETTERS, classes))


def _cut(classes: Sequence[str], longest: int = LONGEST_NAME) -> list[str]:
    """The names, or their beginnings."""
    return [name if len(name) <= longest else f"{name[: longest - 1]}…" for name in classes]


def _size_of(most: float, classes: Sequence[str]) -> float:
    """The font size, in points, at which a number or name for each class fits."""
    return min(most, 12 * most / len(classes))


def _to_show(images: Tensor) -> NDArray[Any]:
    """Images (N, C, H, W) as matplotlib takes them: (N, H, W), or (N, H, W, 3) in colour."""
    array: NDArray[Any] = (images.squeeze(1) if images.shape[1] == 1 else images.permute(0, 2, 3, 1)).numpy()
    return array


def _mosaic(axes: Axes, images: NDArray[Any], columns: int, captions: Sequence[str], cmap: str = "gray") -> None:
    """Images (N, H, W) or (N, H, W, 3) in rows, as a single image: a panel for each would take seconds.

    With captions each gets a square, or for captions of two lines twice that width.
    """
    _, height, width, *colours = images.shape
    longer = max(height, width)
    gap = max(1, longer // 8)
    lines = max((1 + caption.count("\n") for caption in captions), default=0)
    head = lines * longer // 4 if lines else gap
    down, across = (head + longer, lines * longer + gap) if lines else (head + height, width + gap)
    rows = -(-len(images) // columns)
    mosaic = np.full((rows * down, columns * across, *([4] if colours else [])), 0.0 if colours else np.nan)
    for index, image in enumerate(images):
        top, left = index // columns * down + head, index % columns * across
        opaque = np.dstack([image, np.ones((height, width))]) if colours else image
        mosaic[top : top + height, left : left + width] = opaque
    limit = np.abs(images).max()
    axes.imshow(mosaic, cmap=cmap, vmin=-limit if images.min() < 0 else 0, vmax=limit)
    for index, caption in enumerate(captions):
        top, left = index // columns * down, index % columns * across
        axes.text(left, top + head - 1, caption, fontsize=SMALL, va="bottom")
    axes.set_axis_off()
