"""Figures of runs show what the runs did: all of it, and nothing else."""

import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.text import Text
from PIL import Image

from convblocks.compare.sweep import sweep_figure
from convblocks.figures.curves import comparison_figure, dead_units_figure
from convblocks.figures.estimates import POINTS, Estimate
from convblocks.figures.grouping import by_arch
from convblocks.figures.style import save_in_both_themes, style
from convblocks.run.result import RunResult
from lab.intervals import intervals_figure
from lab.study.dead_units import dead_units_table
from tests.made_up import CHANCE, course, result, same_setting, swept

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
    return sorted(100 * (1 - one.score) for one in results)


def at(results: Sequence[RunResult], **overrides: str) -> list[RunResult]:
    return [one for one in results if overrides.items() <= dict(one.overrides).items()]


def texts(artist: Artist) -> list[str]:
    return [text.get_text() for text in artist.findobj(Text) if text.get_text()]


def test_every_run_of_a_sweep_is_a_dot_at_its_error_collapsed_or_not() -> None:
    runs = swept()
    constant, onecycle = sweep_figure(runs).axes
    for schedule, panel in (("constant", constant), ("onecycle", onecycle)):
        assert f"lr_scheduler={schedule}" in texts(panel)
        assert drawn_values(panel) == pytest.approx(errors_of(at(runs, lr_scheduler=schedule)))
        low, high = panel.get_ylim()
        assert low < min(errors_of(runs))
        assert high == 100


def test_a_dot_is_nearer_to_its_own_learning_rate_than_to_any_other() -> None:
    (panel,) = sweep_figure(swept(rates=("1e-3", "1e-2"), schedules=("constant",))).axes
    rates = np.concatenate([line.get_xdata() for line in lines(panel, "runs")])
    assert sorted(np.round(rates).tolist()) == [-3.0] * 9 + [-2.0] * 9
    assert abs(rates - np.round(rates)).max() < 0.25


@pytest.mark.parametrize("seeds", [3, 4])
def test_the_lines_go_through_the_medians_of_all_runs(seeds: int) -> None:
    runs = swept(schedules=("constant",), seeds=seeds)
    (panel,) = sweep_figure(runs).axes
    for arch, line in zip(NETWORKS, lines(panel, "medians"), strict=True):
        own = [at(by_arch(runs)[arch], lr=rate) for rate in ("1e-4", "3e-4", "1e-3", "3e-3", "1e-2", "3e-2")]
        assert line.get_ydata() == pytest.approx([np.median(errors_of(here)) for here in own])


def test_a_collapsed_run_is_a_cross_and_the_axis_says_so() -> None:
    accuracies = {("mlp", "1e-3"): [0.95] * 3, ("mlp", "1e-2"): [CHANCE] * 2, ("maxpool", "1e-2"): [0.97, CHANCE]}
    runs = [
        result(arch, seed, one, (("lr", lr),)) for (arch, lr), own in accuracies.items() for seed, one in enumerate(own)
    ]
    (panel,) = sweep_figure(runs).axes
    assert panel.get_ylabel() == "test error (x: collapsed)"
    crosses = [line for line in lines(panel, "runs") if line.get_marker() == "x"]
    errors = np.concatenate([np.asarray(line.get_ydata(), dtype=float) for line in crosses])
    assert errors == pytest.approx([100 * (1 - CHANCE)] * 3)
    assert all(line.get_markeredgewidth() > 0 for line in crosses)


def test_settings_are_shown_by_the_error_that_chooses_them() -> None:
    (panel,) = sweep_figure([result("mlp", 0, 0.9, (("lr", rate),), validation=0.8) for rate in ("1", "2")]).axes
    assert drawn_values(panel) == pytest.approx([20, 20])
    assert panel.get_ylabel() == "validation error"


def test_a_panel_may_have_another_title() -> None:
    constant, onecycle = sweep_figure(swept(), {"lr_scheduler=constant": "MaxPool wins"}).axes
    assert "MaxPool wins" in texts(constant)
    assert "lr_scheduler=onecycle" in texts(onecycle)


def test_of_one_network_the_other_settings_are_the_curves_and_values_that_are_not_numbers_side_by_side() -> None:
    values, schedules = ("bf16-mixed", "32-true"), ("constant", "onecycle")
    settings = [(("trainer.precision", value), ("lr_scheduler", one)) for one in schedules for value in values]
    (panel,) = sweep_figure([result("mlp", 0, 0.9, overrides) for overrides in settings]).axes
    assert len(lines(panel, "medians")) == 2
    assert {f"lr_scheduler={one}" for one in schedules} <= set(texts(panel))
    assert panel.get_xlabel() == "trainer.precision"
    assert [label.get_text() for label in panel.get_xticklabels()] == list(values)


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


