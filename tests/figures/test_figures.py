"""The figures of reports can be read: nothing runs into anything else, or off the paper."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from matplotlib.figure import Figure

from convblocks.compare.figure import comparison_figure
from convblocks.data.images import MNIST
from convblocks.figures.panels import evaluation_charts
from convblocks.figures.style import render, themed
from tests.data.pictures import SHAPES
from tests.evaluate.test_evaluate import guesses
from tests.looks import overlapping, places, shown
from tests.made_up import result, same_setting, swept

LONG_NAMES = tuple(f"$a_$ {name}, a rather long name that is no formula" for name in SHAPES)


def evaluation(name: str, classes: tuple[str, ...], *shape: int) -> dict[str, Callable[[], Figure]]:
    images = torch.randint(0, 256, (1000, *shape), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    charts = evaluation_charts(guesses(classes), images)
    return {f"{end} of {name}": chart.draw for end, chart in charts.items()}


FIGURES: dict[str, Callable[[], Figure]] = {
    "comparison": partial(comparison_figure, same_setting()),
    "grid": partial(comparison_figure, swept(), ["lr", "lr_scheduler"]),
    "seven networks": partial(comparison_figure, [replace(result("mlp", 0, 0.9), arch=f"net {n}") for n in range(7)]),
    **evaluation("digits", MNIST.classes, 1, 28, 28),
    **evaluation("long names", LONG_NAMES, 3, 40, 16),
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
            if axes.get_xlabel() == "epoch":
                assert all(place.is_integer() for place in places(axes.xaxis))
