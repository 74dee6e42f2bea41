"""Every figure that the project draws can be read: in light and in dark, and as small as a page shows it."""

import math
from collections.abc import Callable, Iterator
from contextlib import chdir
from dataclasses import replace
from functools import partial
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib import rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.container import BarContainer
from matplotlib.figure import Figure
from numpy.typing import ArrayLike
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState, create_trial

from convblocks.compare.figure import comparison_figure, sweep_figure
from convblocks.data.images import MNIST
from convblocks.figures.estimates import POINTS, Estimate
from convblocks.figures.page import Chart, charts
from convblocks.figures.panels import evaluation_charts
from convblocks.figures.style import DARK, LIGHT, WIDTH, render, save, themed
from convblocks.search.figure import search_figure
from convblocks.search.space import Space
from lab.benchmarks.pages import read_raw_numbers
from lab.benchmarks.rows import Results
from lab.benchmarks.search import page as searches
from lab.benchmarks.training.figure import performance_figure
from lab.intervals import intervals_figure
from lab.pages.writing import DATA
from lab.study.dead_units import dead_units_figure
from tests.data.pictures import SHAPES
from tests.evaluate.test_evaluate import guesses
from tests.looks import overlapping, places, shown
from tests.made_up import result, same_setting, swept

# What a page may leave a figure, in pixels of its width, and what a letter then needs of them. Figures of runs are
# drawn for less, as they have no small letters.
PAGE, HIGH = 838, 11
NARROW = dict.fromkeys(["sweep and differences", "comparison", "dead units"], 700)

# That of text and what is behind it, as the Web Content Accessibility Guidelines ask for (AA).
CONTRAST = 4.5

LONG_NAMES = tuple(f"$a_$ {name}, a rather long name that is no formula" for name in SHAPES)


def evaluation(name: str, classes: tuple[str, ...], *shape: int) -> dict[str, Callable[[], Figure]]:
    images = torch.randint(0, 256, (1000, *shape), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    charts = evaluation_charts(guesses(classes), images)
    return {f"{end} of {name}": chart.draw for end, chart in charts.items()}


def search() -> Figure:
    """Of trials of each kind, with options of each kind."""
    dimensions: Space = {
        "lr": FloatDistribution(1e-4, 0.1, log=True),
        "batch_size": CategoricalDistribution(["32", "64", "128"]),
        "network.width": IntDistribution(8, 64),
        "optimizer": CategoricalDistribution(["adam", "torch.optim.RAdam"]),
    }
    settings = [
        dict(zip(dimensions, (lr, "32", 8, "torch.optim.RAdam"), strict=True)) for lr in np.geomspace(1e-4, 0.1)
    ]
    settings.append(settings[0] | {"network.width": 64, "optimizer": "adam"})
    trials = []
    for number, params in enumerate(settings):
        collapsed = number == len(settings) - 1
        trial = create_trial(
            state=TrialState.PRUNED if number % 4 or collapsed else TrialState.COMPLETE,
            params=params,
            distributions={**dimensions},
            value=0.0 if collapsed else 0.992 - number / 200,
            user_attrs={"collapsed": True} if collapsed else {},
        )
        trial.number = number
        trials.append(trial)
    return search_figure(trials, dimensions)


DIFFERENCES = {
    "at the notebook's setting": {
        "maxpool - mlp": Estimate(0.0175, 0.0077, 0.0275, unit=POINTS),
        "batchnorm - mlp": Estimate(-0.001, -0.004, 0.002, unit=POINTS),
    },
    "each at its own best setting": {"maxpool - mlp": Estimate(0.016, -math.inf, math.inf, unit=POINTS)},
}

FIGURES: dict[str, Callable[[], Figure]] = {
    "sweep": partial(sweep_figure, swept()),
    "differences": partial(intervals_figure, DIFFERENCES, "points"),
    "comparison": partial(comparison_figure, same_setting()),
    "one epoch": partial(comparison_figure, [replace(one, epochs=one.epochs[:1]) for one in same_setting()]),
    "seven networks": partial(comparison_figure, [replace(result("mlp", 0, 0.9), arch=f"net {n}") for n in range(7)]),
    "dead units": partial(dead_units_figure, same_setting(2)),
    **evaluation("digits", MNIST.classes, 1, 28, 28),
    **evaluation("shapes", tuple(SHAPES), 3, 32, 40),
    **evaluation("long names", LONG_NAMES, 3, 40, 16),
    **evaluation("two long names", LONG_NAMES[:2], 1, 28, 28),
    "search": search,
    "searches": lambda: searches.figure(read_raw_numbers(DATA, "search", Results)),
    "performance": lambda: performance_figure(read_raw_numbers(DATA, "performance", Results)),
}
THEMES = {"light": LIGHT, "dark": DARK}


# The other theme differs in its colours alone.
CASES = [
    pytest.param((name, theme), id=f"{name}-{theme}", marks=[pytest.mark.nightly] if theme == "dark" else [])
    for name, theme in product(FIGURES, THEMES)
]


@pytest.fixture(scope="module", params=CASES)
def figure(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Figure]:
    name, theme = request.param
    with chdir(tmp_path_factory.mktemp("figure")), themed(THEMES[theme]):
        made = render(FIGURES[name])
        made.canvas.draw()
        yield made


def test_it_is_at_most_1600_pixels_wide_and_letters_are_11_pixels_high_on_a_page(
    figure: Figure, request: pytest.FixtureRequest
) -> None:
    name = request.node.callspec.params["figure"][0]
    assert figure.bbox.width <= 1600
    assert figure.get_figwidth() == (WIDTH / 2 if " of " in name else WIDTH)  # two stand side by side
    page = NARROW.get(name, PAGE)
    small = {text.get_text(): float(text.get_fontsize()) * page / WIDTH / 72 for text, _ in shown(figure)}
    assert {text: pixels for text, pixels in small.items() if pixels < HIGH} == {}


def test_all_text_is_on_the_paper_and_none_runs_into_another(figure: Figure) -> None:
    paper = figure.bbox.padded(1)
    corners = {text.get_text(): box.corners() for text, box in shown(figure)}
    assert [text for text, found in corners.items() if not all(paper.contains(*corner) for corner in found)] == []
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


def test_bars_begin_at_0_on_no_log_axis_and_epochs_and_trials_are_whole(figure: Figure) -> None:
    for axes in figure.axes:
        for bars in axes.containers:
            if isinstance(bars, BarContainer):
                axis = axes.yaxis if bars.orientation == "vertical" else axes.xaxis
                assert (axis.get_scale(), min(axis.get_view_interval())) == ("linear", 0)
        if axes.get_xlabel() in ("epoch", "trial"):
            assert [place for place in places(axes.xaxis) if not place.is_integer()] == []
            assert places(axes.xaxis)


def test_a_figure_needs_neither_latex_nor_every_letter(tmp_path: Path) -> None:
    """A matplotlibrc may ask for LaTeX; what is missing is no warning, which would be an error here."""

    def draw() -> Figure:
        figure = Figure()
        figure.subplots().set_title("a_b \u65e5\u672c")
        return figure

    with rc_context({"text.usetex": True}):
        save(draw, tmp_path / "figure.png")
        assert "a_b \u65e5\u672c" in charts([Chart(draw, "caption")])
    assert (tmp_path / "figure.png").is_file()
