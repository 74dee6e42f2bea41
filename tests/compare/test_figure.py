"""The figures of comparisons show what the runs did, and the numbers of the tables."""

import math

import numpy as np
import pytest
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.text import Text

from convblocks.compare.analysis import compare
from convblocks.compare.figure import comparison_figure
from convblocks.run.result import RunResult
from tests.made_up import CHANCE, as_claimed, course, result


def lines(axes: Axes, kind: str) -> list[Line2D]:
    return [line for line in axes.lines if line.get_gid() == kind]


def drawn_values(axes: Axes, kind: str = "runs", which: int = 1) -> list[float]:
    """All finite coordinates of what is drawn of that kind, sorted; ``which`` is 0 for
    x and 1 for y.
    """
    values = np.concatenate(
        [np.asarray(line.get_data()[which], dtype=float) for line in lines(axes, kind)]
    )
    return sorted(values[np.isfinite(values)].tolist())


def texts(artist: Artist) -> list[str]:
    return [text.get_text() for text in artist.findobj(Text) if text.get_text()]


def test_figure_has_a_line_and_a_dot_for_every_run() -> None:
    runs = [result(run.arch, run.seed, run.score) for run in as_claimed(10, collapsed=2)]
    figure = comparison_figure(runs)
    loss, error, final = figure.axes
    rows = [row for run in runs for row in run.epochs]
    assert drawn_values(loss) == pytest.approx(sorted(row["train/loss"] for row in rows))
    assert drawn_values(error) == pytest.approx(sorted(100 * (1 - row["test/acc"]) for row in rows))
    assert drawn_values(final, which=0) == pytest.approx(
        sorted(100 * (1 - run.score) for run in runs)
    )
    assert len(lines(loss, "runs")) == len(lines(error, "runs")) == 30
    dotted = [line for line in lines(loss, "runs") if line.get_linestyle() == ":"]
    assert len(dotted) == 2  # the collapsed ones
    assert {"MaxPool", "  2 of 10 collapsed"} <= set(texts(final))
    label = "thick lines: means of the runs that trained; dotted: runs that collapsed"
    assert label in texts(figure)


def test_figure_has_the_means_of_the_table() -> None:
    runs = [result(run.arch, run.seed, run.score) for run in as_claimed(10, collapsed=2)]
    loss, error, final = comparison_figure(runs).axes
    means = [lines(axes, "means") for axes in (loss, error, final)]
    intervals = lines(final, "intervals")
    for arm, of_loss, of_error, of_final, interval in zip(
        compare(runs).arms, *means, intervals, strict=True
    ):
        assert arm.score
        wrong = [100 * (1 - score) for score in (arm.score.value, arm.score.low, arm.score.high)]
        own = [run for run in runs if run.arch == arm.arch and not run.failed]
        losses = [run.epochs[-1]["train/loss"] for run in own]
        assert of_loss.get_ydata()[-1] == pytest.approx(np.mean(losses))
        assert of_error.get_ydata()[-1] == pytest.approx(wrong[0])
        assert of_final.get_xdata() == pytest.approx([wrong[0]] * 2)
        assert interval.get_xdata() == pytest.approx(wrong[1:])


@pytest.mark.parametrize(("epochs", "panels"), [(2, 1), (3, 3)])
def test_figure_has_curves_from_three_epochs_on_and_says_above_what_it_shows(
    epochs: int, panels: int
) -> None:
    runs = [result(arch, 0, 0.95, epochs=course(*[0.95] * epochs)) for arch in ("mlp", "maxpool")]
    figure = comparison_figure(runs, finding="They are alike")
    assert [axes.get_title() for axes in figure.axes] == ["They are alike", *[""] * (panels - 1)]
    assert all(axes.get_xlabel() for axes in figure.axes)


def test_figure_of_a_grid_has_the_final_scores_at_each_setting() -> None:
    settings = [("mlp", "1e-3"), ("mlp", "1e-2"), ("maxpool", "1e-3")]
    runs = [
        result(arch, seed, 0.9 + 0.01 * seed, (("lr", rate),))
        for arch, rate in settings
        for seed in range(3)
    ]
    (final,) = comparison_figure(runs, ["lr"]).axes
    assert drawn_values(final, which=0) == pytest.approx(
        sorted(100 * (1 - run.score) for run in runs)
    )
    assert {"MLP\nlr 1e-3", "MLP\nlr 1e-2", "MaxPool\nlr 1e-3"} <= set(texts(final))


def test_figure_has_no_mean_of_a_network_that_never_trained() -> None:
    runs = [result("mlp", 0, 0.95), *(result("maxpool", n, CHANCE) for n in (0, 1))]
    loss, error, final = comparison_figure(runs).axes
    for panel in (loss, error, final):
        assert len(lines(panel, "means")) == 1
    assert all("MaxPool" in texts(panel) for panel in (loss, error))


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
def test_figure_has_no_point_of_a_loss_that_is_not_finite_and_means_end_with_the_shortest_run(
    losses: list[tuple[float, ...]], means: list[float]
) -> None:
    panel, *_ = comparison_figure(
        [with_losses(seed, *course) for seed, course in enumerate(losses)]
    ).axes
    assert drawn_values(panel) == sorted(
        loss for course in losses for loss in course if math.isfinite(loss)
    )
    assert drawn_values(panel, "means") == pytest.approx(means)


def test_figure_has_a_point_at_an_error_of_0() -> None:
    *_, final = comparison_figure([result("mlp", 0, 1.0), result("mlp", 1, 0.998)]).axes
    assert drawn_values(final, which=0) == pytest.approx([0, 0.2])
    assert final.get_xlim()[0] < 0
