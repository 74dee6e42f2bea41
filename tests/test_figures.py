"""Every figure that the project draws can be read: in light and in dark, and as small as a page shows it."""

from collections.abc import Callable, Iterator
from contextlib import chdir
from dataclasses import replace
from functools import partial
from itertools import product
from random import Random

import numpy as np
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.container import BarContainer
from matplotlib.figure import Figure
from numpy.typing import ArrayLike
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from benchmarks.pages import read_raw_numbers
from benchmarks.rows import Results
from benchmarks.search import page as searches
from benchmarks.training.page import performance_figure
from convblocks.data.images import MNIST
from convblocks.figures.curves import comparison_figure, dead_units_figure
from convblocks.figures.evaluation import Panel, evaluation_panels, figure_of, first_layer
from convblocks.figures.search import Point, search_figure
from convblocks.figures.style import DARK, LIGHT, WIDTH, render
from convblocks.figures.sweep import sweep_figure
from convblocks.model.networks import ARCHITECTURES
from docs.comparisons import DATA
from tests.benchmarks.test_search import RESULTS
from tests.comparison.made_up import same_setting, swept
from tests.data.pictures import SHAPES
from tests.evaluation.test_evaluate import guesses
from tests.figures.test_runs import DIFFERENCES
from tests.looks import overlapping, places, shown

# What a page may leave a figure, in pixels of its width, and what a letter then needs of them.
PAGE, HIGH = 838, 11

# That of text and what is behind it, as the Web Content Accessibility Guidelines ask for (AA).
CONTRAST = 4.5


def panels(classes: tuple[str, ...], *shape: int) -> dict[str, Panel]:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (1000, *shape), dtype=torch.uint8, generator=generator)
    return evaluation_panels(guesses(classes), images)


def filters(arch: str) -> Figure:
    panel = first_layer(ARCHITECTURES[arch](), MNIST)
    assert panel
    return figure_of(panel)


def search() -> Figure:
    """Of trials of each kind, with options of each kind."""
    random = Random(0)
    dimensions = {
        "lr": FloatDistribution(1e-4, 0.1, log=True),
        "batch_size": CategoricalDistribution([32, 64, 128]),
        "network.width": IntDistribution(8, 64),
        "optimizer": CategoricalDistribution(["adam", "torch.optim.RAdam"]),
    }
    trials = [
        Point(
            number,
            error=100 if ended == "collapsed" else random.uniform(0.8, 12),
            ended=ended,
            params={
                "lr": 10 ** random.uniform(-4, -1),
                "batch_size": random.choice([32, 64, 128]),
                "network.width": random.randint(8, 64),
                "optimizer": random.choice(["adam", "torch.optim.RAdam"]),
            },
        )
        for number, ended in enumerate(["complete"] * 20 + ["pruned"] * 6 + ["collapsed"] * 2)
    ]
    return search_figure(trials, dimensions, {"lr": 0.7, "batch_size": 0.2, "network.width": 0.06, "optimizer": 0.04})


DIGITS = panels(MNIST.classes, 1, 28, 28)

FIGURES: dict[str, Callable[[], Figure]] = {
    "sweep": partial(sweep_figure, swept()),
    "sweep and differences": partial(sweep_figure, swept(), DIFFERENCES),
    "comparison": partial(comparison_figure, same_setting()),
    "one epoch": partial(comparison_figure, [replace(one, epochs=one.epochs[:1]) for one in same_setting()]),
    "dead units": partial(dead_units_figure, same_setting(2)),
    "digits": partial(figure_of, *DIGITS.values()),
    "shapes": partial(figure_of, *panels(tuple(SHAPES), 3, 32, 40).values()),
    "search": search,
    "searches": partial(searches.figure, RESULTS),
    "performance": lambda: performance_figure(read_raw_numbers(DATA, "performance", Results)),
}
# As TensorBoard shows them, one by one.
PANELS: dict[str, Callable[[], Figure]] = {
    **{name: partial(figure_of, panel) for name, panel in DIGITS.items()},
    **{f"filters of {arch}": partial(filters, arch) for arch in ("mlp", "maxpool")},
}
THEMES = {"light": LIGHT, "dark": DARK}
ALL = [*product(FIGURES, THEMES), *((name, "light") for name in PANELS)]


@pytest.fixture(scope="module", params=ALL, ids="-".join)
def figure(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Figure]:
    name, theme = request.param
    with chdir(tmp_path_factory.mktemp("figure")):
        made = render((FIGURES | PANELS)[name], THEMES[theme])
        made.canvas.draw()
        yield made


def test_it_is_at_most_1600_pixels_wide(figure: Figure) -> None:
    assert figure.bbox.width <= 1600


def test_letters_are_11_pixels_high_where_a_page_is_838_wide(figure: Figure) -> None:
    """A single panel is half as wide as a figure, and so shown on half of that."""
    assert figure.get_figwidth() in (WIDTH, WIDTH / 2)
    small = {text.get_text(): float(text.get_fontsize()) * PAGE / WIDTH / 72 for text, _ in shown(figure)}
    assert {text: pixels for text, pixels in small.items() if pixels < HIGH} == {}


def test_all_text_is_on_the_paper(figure: Figure) -> None:
    paper = figure.bbox.padded(1)
    corners = {text.get_text(): box.corners() for text, box in shown(figure)}
    assert [text for text, found in corners.items() if not all(paper.contains(*corner) for corner in found)] == []


def test_no_text_runs_into_another(figure: Figure) -> None:
    assert overlapping(figure) == []


def test_text_stands_out_from_what_is_behind_it(figure: Figure) -> None:
    assert isinstance(figure.canvas, FigureCanvasAgg)
    canvas = figure.canvas.buffer_rgba()  # type: ignore[no-untyped-call]
    pixels = np.asarray(canvas)[::-1, :, :3] / 255
    faint = {}
    for text, box in shown(figure):
        (left, low), (right, high) = np.maximum(np.floor(box.get_points()).astype(int), 0)
        behind = np.median(pixels[low : high + 1, left : right + 1].reshape(-1, 3), axis=0)
        found = contrast(to_rgb(text.get_color()), behind)
        if found < CONTRAST:
            faint[text.get_text()] = found
    assert faint == {}


def contrast(one: ArrayLike, other: ArrayLike) -> float:
    """That of two colours of sRGB, 0..1: from 1 to 21."""
    colours = np.array([one, other])
    linear = np.where(colours <= 0.04045, colours / 12.92, ((colours + 0.055) / 1.055) ** 2.4)
    dark, light = sorted(linear @ [0.2126, 0.7152, 0.0722])
    return float((light + 0.05) / (dark + 0.05))


def test_bars_stand_on_0_and_on_no_log_axis(figure: Figure) -> None:
    for axes in figure.axes:
        for bars in axes.containers:
            if isinstance(bars, BarContainer):
                axis = axes.yaxis if bars.orientation == "vertical" else axes.xaxis
                assert (axis.get_scale(), min(axis.get_view_interval())) == ("linear", 0)


def test_epochs_and_trials_are_whole(figure: Figure) -> None:
    for axes in figure.axes:
        if axes.get_xlabel() in ("epoch", "trial"):
            assert [place for place in places(axes.xaxis) if not place.is_integer()] == []
            assert places(axes.xaxis)
