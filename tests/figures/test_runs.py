"""Figures of runs show what the runs did: all of it, and nothing else."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Annotation, Text
from PIL import Image

from convblocks.comparison.analysis import compare
from convblocks.comparison.report import results_table
from convblocks.comparison.statistics import mean_interval
from convblocks.comparison.study.dead_units import dead_units_table
from convblocks.estimates import PERCENT, POINTS, Estimate
from convblocks.figures.curves import comparison_figure, dead_units_figure
from convblocks.figures.style import render, save_in_both_themes, style
from convblocks.figures.sweep import sweep_figure
from convblocks.runs.result import RunResult, by_arch
from tests.comparison.made_up import CHANCE, course, result, same_setting, swept

NETWORKS = ("mlp", "maxpool", "batchnorm")
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


def lines(axes: Axes, kind: str) -> list[Line2D]:
    return [line for line in axes.lines if line.get_gid() == kind]


def drawn_values(axes: Axes, kind: str = "runs", which: int = 1) -> list[float]:
    """All finite coordinates of what is drawn of that kind, sorted; ``which`` is 0 for x and 1 for y."""
    values = np.concatenate([np.asarray(line.get_data()[which], dtype=float) for line in lines(axes, kind)])
    return sorted(values[np.isfinite(values)].tolist())


def errors_of(results: Sequence[RunResult]) -> list[float]:
    return sorted(100 * (1 - one.accuracy) for one in results)


def at(results: Sequence[RunResult], **overrides: str) -> list[RunResult]:
    return [one for one in results if overrides.items() <= dict(one.overrides).items()]


def texts(figure: Figure | Artist) -> list[str]:
    return [text.get_text() for text in figure.findobj(Text) if text.get_text()]


# Error against learning rate.


@pytest.mark.parametrize("schedule", ["constant", "onecycle"])
def test_every_run_of_a_sweep_is_a_dot_at_its_error_collapsed_or_not(schedule: str) -> None:
    runs = swept()
    figure = sweep_figure(runs)
    (panel,) = [axes for axes in figure.axes if f"lr_scheduler={schedule}" in texts(axes)]
    assert drawn_values(panel) == pytest.approx(errors_of(at(runs, lr_scheduler=schedule)))
    low, high = panel.get_ylim()
    assert low < min(errors_of(runs))
    assert high == 100


def test_a_dot_stands_nearer_to_its_own_learning_rate_than_to_any_other() -> None:
    runs = swept(rates=("1e-3", "1e-2"), schedules=("constant",))
    above, _ = sweep_figure(runs).axes
    rates = np.concatenate([line.get_xdata() for line in lines(above, "runs")])
    assert sorted(np.round(rates).tolist()) == [-3.0] * 9 + [-2.0] * 9
    assert abs(rates - np.round(rates)).max() < 0.25


def test_the_lines_go_through_the_medians_of_all_runs() -> None:
    runs = swept(schedules=("constant",))
    above, _ = sweep_figure(runs).axes
    for arch, line in zip(NETWORKS, lines(above, "medians"), strict=True):
        own = [at(by_arch(runs)[arch], lr=rate) for rate in ("1e-4", "3e-4", "1e-3", "3e-3", "1e-2", "3e-2")]
        assert line.get_ydata() == pytest.approx([np.median(errors_of(here)) for here in own])


def test_of_an_even_number_of_runs_the_line_goes_through_the_worse_of_the_middle_two() -> None:
    runs = [result("mlp", seed, accuracy, (("lr", "1e-3"),)) for seed, accuracy in enumerate([0.97, CHANCE])]
    above, _ = sweep_figure(runs).axes
    (line,) = lines(above, "medians")
    assert line.get_ydata() == pytest.approx([100 * (1 - CHANCE)])


def test_the_strip_counts_the_collapsed_runs_of_each_network_at_each_rate() -> None:
    runs = [
        *(result("mlp", seed, 0.95, (("lr", "1e-3"),)) for seed in range(3)),
        *(result("mlp", seed, CHANCE, (("lr", "1e-2"),)) for seed in range(2)),
        result("maxpool", 0, 0.97, (("lr", "1e-2"),)),
        result("maxpool", 1, CHANCE, (("lr", "1e-2"),)),
    ]
    _, strip = sweep_figure(runs).axes
    assert [label.get_text() for label in strip.get_yticklabels()] == ["mlp", "maxpool"]
    cells = {tuple(text.get_position()): text.get_text() for text in strip.texts}
    assert cells == {(-3.0, 0): "0/3", (-2.0, 0): "2/2", (-2.0, 1): "1/2"}


def test_of_one_network_the_other_settings_are_the_curves() -> None:
    runs = by_arch(swept())["maxpool"]
    above, strip = sweep_figure(runs).axes
    assert len(lines(above, "medians")) == 2
    names = [label.get_text() for label in strip.get_yticklabels()]
    assert names == ["lr_scheduler=constant", "lr_scheduler=onecycle"]


def test_values_that_are_not_numbers_are_side_by_side() -> None:
    runs = [result("mlp", 0, 0.9, (("trainer.precision", value),)) for value in ("bf16-mixed", "32-true")]
    _, strip = sweep_figure(runs).axes
    assert strip.get_xlabel() == "trainer.precision"
    assert [label.get_text() for label in strip.get_xticklabels()] == ["bf16-mixed", "32-true"]


def test_an_interval_is_drawn_as_given_and_hollow_if_it_contains_0() -> None:
    *_, notebook, _ = sweep_figure(swept(schedules=("constant",)), DIFFERENCES).axes
    ends = [100 * end for one in DIFFERENCES["at the notebook's setting"].values() for end in (one.low, one.high)]
    assert drawn_values(notebook, "interval", which=0) == pytest.approx(sorted(ends))
    assert drawn_values(notebook, "estimate", which=0) == pytest.approx([-0.1, 1.75])
    dots = lines(notebook, "estimate")
    assert dots[0].get_markerfacecolor() == dots[0].get_color()
    assert dots[1].get_markerfacecolor() != dots[1].get_color()
    assert texts(notebook).count("+1.75 [+0.77, +2.75]") == 1


def test_an_infinite_interval_leaves_the_panel_and_an_unknown_one_is_not_drawn() -> None:
    *_, best = sweep_figure(swept(schedules=("constant",)), DIFFERENCES).axes
    assert tuple(drawn_values(best, "interval", which=0)) == best.get_xlim()
    assert [line.get_marker() for line in best.lines].count("<") == 1
    assert [line.get_marker() for line in best.lines].count(">") == 1
    assert {"+1.60", "+1.40"} <= set(texts(best))


# Learning curves and final errors.


def test_every_run_is_a_line_and_a_dot() -> None:
    runs = same_setting()
    loss, error, final = comparison_figure(runs).axes
    rows = [row for one in runs for row in one.epochs]
    assert drawn_values(loss) == pytest.approx(sorted(row["train/loss"] for row in rows))
    assert drawn_values(error) == pytest.approx(sorted(100 * (1 - row["test/acc"]) for row in rows))
    assert drawn_values(final, which=0) == pytest.approx(errors_of(runs))
    assert len(lines(loss, "runs")) == len(lines(error, "runs")) == 30


def test_the_dots_that_did_not_collapse_are_those_of_the_table() -> None:
    runs = same_setting()
    *_, final = comparison_figure(runs).axes
    table = results_table("Results", [compare(runs)])
    cells = {row[0]: dict(zip(table.columns, row, strict=True)) for row in table.rows}
    for arch, dots in zip(NETWORKS, lines(final, "runs"), strict=True):
        accuracies = [1 - float(error) / 100 for error in np.asarray(dots.get_xdata())]
        trained = [one for one in accuracies if one > CHANCE + 1e-9]
        assert cells[arch]["trained"].split()[0] == f"{len(trained)}/{len(accuracies)}"
        assert cells[arch]["accuracy\nif trained"].replace("\n", " ") == str(mean_interval(trained, PERCENT))


def test_medians_are_over_all_runs() -> None:
    runs = same_setting()
    loss, error, final = comparison_figure(runs).axes
    for arch, of_loss, of_error, of_final in zip(
        NETWORKS, lines(loss, "medians"), lines(error, "medians"), lines(final, "medians"), strict=True
    ):
        own = by_arch(runs)[arch]
        losses = np.median([[row["train/loss"] for row in one.epochs] for one in own], axis=0)
        accuracies = np.median([[row["test/acc"] for row in one.epochs] for one in own], axis=0)
        assert of_loss.get_ydata() == pytest.approx(losses)
        assert of_error.get_ydata() == pytest.approx(100 * (1 - accuracies))
        assert of_final.get_xdata() == pytest.approx([np.median(errors_of(own))] * 2)


def test_collapsed_runs_are_counted_and_dotted() -> None:
    loss, _, final = comparison_figure(same_setting()).axes
    assert [line.get_linestyle() for line in lines(loss, "runs")].count(":") == 2
    assert any("2 of 10 collapsed" in text for text in texts(final))


def with_losses(seed: int, *losses: float) -> RunResult:
    epochs = course(*[0.5] * len(losses))
    rows = tuple(row | {"train/loss": loss} for row, loss in zip(epochs, losses, strict=True))
    return result("mlp", seed, 0.5, epochs=rows)


def test_a_loss_that_is_not_finite_is_no_point_and_counts_as_the_worst() -> None:
    runs = [with_losses(0, 2.0, math.nan, math.nan), with_losses(1, 1.0, 0.6, math.inf), with_losses(2, 0.9, 0.5, 0.4)]
    loss, *_ = comparison_figure(runs).axes
    assert drawn_values(loss) == [0.4, 0.5, 0.6, 0.9, 1.0, 2.0]
    assert drawn_values(loss, "medians") == [0.6, 1.0]


def test_the_medians_end_with_the_shortest_run() -> None:
    loss, *_ = comparison_figure([with_losses(0, 0.9), with_losses(1, 0.7, 0.5)]).axes
    assert drawn_values(loss) == [0.5, 0.7, 0.9]
    assert drawn_values(loss, "medians") == [pytest.approx(0.8)]


def test_an_error_of_0_is_drawn() -> None:
    *_, final = comparison_figure([result("mlp", 0, 1.0), result("mlp", 1, 0.998)]).axes
    assert drawn_values(final, which=0) == pytest.approx([0, 0.2])
    assert final.get_xlim()[0] < 0


@pytest.mark.parametrize("epochs", [1, 2, 5])
def test_ticks_are_at_whole_epochs(epochs: int) -> None:
    runs = [replace(one, epochs=one.epochs[:epochs]) for one in same_setting(2)]
    figure = comparison_figure(runs)
    figure.draw_without_rendering()
    ticks = [tick for tick in figure.axes[0].get_xticks() if 0.5 <= tick <= epochs + 0.5]
    assert ticks == list(range(1, epochs + 1))


def test_names_are_beside_their_curves_and_do_not_overlap() -> None:
    runs = [replace(result("mlp", seed, 0.95), arch=f"network {n}") for n in range(7) for seed in range(2)]
    figure = comparison_figure(runs)
    figure.draw_without_rendering()
    names = [text for text in figure.axes[0].texts if isinstance(text, Annotation)]
    assert {name.get_text() for name in names} == {f"network {number}" for number in range(7)}
    boxes = sorted((Text.get_window_extent(name) for name in names), key=lambda box: box.y0)
    assert all(below.y1 <= above.y0 + 1 for below, above in pairwise(boxes))


# Dead units.


def test_every_layer_is_a_curve_with_its_name() -> None:
    runs = same_setting(4)
    maxpool = dead_units_figure(runs).axes[1]
    layers = ("dead/block 1", "dead/block 2", "dead/block 3")
    own = by_arch(runs)["maxpool"]
    assert drawn_values(maxpool) == sorted(row[layer] for one in own for row in one.epochs for layer in layers)
    for layer, line in zip(layers, lines(maxpool, "medians"), strict=True):
        assert line.get_ydata() == pytest.approx(np.median([[row[layer] for row in one.epochs] for one in own], axis=0))
    assert {"block 1", "block 2", "block 3"} <= set(texts(maxpool))


def test_the_curve_of_a_layer_ends_at_the_median_of_the_table() -> None:
    runs = at(swept(), lr="1e-2", lr_scheduler="constant")
    rows = dead_units_table(runs).rows
    for row, panel in zip(rows, dead_units_figure(runs).axes, strict=True):
        ends = [float(np.asarray(line.get_ydata())[-1]) for line in lines(panel, "medians")]
        assert [f"{100 * end:.0f}" for end in ends] == [cell.split()[0] for cell in row[3:] if cell != "-"]


def test_runs_without_dead_units_logged_have_no_figure_of_them() -> None:
    with pytest.raises(ValueError, match="no run logged its dead units"):
        dead_units_figure([with_losses(0, 0.5)])


# How it looks.

FIGURES: dict[str, Callable[[], Figure]] = {
    "sweep": partial(sweep_figure, swept(), DIFFERENCES),
    "comparison": partial(comparison_figure, same_setting()),
    "dead units": partial(dead_units_figure, same_setting(2)),
}


@pytest.mark.parametrize("name", FIGURES)
def test_letters_are_11_pixels_high_where_a_page_is_700_wide(name: str) -> None:
    figure = render(FIGURES[name])
    pixels = figure.dpi / 72 * 700 / figure.bbox.width
    assert pixels * min(float(text.get_fontsize()) for text in figure.findobj(Text)) >= 11


def test_a_picture_is_saved_on_white_and_on_black(tmp_path: Path) -> None:
    save_in_both_themes(FIGURES["dead units"], tmp_path / "units.png")
    corners = {}
    for name in ("units.png", "units-dark.png"):
        with Image.open(tmp_path / name) as image:
            assert image.width <= 1600
            corners[name] = image.convert("RGB").getpixel((0, 0))
    assert corners == {"units.png": (255, 255, 255), "units-dark.png": (13, 17, 23)}


def test_a_dozen_curves_look_different() -> None:
    assert len({style(index) for index in range(12)}) == 12
