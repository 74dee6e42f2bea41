"""The study's verdict, and both of its reports as a whole (tests/compare/test_report.py says how to update them)."""

import re
from collections.abc import Sequence
from dataclasses import replace
from random import Random

import pytest

from convblocks.figures.report import Report
from convblocks.run.result import RunResult
from lab.intervals import intervals_figure
from lab.notebook import differences_table
from lab.statistics import runs_needed
from lab.study import stages
from lab.study.dead_units import dead_unit_sentences
from lab.study.decision import Decision, decide
from lab.study.plan import CONFIRMING_SEEDS, NOTEBOOK, Cell, to_choose
from lab.study.report import conclusions, differences_of, winner_sentences, winner_titles
from tests.made_up import CHANCE, assert_expected, course, result

SEEDS = CONFIRMING_SEEDS[:8]  # so few that all divisions of the runs are counted

BEST = Cell("3e-3", "onecycle")
# On an image by image comparison: another version of numpy draws other samples.
BOOTSTRAP = re.compile(r"(other images, the difference would be \S+ points|\d of \d \| \S+) \[[^]]*\]")
CHOICES = {"mlp": BEST, "maxpool": BEST, "batchnorm": NOTEBOOK}


def without_bootstrap(text: str) -> str:
    return BOOTSTRAP.sub(r"\1 [...]", text)


def at(arch: str, cell: Cell, accuracy: float, collapsed: int = 0, spread: float = 0.0005) -> list[RunResult]:
    """Eight runs around an accuracy, of which the first have collapsed; each has a tenth of its mistakes in common."""
    found = []
    for place, seed in enumerate(SEEDS):
        wanted = CHANCE if place < collapsed else accuracy + spread * (place % 3 - 1)
        wrong = sorted(Random(f"{arch} {seed}").sample(range(10_000), round(10_000 * (1 - wanted))))
        found.append(result(arch, seed, 1 - len(wrong) / 10_000, cell.overrides, facts={"mistakes": wrong}))
    return found


def confirming(maxpool: float, collapsed: int = 0, spread: float = 0.0005) -> list[RunResult]:
    """At the best settings BatchNorm has 99 %, MaxPool this; at the notebook's the MLP has 95 %, MaxPool 96."""
    return [
        *at("mlp", NOTEBOOK, 0.95),
        *at("maxpool", NOTEBOOK, 0.96, collapsed=2),
        *at("mlp", BEST, 0.98),
        *at("maxpool", BEST, maxpool, collapsed, spread),
        *at("batchnorm", NOTEBOOK, 0.99, 0, spread),
    ]


def decided(maxpool: float, collapsed: int = 0, spread: float = 0.0005) -> Decision:
    return decide(confirming(maxpool, collapsed, spread), CHOICES)


VERDICTS = {
    "first is better": (0.9930,),
    "second is better": (0.9870,),
    "equivalent": (0.9900,),
    "undecided, in a wide interval": (0.9905, 0, 0.004),
    "undecided, as ranks decide where four of eight collapsed": (0.9930, 4),
    "undecided, as one that collapsed is not equivalent": (0.99, 1),
}


def test_the_interval_of_the_test_decides_and_the_verdict_is_the_expected_one() -> None:
    """After any collapse ranks decide: whether a network that is started now will train is uncertain."""
    text = ""
    for title, (maxpool, *others) in VERDICTS.items():
        decision = decided(maxpool, *others)  # type: ignore[arg-type]
        assert title.startswith(decision.ruling)
        text += f"## {title}\n" + "\n".join(conclusions(decision)[:2]) + "\n\n"
    assert_expected("study-verdicts.md", without_bootstrap(text))


def test_only_an_undecided_difference_needs_more_runs_as_many_as_the_formula_says() -> None:
    """N = (s1^2 + s2^2) (1.960 + 1.282)^2 / d^2: 2 * 1 * 10.51 / 1 for a difference of one standard deviation."""
    assert runs_needed([0.0, 1.0, 2.0], [1.0, 2.0, 3.0]) == 22
    needed = decided(*VERDICTS["undecided, in a wide interval"]).needed  # type: ignore[arg-type]
    assert needed is not None
    assert needed > len(SEEDS)
    assert decided(0.9930).needed is decided(0.9930, collapsed=4).needed is None


@pytest.mark.parametrize(("first", "second"), [([1.0, 2.0], [2.0, 1.0]), ([1.0], [2.0, 3.0]), ([], [])])
def test_without_a_difference_or_two_runs_no_number_would_do(first: Sequence[float], second: Sequence[float]) -> None:
    assert runs_needed(first, second) is None


def test_the_figure_has_the_intervals_of_the_tables() -> None:
    decision = decided(0.9870)
    notebook, best = intervals_figure(differences_of(decision), "points").axes
    for panel, comparison in ((notebook, decision.at_notebooks), (best, decision.at_best)):
        table = differences_table(comparison)
        rows = [row for row in table.cells if row[0] == "test accuracy"]
        drawn = [text.get_text() for text in (*panel.get_yticklabels(), *panel.texts)]
        assert drawn == [row[1] for row in rows] + [row[3].replace("\n", " ") for row in rows]


