"""The figure of a grid shows every run at its error, and the means of those that trained."""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from convblocks.figures.grouping import by_arch
from convblocks.run.result import RunResult
from lab.sweeps import sweep_figure
from tests.compare.test_figure import at, drawn_values, lines, texts
from tests.made_up import CHANCE, result, swept

RATES = ("1e-4", "3e-4", "1e-3", "3e-3", "1e-2", "3e-2")


def errors_of(results: Sequence[RunResult]) -> list[float]:
    return sorted(100 * (1 - run.score) for run in results)


def test_sweep_has_a_panel_for_each_schedule_and_a_dot_for_every_run() -> None:
    runs = swept()
    panels = sweep_figure(runs, {"lr_scheduler=constant": "MaxPool wins"}).axes
    titles = {"constant": "MaxPool wins", "onecycle": "lr_scheduler=onecycle"}
    for (schedule, title), panel in zip(titles.items(), panels, strict=True):
        assert title in texts(panel)
        assert drawn_values(panel) == pytest.approx(errors_of(at(runs, lr_scheduler=schedule)))
        assert panel.get_ylim()[0] < min(errors_of(runs))
        assert panel.get_ylim()[1] == 100


@pytest.mark.parametrize("is_validated", [False, True])
def test_sweep_has_lines_through_the_means_of_the_runs_that_trained(is_validated: bool) -> None:
    """By validation, if all runs have it; where none trained there is a gap, or no line to the end."""
    runs = [
        replace(run, failed=run.failed or (run.arch == "maxpool" and dict(run.overrides)["lr"] in ("3e-3", "3e-2")))
        for run in swept(schedules=("constant",))
    ]
    drawn = runs
    if is_validated:
        drawn = [
            result(run.arch, run.seed, 0.5, run.overrides, validation=run.score, failed=run.failed) for run in runs
        ]
    (panel,) = sweep_figure(drawn).axes
    assert panel.get_ylabel() == ("validation error" if is_validated else "test error")
    for (arch, own), line in zip(by_arch(runs).items(), lines(panel, "means"), strict=True):
        trained = [[run for run in at(own, lr=rate) if not run.failed] for rate in RATES]
        means = [np.mean(errors_of(here)) if here else math.nan for here in trained]
        assert line.get_ydata() == pytest.approx(means, nan_ok=True)
        assert arch in texts(panel)


def test_sweep_has_crosses_for_collapsed_runs_beside_their_own_rate() -> None:
    runs = [
        result("mlp", seed, CHANCE if seed else 0.95, (("lr", rate),)) for rate in ("1e-3", "1e-2") for seed in (0, 1)
    ]
    figure = sweep_figure(runs)
    (panel,) = figure.axes
    assert "marks: runs, side by side (x: collapsed); lines: means of the runs that trained" in texts(figure)
    (crosses,) = [line for line in lines(panel, "runs") if line.get_marker() == "x"][:1]
    assert crosses.get_ydata() == pytest.approx([100 * (1 - CHANCE)])
    assert crosses.get_markeredgewidth() > 0
    rates = np.concatenate([line.get_xdata() for line in lines(panel, "runs")])
    assert sorted(np.round(rates).tolist()) == [-3.0] * 2 + [-2.0] * 2
    assert abs(rates - np.round(rates)).max() < 0.25


def test_sweep_has_values_that_are_not_numbers_side_by_side() -> None:
    values = ("bf16-mixed", "32-true")
    (panel,) = sweep_figure([result("mlp", 0, 0.9, (("trainer.precision", value),)) for value in values]).axes
    assert panel.get_xlabel() == "trainer.precision"
    assert [label.get_text() for label in panel.get_xticklabels()] == list(values)
