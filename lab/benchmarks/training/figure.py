"""The picture of the cost of training, and the labels of what it shows."""

from itertools import chain
from statistics import median

from matplotlib import rcParams
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from convblocks.figures.curves import LOG_SCALE, wrapped
from convblocks.figures.style import WIDTH, foreground, log_axis, style
from convblocks.model.names import RECORDS
from lab.benchmarks.rows import Labels, Results
from lab.benchmarks.training.ways import LOADING_IMAGES


def training(variant: str, precision: str = "32-true", threads: str = "all") -> Labels:
    return {"part": "training", "variant": variant, "precision": precision, "threads": threads}


def archs_of(results: Results) -> list[str]:
    return results.different("arch", part="training")


def performance_figure(results: Results) -> Figure:
    """Seconds an epoch of every way to train, a panel for each network: every round a
    mark, the median a stroke.
    """
    archs = archs_of(results)
    figure = Figure(figsize=(WIDTH, 0.8 + 1.5 * len(archs)), layout="constrained")
    panels = figure.subplots(len(archs), 1, sharex=True, squeeze=False)[:, 0]
    shown = [_epochs(axes, results, arch) for axes, arch in zip(panels, archs, strict=True)]
    log_axis(panels[-1], "x", list(chain(*shown)))
    panels[-1].set_xlabel(
        f"seconds per epoch with evaluation, 32 bit{LOG_SCALE}; marks: rounds, strokes and "
        "numbers: medians"
    )
    return figure


def _epochs(axes: Axes, results: Results, arch: str) -> list[float]:
    """Draw a network's panel; all seconds."""
    look = style(RECORDS[arch].style)
    variants = [*LOADING_IMAGES, "bare", "fit"]
    shown: list[float] = []
    for row, variant in enumerate(variants):
        seconds = results.values("epoch", **training(variant), arch=arch)
        middle = median(seconds)
        axes.plot(
            seconds,
            [row] * len(seconds),
            look.marker,
            color=look.colour,
            markersize=6,
            markeredgecolor=rcParams["axes.facecolor"],
            markeredgewidth=0.5,
        )
        ends = [row - 0.35, row + 0.35]
        axes.plot([middle] * 2, ends, color=foreground(), linewidth=1.8, zorder=1.5)
        place = axes.get_yaxis_transform()
        axes.text(1.07, row, f"{middle:.2f}", ha="right", va="center_baseline", transform=place)
        shown.extend(seconds)
    axes.set_yticks(range(len(variants)), variants)
    times = results.ratio("epoch", training("notebook"), training("fit"), arch=arch).value
    title = f"{wrapped(arch)}: the notebook takes {times:.1f} times as long as fit"
    axes.set(ylim=(len(variants) - 0.5, -0.5), title=title)
    axes.tick_params(axis="y", length=0)
    return shown
