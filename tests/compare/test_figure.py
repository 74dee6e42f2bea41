"""The figures of comparisons show what the runs did, and the numbers of the tables."""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.text import Text

from convblocks.compare.analysis import compare
from convblocks.compare.figure import comparison_figure, sweep_figure
from convblocks.figures.grouping import by_arch
from convblocks.run.result import RunResult
from tests.made_up import CHANCE, course, result, same_setting, swept

NETWORKS = ("mlp", "maxpool", "batchnorm")


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


def lost(run: RunResult) -> bool:
    return run.arch == "maxpool" and dict(run.overrides)["lr"] in ("3e-3", "3e-2")


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


@pytest.mark.parametrize("is_validated", [False, True])
def test_the_lines_go_through_the_means_of_the_runs_that_trained(is_validated: bool) -> None:
    """Where none has there is a gap, or no line to the end."""
    runs = [replace(one, failed=one.failed or lost(one)) for one in swept(schedules=("constant",))]
    shown = runs
    if is_validated:
        shown = [
            result(one.arch, one.seed, 0.5, one.overrides, validation=one.score, failed=one.failed) for one in runs
        ]
    (panel,) = sweep_figure(shown).axes
    for arch, line in zip(NETWORKS, lines(panel, "means"), strict=True):
        own = [at(by_arch(runs)[arch], lr=rate) for rate in ("1e-4", "3e-4", "1e-3", "3e-3", "1e-2", "3e-2")]
        trained = [[one for one in here if not one.failed] for here in own]
        means = [np.mean(errors_of(here)) if here else math.nan for here in trained]
        assert line.get_ydata() == pytest.approx(means, nan_ok=True)
        assert arch in texts(panel)


def test_a_collapsed_run_is_a_cross_and_the_figure_says_so() -> None:
    accuracies = {("mlp", "1e-3"): [0.95] * 3, ("mlp", "1e-2"): [CHANCE] * 2, ("maxpool", "1e-2"): [0.97, CHANCE]}
    runs = [
        result(arch, seed, one, (("lr", lr),)) for (arch, lr), own in accuracies.items() for seed, one in enumerate(own)
    ]
    figure = sweep_figure(runs)
    (panel,) = figure.axes
    assert panel.get_ylabel() == "test error"
    assert "marks: runs, side by side (x: collapsed); lines: means of the runs that trained" in texts(figure)
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


def test_values_that_are_not_numbers_stand_side_by_side() -> None:
    values = ("bf16-mixed", "32-true")
    (panel,) = sweep_figure([result("mlp", 0, 0.9, (("trainer.precision", value),)) for value in values]).axes
    assert panel.get_xlabel() == "trainer.precision"
    assert [label.get_text() for label in panel.get_xticklabels()] == list(values)


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


def test_means_are_those_of_the_table_and_intervals_too() -> None:
    runs = same_setting()
    loss, error, final = comparison_figure(runs).axes
    means = (lines(axes, "means") for axes in (loss, error, final))
    for arm, of_loss, of_error, of_final, interval in zip(
        compare(runs).arms, *means, lines(final, "intervals"), strict=True
    ):
        assert arm.score
        assert arm.last_loss
        wrong = [100 * (1 - score) for score in (arm.score.value, arm.score.low, arm.score.high)]
        assert of_loss.get_ydata()[-1] == pytest.approx(arm.last_loss)
        assert of_error.get_ydata()[-1] == pytest.approx(wrong[0])
        assert of_final.get_xdata() == pytest.approx([wrong[0]] * 2)
        assert interval.get_xdata() == pytest.approx(wrong[1:])
    assert {"maxpool", "  2 of 10 collapsed"} <= set(texts(final))
    assert "thick lines: means of the runs that trained; dotted: runs that collapsed" in texts(comparison_figure(runs))


def test_a_network_of_which_no_run_trained_has_a_name_but_no_mean() -> None:
    loss, error, final = comparison_figure(
        [result("mlp", 0, 0.95), *(result("maxpool", n, CHANCE) for n in (0, 1))]
    ).axes
    for panel in (loss, error, final):
        assert len(lines(panel, "means")) == 1
    assert all("maxpool" in texts(panel) for panel in (loss, error))


def test_one_or_two_epochs_are_no_curve() -> None:
    (final,) = comparison_figure([result("mlp", seed, 0.9, epochs=course(0.8, 0.9)) for seed in range(3)]).axes
    assert drawn_values(final, which=0) == pytest.approx([10] * 3)


def with_losses(seed: int, *losses: float) -> RunResult:
    epochs = course(*[0.5] * len(losses))
    rows = tuple(row | {"train/loss": loss} for row, loss in zip(epochs, losses, strict=True))
    return result("mlp", seed, 0.5, epochs=rows)


@pytest.mark.parametrize(
    ("losses", "means"),
    [
        ([(2.0, math.nan, 0.5), (1.0, math.inf, 0.4), (0.9, 0.5, 0.3)], [0.4, 1.3]),
        ([(0.9, 0.7, 0.6), (0.7, 0.5, 0.4, 0.3)], [0.5, 0.6, 0.8]),
    ],
)
def test_a_loss_that_is_not_finite_is_no_point_and_means_end_with_the_shortest_run(
    losses: list[tuple[float, ...]], means: list[float]
) -> None:
    loss, *_ = comparison_figure([with_losses(seed, *one) for seed, one in enumerate(losses)]).axes
    assert drawn_values(loss) == sorted(one for own in losses for one in own if math.isfinite(one))
    assert drawn_values(loss, "means") == pytest.approx(means)


def test_an_error_of_0_is_drawn() -> None:
    *_, final = comparison_figure([result("mlp", 0, 1.0), result("mlp", 1, 0.998)]).axes
    assert drawn_values(final, which=0) == pytest.approx([0, 0.2])
    assert final.get_xlim()[0] < 0


def test_a_registered_network_has_its_colour_in_every_figure() -> None:
    everything, alone = same_setting(2), by_arch(same_setting(2))["batchnorm"]
    colours = [
        [line.get_color() for line in lines(comparison_figure(runs).axes[0], "means")] for runs in (everything, alone)
    ]
    assert colours[1] == colours[0][2:]
