"""The figures of comparisons show what the runs did, and the numbers of the tables."""

import math
from functools import partial
from itertools import pairwise

import numpy as np
import pytest
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.text import Text

from convblocks.compare.analysis import compare
from convblocks.compare.figure import comparison_figure, curves_of_networks
from convblocks.figures.style import NARROW, OTHERS, WIDTH, render, style
from convblocks.model.names import RECORDS
from convblocks.record.result import RunResult
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
    assert "MaxPool\n2 of 10 collapsed" in texts(final)
    label = "thick lines: means of the runs that trained; dotted: runs that collapsed"
    assert label in texts(figure)


def test_marks_of_runs_are_opaque_with_an_edge_of_paper_unless_they_collapsed() -> None:
    runs = [result(run.arch, run.seed, run.score) for run in as_claimed(10, collapsed=2)]
    marks = lines(comparison_figure(runs).axes[-1], "runs")
    assert {mark.get_alpha() for mark in marks} == {None}
    for mark in marks:
        is_cross = mark.get_marker() == "x"
        assert (mark.get_markeredgecolor() == mark.get_color()) == is_cross


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


def test_run_as_tuned_has_the_score_that_chooses_a_setting() -> None:
    run = result("mlp", 0, 0.97, validation=0.96)
    tuned = run.as_tuned()
    assert (tuned.score_name, tuned.score) == ("validation accuracy", 0.96)
    untuned = result("mlp", 0, 0.97)
    assert untuned.as_tuned() == untuned
    (final,) = comparison_figure([tuned], ["lr"]).axes
    assert final.get_xlabel().startswith("final validation error")


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


LONG = "course_project.flowers_task.FlowersNetwork"


def test_narrow_figure_has_the_same_panels_one_below_the_other() -> None:
    runs = [result(arch, seed, 0.95) for arch in ("mlp", "maxpool") for seed in range(3)]
    wide, narrow = (comparison_figure(runs, width=width) for width in (WIDTH, NARROW))
    assert [panel.get_ylabel() for panel in narrow.axes] == [
        panel.get_ylabel() for panel in wide.axes
    ]
    assert drawn_values(narrow.axes[-1], which=0) == drawn_values(wide.axes[-1], which=0)
    loss, error, _ = narrow.axes
    assert loss.get_position().y0 > error.get_position().y1
    assert narrow.get_figwidth() == NARROW


@pytest.mark.parametrize(
    "scores", [(1.0, 0.999, 0.98, 0.95), (CHANCE, 0.97, 0.985, 0.99), (0.9995, 0.99, 0.9)]
)
def test_ticks_below_a_narrow_figure_do_not_touch(scores: tuple[float, ...]) -> None:
    runs = [result("mlp", seed, score) for seed, score in enumerate(scores)]
    figure = render(partial(comparison_figure, runs, width=NARROW))
    figure.draw_without_rendering()
    labels = figure.axes[-1].get_xticklabels()
    boxes = [label.get_window_extent() for label in labels if label.get_text()]
    assert len(boxes) > 1
    assert all(left.x1 + 5 < right.x0 for left, right in pairwise(boxes))


@pytest.mark.parametrize("width", [WIDTH, NARROW])
def test_names_in_a_figure_are_whole_and_do_not_overlap(width: float) -> None:
    runs = [result(LONG + end, seed, 0.95) for end in ("", "WithAttention") for seed in range(2)]
    figure = render(partial(comparison_figure, runs, width=width))
    figure.draw_without_rendering()
    panel = figure.axes[1]
    labels = [text for text in panel.texts if "course" in text.get_text()]
    names = [text.get_text().replace("\n", "") for text in labels]
    assert names == [LONG, f"{LONG}WithAttention"]
    boxes = [Text.get_window_extent(label) for label in labels]  # without the leader
    lower, upper = sorted(boxes, key=lambda box: box.y0)
    assert lower.y1 <= upper.y0
    whole = [text.get_text().replace("\n", "") for text in figure.axes[-1].get_yticklabels()]
    assert whole == names


@pytest.mark.parametrize(
    ("scores", "arrows"), [((0.999, 0.9, 0.9), ["<"]), ((0.95, 0.94, 0.95), []), ((0.95,), [])]
)
def test_interval_that_goes_on_beyond_the_axis_has_an_arrow(
    scores: tuple[float, ...], arrows: list[str]
) -> None:
    runs = [result("mlp", seed, score) for seed, score in enumerate(scores)]
    *_, final = comparison_figure(runs).axes
    assert [line.get_marker() for line in lines(final, "cut")] == arrows


def test_figure_has_a_point_at_an_error_of_0() -> None:
    *_, final = comparison_figure([result("mlp", 0, 1.0), result("mlp", 1, 0.998)]).axes
    assert drawn_values(final, which=0) == pytest.approx([0, 0.2])
    assert final.get_xlim()[0] < 0


def test_registered_networks_have_the_styles_of_their_records_and_others_the_next() -> None:
    archs = ["mynets.B", *RECORDS, "mynets.A"]
    curves = curves_of_networks([result(arch, 0, 0.95) for arch in archs])
    found = {curve.runs[0].arch: curve.style for curve in curves}
    for arch, record in RECORDS.items():
        assert found[arch] == style(record.style)
    free = [number for number in range(OTHERS, 12) if style(number) not in map(found.get, RECORDS)]
    assert [found["mynets.B"], found["mynets.A"]] == [*map(style, free[:2])]
