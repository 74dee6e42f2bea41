"""The benchmark's picture."""

from collections.abc import Mapping
from statistics import median

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.training.case import Variant
from benchmarks.training.results import Results, rates, variants_of
from convblocks.figures.style import WIDTH, End, Style, foreground, label_ends, log_axis, style


def performance_figure(results: Results) -> Figure:
    """A row for each network: seconds an epoch of every way to train, and images a second by batch size."""
    variants = dict.fromkeys(variants_of(results.epochs) + variants_of(results.growth))
    looks = {variant: style(number) for number, variant in enumerate(variants)}
    archs = results.archs()
    figure = Figure(figsize=(WIDTH, 0.8 + 2.1 * len(archs)), layout="constrained")
    axes = figure.subplots(len(archs), 2, sharex="col", squeeze=False)
    for panel, arch in zip(axes[:, 0], archs, strict=True):
        _epochs(panel, results, arch, looks)
    panels = [(panel, _growth(panel, results, arch, looks)) for panel, arch in zip(axes[:, 1], archs, strict=True)]
    left, right = axes[-1]
    log_axis(left, "x", [one.timing.epoch for one in results.epochs if one.case.precision == "32-true"])
    left.set_xlabel("seconds an epoch with evaluation, 32 bit")
    sizes = sorted({one.case.batch_size for one in results.growth})
    right.set(xscale="log", xlabel="images a step")
    right.set_xticks(sizes, map(str, sizes))
    right.minorticks_off()
    label_ends(figure, panels)
    return figure


def _epochs(axes: Axes, results: Results, arch: str, looks: Mapping[Variant, Style]) -> None:
    """Every round a dot, the median a stroke with its number beside it."""
    variants = variants_of(results.epochs)
    for row, variant in enumerate(variants):
        look = looks[variant]
        seconds = [one.timing.epoch for one in results.of(variant, arch, "32-true")]
        axes.plot(seconds, [row] * len(seconds), look.marker, color=look.colour, markersize=6, alpha=0.75, gid="rounds")
        middle = median(seconds)
        axes.plot([middle] * 2, [row - 0.35, row + 0.35], color=foreground(), linewidth=1.8, gid="medians")
        axes.text(1.02, row, f"{middle:.1f}", transform=axes.get_yaxis_transform(), va="center")
    axes.set_yticks(range(len(variants)), variants)
    axes.set(ylim=(len(variants) - 0.5, -0.5), title=arch)
    axes.tick_params(axis="y", length=0)


def _growth(axes: Axes, results: Results, arch: str, looks: Mapping[Variant, Style]) -> list[End]:
    """A curve for each way to train; in images, since the steps of large batches are few in any way."""
    ends: list[End] = []
    shown: list[float] = []
    for variant in variants_of(results.growth):
        look = looks[variant]
        found = rates(results, arch, variant)
        images = [size * rate for size, rate in found.items()]
        axes.plot(list(found), images, look.line, color=look.colour, marker=look.marker, gid="rates")
        ends.append(End(variant, list(found)[-1], images[-1], look.colour))
        shown += images
    log_axis(axes, "y", shown, most=5)
    axes.set_ylabel("images a second")
    return ends
