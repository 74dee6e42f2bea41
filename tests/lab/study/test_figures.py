"""The figures of the study: intervals, dead units, and pictures in both themes."""

import math
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from convblocks.compare.figure import comparison_figure
from convblocks.figures.curves import metric_figure
from convblocks.figures.estimates import POINTS, Estimate
from convblocks.figures.grouping import by_arch
from convblocks.figures.style import style
from convblocks.model.networks import ARCHITECTURES
from lab.benchmarks.pages import save_in_both_themes
from lab.intervals import intervals_figure
from lab.study.dead_units import dead_units_figure, dead_units_table
from tests.compare.test_figure import at, drawn_values, lines, texts
from tests.made_up import same_setting, swept

DIFFERENCES = {
    "at the notebook's setting": {
        "maxpool - mlp": Estimate(0.0175, 0.0077, 0.0275, unit=POINTS),
        "batchnorm - mlp": Estimate(-0.001, -0.004, 0.002, unit=POINTS),
    },
    "each at its own best setting": {
        "maxpool - mlp": Estimate(0.016, -math.inf, math.inf, unit=POINTS),
        "batchnorm - mlp": Estimate(0.014, math.nan, math.nan, unit=POINTS),
    },
}


def test_an_interval_is_drawn_as_given_and_hollow_if_it_contains_0() -> None:
    notebook, best = intervals_figure(DIFFERENCES, "points").axes
    assert drawn_values(notebook, "interval", which=0) == pytest.approx([-0.4, 0.2, 0.77, 2.75])
    assert drawn_values(notebook, "estimate", which=0) == pytest.approx([-0.1, 1.75])
    full, hollow = lines(notebook, "estimate")
    assert full.get_markerfacecolor() == full.get_color()
    assert hollow.get_markerfacecolor() != hollow.get_color()
    assert texts(notebook).count("+1.75 [+0.77, +2.75]") == 1
    # An infinite one leaves the panel, and an unknown one is not drawn.
    assert tuple(drawn_values(best, "interval", which=0)) == best.get_xlim() == notebook.get_xlim()
    markers = [line.get_marker() for line in best.lines]
    assert (markers.count("<"), markers.count(">")) == (1, 1)
    assert {"+1.60", "+1.40"} <= set(texts(best))


def test_every_layer_is_a_curve_with_its_name_that_ends_at_the_median_of_the_table() -> None:
    runs = at(swept(), lr="1e-2", lr_scheduler="constant")
    figure = dead_units_figure(runs)
    maxpool, own = figure.axes[1], by_arch(runs)["maxpool"]
    layers = ("dead/block 1", "dead/block 2", "dead/block 3")
    assert drawn_values(maxpool) == sorted(row[layer] for one in own for row in one.epochs for layer in layers)
    assert {"block 1", "block 2", "block 3"} <= set(texts(maxpool))
    for row, panel in zip(dead_units_table(runs).rows, figure.axes, strict=True):
        ends = [float(np.asarray(line.get_ydata())[-1]) for line in lines(panel, "medians")]
        assert [f"{100 * end:.0f}" for end in ends] == [cell.split()[0] for cell in row[3:] if cell != "-"]


def test_layers_have_other_colours_than_networks_and_keep_them_when_a_network_is_registered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    runs = same_setting(2)
    run = by_arch(runs)["maxpool"][0]
    colours = [line.get_color() for line in lines(dead_units_figure(runs).axes[1], "medians")]
    assert not set(colours) & {line.get_color() for line in lines(comparison_figure(runs).axes[0], "means")}
    monkeypatch.setitem(ARCHITECTURES, "one more", ARCHITECTURES["mlp"])
    (panel,) = metric_figure(run, "dead").axes
    assert [line.get_color() for line in lines(panel, "medians")] == colours


def test_a_picture_is_saved_on_white_and_on_black(tmp_path: Path) -> None:
    save_in_both_themes(partial(dead_units_figure, same_setting(2)), tmp_path / "units.png")
    corners = {path.name: Image.open(path).convert("RGB").getpixel((0, 0)) for path in tmp_path.iterdir()}
    assert corners == {"units.png": (255, 255, 255), "units-dark.png": (13, 17, 23)}


def test_a_dozen_curves_look_different() -> None:
    assert len({style(index) for index in range(12)}) == 12