def test_every_run_is_a_line_and_a_dot() -> None:
    runs = same_setting()
    loss, error, final = comparison_figure(runs).axes
    rows = [row for one in runs for row in one.epochs]
    assert drawn_values(loss) == pytest.approx(sorted(row["train/loss"] for row in rows))
    assert drawn_values(error) == pytest.approx(sorted(100 * (1 - row["test/acc"]) for row in rows))
    assert drawn_values(final, which=0) == pytest.approx(errors_of(runs))
    assert len(lines(loss, "runs")) == len(lines(error, "runs")) == 30
    assert [line.get_linestyle() for line in lines(loss, "runs")].count(":") == 2  # the collapsed ones
    assert any("2 of 10 collapsed" in text for text in texts(final))


def test_medians_are_over_all_runs() -> None:
    runs = same_setting()
    loss, error, final = comparison_figure(runs).axes
    medians = (lines(axes, "medians") for axes in (loss, error, final))
    for arch, of_loss, of_error, of_final in zip(NETWORKS, *medians, strict=True):
        own = by_arch(runs)[arch]
        losses = np.median([[row["train/loss"] for row in one.epochs] for one in own], axis=0)
        accuracies = np.median([[row["test/acc"] for row in one.epochs] for one in own], axis=0)
        assert of_loss.get_ydata() == pytest.approx(losses)
        assert of_error.get_ydata() == pytest.approx(100 * (1 - accuracies))
        assert of_final.get_xdata() == pytest.approx([np.median(errors_of(own))] * 2)


def with_losses(seed: int, *losses: float) -> RunResult:
    epochs = course(*[0.5] * len(losses))
    rows = tuple(row | {"train/loss": loss} for row, loss in zip(epochs, losses, strict=True))
    return result("mlp", seed, 0.5, epochs=rows)


@pytest.mark.parametrize(
    ("losses", "medians"),
    [([(2.0, math.nan, math.nan), (1.0, 0.6, math.inf), (0.9, 0.5, 0.4)], [0.6, 1.0]), ([(0.9,), (0.7, 0.5)], [0.8])],
)
def test_a_loss_that_is_not_finite_counts_as_the_worst_and_medians_end_with_the_shortest_run(
    losses: list[tuple[float, ...]], medians: list[float]
) -> None:
    loss, *_ = comparison_figure([with_losses(seed, *one) for seed, one in enumerate(losses)]).axes
    assert drawn_values(loss) == sorted(one for own in losses for one in own if math.isfinite(one))
    assert drawn_values(loss, "medians") == pytest.approx(medians)


def test_an_error_of_0_is_drawn() -> None:
    *_, final = comparison_figure([result("mlp", 0, 1.0), result("mlp", 1, 0.998)]).axes
    assert drawn_values(final, which=0) == pytest.approx([0, 0.2])
    assert final.get_xlim()[0] < 0


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


def test_runs_without_dead_units_logged_have_no_figure_of_them() -> None:
    with pytest.raises(ValueError, match="no run logged its dead units"):
        dead_units_figure([with_losses(0, 0.5)])


def test_a_picture_is_saved_on_white_and_on_black(tmp_path: Path) -> None:
    save_in_both_themes(partial(dead_units_figure, same_setting(2)), tmp_path / "units.png")
    corners = {path.name: Image.open(path).convert("RGB").getpixel((0, 0)) for path in tmp_path.iterdir()}
    assert corners == {"units.png": (255, 255, 255), "units-dark.png": (13, 17, 23)}


def test_a_network_has_its_colour_in_every_figure_and_layers_have_others() -> None:
    everything, alone = same_setting(2), by_arch(same_setting(2))["batchnorm"]
    colours = [
        [line.get_color() for line in lines(comparison_figure(runs).axes[0], "medians")] for runs in (everything, alone)
    ]
    assert colours[1] == colours[0][2:]
    panel = dead_units_figure(everything).axes[1]
    assert not {line.get_color() for line in lines(panel, "medians")} & set(colours[0])


def test_a_dozen_curves_look_different() -> None:
    assert len({style(index) for index in range(12)}) == 12
