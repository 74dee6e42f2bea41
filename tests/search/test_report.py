"""The report of a search, of trials that were not trained (tests/compare/test_report.py
says how to update it).
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from optuna.trial import TrialState, create_trial

from convblocks.compare.analysis import Comparison, compare
from convblocks.figures.report import Report
from convblocks.figures.style import NARROW, WIDTH
from convblocks.search import report as reporting
from convblocks.search.report import conclusion, report, trials_figure
from convblocks.search.worker import SearchWorker
from tests.made_up import assert_expected, result
from tests.search.made_up import search

DEFAULT = tuple(0.95 + 0.001 * seed for seed in range(1, 7))
COLLAPSED = 0.1135


def fresh(accuracy: float) -> list[float]:
    return [accuracy + 0.001 * seed for seed in range(1, 7)]


def confirmed(best: Sequence[float], default: Sequence[float] = DEFAULT) -> Comparison:
    """Fresh runs of the default and of the best trial, with these accuracies."""
    scores = {"default": default, "trial_5": best}
    runs = [
        replace(result("mlp", seed, accuracy), arch=name)
        for name, own in scores.items()
        for seed, accuracy in enumerate(own, start=1)
    ]
    return compare(runs)


@pytest.fixture
def worker(workspace: Path) -> SearchWorker:
    """Trials of each kind: twelve complete, of which ten are shown, a pruned, a
    collapsed, and a failed one.
    """
    found = search()

    def add(
        state: TrialState, params: dict[str, Any], accuracies: Sequence[float], **attributes: bool
    ) -> None:
        found.study.add_trial(
            create_trial(
                state=state,
                params=params,
                distributions={**found.config.space},
                value=accuracies[-1] if accuracies else None,
                intermediate_values=dict(enumerate(accuracies, start=1)),
                user_attrs=attributes,
            )
        )

    for number in range(12):
        best = 0.99 - 0.002 * (number - 5) ** 2
        params = {"lr": 0.001 * 1.5**number, "batch_size": "64" if number % 3 else "32"}
        add(TrialState.COMPLETE, params, [best - 0.01, best])
    params = {"lr": 0.05, "batch_size": "128"}
    add(TrialState.PRUNED, params, [0.2])
    add(TrialState.PRUNED, params, [0.9, 0.1], collapsed=True)
    add(TrialState.FAIL, params, [])
    return found


def test_search_report_is_the_expected_one(
    worker: SearchWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    published: list[Report] = []
    monkeypatch.setattr(reporting, "publish", lambda content, *_: published.append(content))
    report(worker, confirmed(fresh(0.96)), "")
    (found,) = published
    assert_expected("search.md", found.to_markdown())
    assert all(
        [draw().get_figwidth() for draw in chart.on_page] == [WIDTH, NARROW]
        for chart in found.figures.values()
    )
    finding = "trial_5 is better than default by 1.00 points [0.75, 1.25]"
    assert found.figures["confirmed"].draw().axes[0].get_title() == finding
    assert [row["ended"] for row in found.runs] == ["complete"] * 12 + [
        "pruned",
        "collapsed",
        "failed",
    ]


def test_figure_of_a_search_has_its_complete_trials_and_the_best_so_far(
    worker: SearchWorker,
) -> None:
    (panel,) = trials_figure(worker).axes
    errors = [100 * (0.01 + 0.002 * (number - 5) ** 2) for number in range(12)]
    drawn = {line.get_gid(): line.get_ydata() for line in panel.lines}
    assert drawn["trials"] == pytest.approx(errors)
    assert drawn["best"] == pytest.approx([*errors[:6], *[1.0] * 6])
    assert panel.get_title() == "trial_5 is the best of 12"


def test_figure_of_a_search_goes_into_a_file_of_its_own_too(worker: SearchWorker) -> None:
    report(worker, confirmed(fresh(0.96)), "", Path("trials.pdf"))
    assert Path("trials.pdf").read_bytes().startswith(b"%PDF")
    assert {"search.png", "search-confirmed.png"} <= {
        path.name for path in worker.config.directory.path.iterdir()
    }


CONCLUSIONS = {
    "better": confirmed(fresh(0.96)),
    "worse": confirmed(fresh(0.94)),
    "not certain": confirmed(fresh(0.95)),
    "better, but it collapses": confirmed([*fresh(0.96)[1:], COLLAPSED]),
    "luck": confirmed([COLLAPSED] * 6),
    "the default never trained": confirmed(fresh(0.96), [COLLAPSED] * 6),
    "neither trained": confirmed([COLLAPSED] * 6, [COLLAPSED] * 6),
    "not confirmed": None,
}


def test_search_report_lets_the_default_stand_unless_the_best_trial_beats_it(
    worker: SearchWorker,
) -> None:
    found = []
    for case, comparison in CONCLUSIONS.items():
        sentences, command = conclusion(worker, comparison)
        found.append("\n".join([f"## {case}", *sentences, command, ""]))
        assert ("--lr=" in command) == (
            case in ("better", "the default never trained", "not confirmed")
        ), case
    assert_expected("search-conclusions.md", "\n".join(found))