def test_images_that_one_network_alone_gets_right_are_counted_if_the_mistakes_are_known() -> None:
    runs = [
        *(result("maxpool", seed, 0.9997, BEST.overrides, facts={"mistakes": [1, 2, 3]}) for seed in (1, 2)),
        *(result("batchnorm", seed, 0.9999, NOTEBOOK.overrides, facts={"mistakes": [3]}) for seed in (1, 2)),
        result("maxpool", 1, 0.96, NOTEBOOK.overrides),
    ]
    (found,) = decide(runs, CHOICES).by_image
    assert (found.first, found.second, found.pairs) == ("maxpool", "batchnorm", 2)
    assert (found.only_first, found.only_second, found.significant) == (0, 2, 0)
    assert found.new_images.value == pytest.approx(-0.0002)
    assert decide([replace(one, facts={}) for one in runs], CHOICES).by_image == ()


def choosing(archs: Sequence[str] = ("mlp", "maxpool", "batchnorm")) -> list[RunResult]:
    """The first stage, in which the notebook's setting is best and MaxPool collapses at the highest rates."""
    return [
        result(arch, seed, CHANCE if lost else 0.9, cell.overrides, validation=0.1 if lost else score)
        for arch in archs
        for cell, seed in to_choose({})
        for lost in [(arch, cell.lr, seed) == ("maxpool", "3e-2", 101)]
        for score in [0.9 + 0.05 * (cell == CHOICES.get(arch, NOTEBOOK))]
    ]


def test_a_panel_says_who_is_ahead_at_which_rates() -> None:
    cells = {("1e-3", "constant"): (0.99, 0.98), ("1e-2", "constant"): (0.97, 0.98), ("1e-3", "onecycle"): (0.99, 0.98)}
    runs = [
        result(arch, 100, score, Cell(*cell).overrides, validation=score)
        for cell, scores in cells.items()
        for arch, score in zip(("maxpool", "batchnorm"), scores, strict=True)
    ]
    assert winner_titles(runs) == {
        "lr_scheduler=constant": "constant:\nMaxPool is ahead up to 1e-3, then BatchNorm",
        "lr_scheduler=onecycle": "onecycle:\nMaxPool is ahead",
    }
    assert winner_sentences(runs)[0].startswith(
        "On held-out images MaxPool leads at 2 of 3 settings, BatchNorm at 1e-2 constant (the"
    )
    assert winner_titles(runs[:1]) == {}


def reports(
    monkeypatch: pytest.MonkeyPatch, chosen: list[RunResult], confirmed: list[RunResult], arguments: Sequence[str] = ()
) -> list[Report]:
    """The reports that both stages publish if these are their runs."""
    published: list[Report] = []
    monkeypatch.setattr(stages, "results_of_choice", lambda options, fit=True: dict(enumerate(chosen)))
    monkeypatch.setattr(stages, "choices_of", lambda results: {one.arch: CHOICES.get(one.arch, BEST) for one in chosen})
    monkeypatch.setattr(stages, "results_of_confirmation", lambda options, choices: dict(enumerate(confirmed)))
    monkeypatch.setattr(stages, "publish", lambda report, directory: published.append(report))
    options = stages.parse(["--data.root", "data"])
    stages.choose(options)
    stages.confirm_choices(options)
    return published


def test_both_reports_are_the_expected_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three of MaxPool's runs collapsed at its best setting, so that some verdicts differ over trained runs."""
    choice, confirmation = reports(monkeypatch, choosing(), confirming(0.9930, collapsed=3))
    assert (set(choice.figures), set(confirmation.figures)) == ({""}, {"", "differences", "dead-units"})
    assert_expected("study-choose.md", choice.to_markdown())
    assert_expected("study-confirm.md", without_bootstrap(confirmation.to_markdown()))


def test_networks_without_relu_have_no_figure_of_dead_units(monkeypatch: pytest.MonkeyPatch) -> None:
    runs = [result("own.Rows", seed, 0.9, NOTEBOOK.overrides) for seed in SEEDS]
    _, confirmation = reports(monkeypatch, choosing(["own.Rows"]), [*runs, *at("own.Rows", BEST, 0.9)])
    assert set(confirmation.figures) == {""}


def dying(seed: int, dead: dict[str, float], *accuracies: float) -> RunResult:
    """A run of MaxPool at the notebook's setting with these shares of dead units after its last epoch."""
    *before, last = course(*accuracies)
    rows = (*(row | dict.fromkeys(dead, 0.0) for row in before), last | dead)
    return result("maxpool", seed, accuracies[-1], NOTEBOOK.overrides, rows)


TRAINED = [dying(seed, {"dead/relu1": 0.0, "dead/relu2": 0.97, "dead/relu3": 0.5}, 0.9, 0.98) for seed in (1, 2)]
COLLAPSED = {
    "the first layer that is dead altogether counts": [
        dying(3, {"dead/relu1": 0.0, "dead/relu2": 1.0, "dead/relu3": 1.0}, CHANCE, CHANCE),
        dying(4, {"dead/relu1": 0.0, "dead/relu2": 0.98, "dead/relu3": 1.0}, 0.95, CHANCE),
    ],
    "no dead layer": [dying(5, {"dead/relu1": 0.2}, CHANCE, CHANCE)],
    "no collapsed run": [],
}


def test_the_sentences_on_dead_units_are_the_expected_ones() -> None:
    found = {case: dead_unit_sentences([*TRAINED, *runs], [*TRAINED, *runs]) for case, runs in COLLAPSED.items()}
    assert_expected("study-dead-units.md", "\n".join(f"## {case}\n" + "\n".join(found[case]) + "\n" for case in found))
    assert dead_unit_sentences([], [replace(TRAINED[0], epochs=course(0.9))]) == []
