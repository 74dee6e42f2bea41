"""The benchmark's picture."""

from statistics import median

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from benchmarks.training.results import Results, rates, variants_of
from convblocks.evaluation.drawing import WIDTH, style


def performance_figure(results: Results) -> Figure:
    """Seconds an epoch of every variant, and steps a second against the batch size."""
    figure = Figure(figsize=(WIDTH, 4.6), layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    _bars(left, results)
    _lines(right, results)
    return figure


def _bars(axes: Axes, results: Results) -> None:
    archs = results.archs()
    variants = variants_of(results.epochs)
    width = 0.8 / len(variants)
    for number, variant in enumerate(variants):
        heights = [median(one.timing.epoch for one in results.of(variant, arch, "32-true")) for arch in archs]
        places = [index + (number - (len(variants) - 1) / 2) * width for index in range(len(archs))]
        bars = axes.bar(places, heights, width, color=style(number).colour, label=variant)
        axes.bar_label(bars, fmt="%.1f", fontsize=8)
    axes.set_xticks(range(len(archs)), archs)
    axes.set(yscale="log", ylabel="seconds an epoch with evaluation, 32 bit")
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=2)


def _lines(axes: Axes, results: Results) -> None:
    for number, arch in enumerate(results.archs()):
        for index, variant in enumerate(variants_of(results.growth)):
            found = rates(results, arch, variant)
            label = f"{arch}, {variant}"
            axes.plot(
                list(found),
                list(found.values()),
                style(index).line,
                color=style(number).colour,
                marker=style(number).marker,
                label=label,
            )
    sizes = sorted({one.case.batch_size for one in results.growth})
    axes.set(xscale="log", yscale="log", xlabel="images a step", ylabel="training steps a second")
    axes.set_xticks(sizes, map(str, sizes))
    axes.minorticks_off()
    axes.grid(alpha=0.3)
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=len(results.archs()), fontsize=8)
