"""The figures of reports can be read: nothing runs into anything else, or off the paper."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib import rc_context
from matplotlib.figure import Figure
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState, create_trial

from convblocks.compare.figure import comparison_figure
from convblocks.data.images import MNIST
from convblocks.figures.page import Chart, page
from convblocks.figures.panels import evaluation_charts
from convblocks.figures.style import render, save, themed
from convblocks.search.figure import search_figure
from tests.data.pictures import SHAPES
from tests.evaluate.test_evaluate import guesses
from tests.looks import overlapping, places, shown
from tests.made_up import result, same_setting, swept

LONG_NAMES = tuple(f"$a_$ {name}, a rather long name that is no formula" for name in SHAPES)


def evaluation(name: str, classes: tuple[str, ...], *shape: int) -> dict[str, Callable[[], Figure]]:
    images = torch.randint(0, 256, (1000, *shape), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    charts = evaluation_charts(guesses(classes), images)
    return {f"{end} of {name}": chart.draw for end, chart in charts.items()}


def search() -> Figure:
    """Of trials of each kind, with options of each kind."""
    dimensions: dict[str, BaseDistribution] = {
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
            distributions=dimensions,
            value=0.0 if collapsed else 0.992 - number / 200,
            user_attrs={"collapsed": True} if collapsed else {},
        )
        trial.number = number
        trials.append(trial)
    return search_figure(trials, dimensions)


FIGURES: dict[str, Callable[[], Figure]] = {
    "comparison": partial(comparison_figure, same_setting()),
    "grid": partial(comparison_figure, swept(), ["lr", "lr_scheduler"]),
    "seven networks": partial(comparison_figure, [replace(result("mlp", 0, 0.9), arch=f"net {n}") for n in range(7)]),
    **evaluation("digits", MNIST.classes, 1, 28, 28),
    **evaluation("long names", LONG_NAMES, 3, 40, 16),
    "search": search,
}


@pytest.mark.parametrize("name", FIGURES)
def test_figure_has_all_text_on_the_paper_and_none_runs_into_another(name: str, workspace: Path) -> None:
    with themed():
        figure = render(FIGURES[name])
        figure.canvas.draw()
        paper = figure.bbox.padded(1)
        corners = {text.get_text(): box.corners() for text, box in shown(figure)}
        beyond = [text for text, points in corners.items() if not all(paper.contains(*corner) for corner in points)]
        assert (beyond, overlapping(figure)) == ([], [])
        for axes in figure.axes:
            if axes.get_xlabel() in ("epoch", "trial"):
                assert all(place.is_integer() for place in places(axes.xaxis))


def test_figure_needs_neither_latex_nor_every_letter(tmp_path: Path) -> None:
    """A matplotlibrc may ask for LaTeX; what is missing is no warning, which would be an error here."""

    def draw() -> Figure:
        figure = Figure()
        figure.subplots().set_title("a_b \u65e5\u672c")
        return figure

    with rc_context({"text.usetex": True}):
        save(draw, tmp_path / "figure.png")
        assert "a_b \u65e5\u672c" in page("", "", [Chart(draw, "caption")], "")
    assert (tmp_path / "figure.png").is_file()
