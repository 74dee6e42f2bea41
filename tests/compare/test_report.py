"""The analysis of made-up runs, comparison.md as a whole, and the lines of
comparison.csv.

Any change of a table, a note, a sentence or a number fails here. CONTRIBUTING.md says how to
update the expected files after an intended one.
"""

import csv
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from convblocks.compare.analysis import best_settings, compare, named_by_setting
from convblocks.compare.conclusions import finding_of, neighbours
from convblocks.compare.report import report_of
from convblocks.compare.tables import as_row
from convblocks.data.images import ImageSpec
from convblocks.figures.estimates import Estimate
from convblocks.record.judge import ACCURACY, Judge
from convblocks.record.result import Overrides, RunResult
from convblocks.text import as_csv
from tests.made_up import (
    COURSES,
    MACHINE,
    as_claimed,
    assert_expected,
    course,
    images,
    result,
    short,
)

RATES = ("1e-3", "3e-3", "1e-2")
SCHEDULES = ("constant", "onecycle")

BEST = {"mlp": ("3e-3", "onecycle"), "maxpool": ("1e-3", "constant")}


def grid(
    archs: Iterable[str], best: Mapping[str, tuple[str, str]] = BEST, seeds: int = 5
) -> list[RunResult]:
    """Runs at every learning rate and schedule: validation is best at the given ones,
    the test set elsewhere.

    Without ``best`` there are no validation images.
    """
    return [
        short(
            arch,
            seed,
            accuracy=0.97
            - 0.01 * (arch == "mlp")
            + 0.001 * RATES.index(rate)
            + 0.0001 * (seed * 3 % 5),
            overrides=(("lr", rate), ("lr_scheduler", schedule)),
            validation=(0.98 if best[arch] == (rate, schedule) else 0.95) if best else None,
        )
        for rate, schedule, arch, seed in product(RATES, SCHEDULES, archs, range(seeds))
    ]


def settings(*means: float, seeds: int = 5, collapsed: Iterable[int] = ()) -> list[RunResult]:
    """Runs of one network at a learning rate for each mean; those of these numbers
    collapse.
    """
    runs = [
        short("mlp", seed, mean + 0.0001 * (seed * 3 % 5), overrides=(("model.lr", f"{rate}"),))
        for rate, mean in enumerate(means, start=1)
        for seed in range(seeds)
    ]
    for number in collapsed:
        dead = runs[number]
        runs[number] = short("mlp", dead.seed, 0.098, overrides=dead.overrides)
    return runs


SHAPES = ImageSpec(3, 32, 40, ("disc", "ring"), mean=(0.5,) * 3, std=(0.2,) * 3)

# Of eight runs of MaxPool three collapse, one of them after it had learned something;
# of the MLP's one diverges.
DIED = short("maxpool", 2, 0.098, epochs=course(0.95, 0.098))
DIVERGED = short("mlp", 7, 0.098, loss=math.nan)
COLLAPSES = [
    {("maxpool", 2): DIED, ("mlp", 7): DIVERGED}.get((run.arch, run.seed), run)
    for run in as_claimed(8, 3)
]

FRESH = [
    short(arch, seed, 0.9 + 0.001 * seed, overrides=(("lr", rate), ("lr_scheduler", schedule)))
    for arch, (rate, schedule) in BEST.items()
    for seed in (5, 6)
]

# The runs of each report, and those with fresh seeds.
REPORTS: dict[str, tuple[Sequence[RunResult], Sequence[RunResult]]] = {
    "setting": (COLLAPSES, ()),
    "few-runs": (
        [
            result(
                arch,
                seed,
                epochs[-1]["test/acc"],
                epochs=epochs,
                hparams={"lr_scheduler": "onecycle"},
            )
            for arch, epochs in (COURSES | {"mlp": course(0.9, 0.975)}).items()
            for seed in range(3)
        ],
        (),
    ),
    "pictures": (
        [
            short("mlp", seed, 0.9, facts={"images": images(SHAPES, 1200, 240), "chance": 0.52})
            for seed in range(3)
        ],
        (),
    ),
    "grid": (grid(BEST), FRESH),
    # MaxPool's runs alone: the test set would choose another setting than validation does.
    "settings": (grid(["maxpool"], seeds=4), ()),
    "grid-without-validation": (
        [run for run in grid(COURSES, best={}, seeds=2) if ("lr", "1e-3") in run.overrides],
        (),
    ),
}


@pytest.mark.parametrize("name", REPORTS)
def test_report_is_the_expected_one(name: str) -> None:
    text = report_of(*REPORTS[name]).to_markdown()
    assert "nan" not in text
    assert "inf" not in text
    assert_expected(f"comparison-{name}.md", text)


def near(seeds: int) -> list[RunResult]:
    return [
        short(arch, seed, 0.95 + 0.001 * seed)
        for arch in ("mlp", "maxpool")
        for seed in range(seeds)
    ]


def lost(loss: float) -> list[RunResult]:
    return [short(arch, seed, 0.1, loss) for arch in ("mlp", "maxpool") for seed in range(3)]


OTHERS = {
    "a clear order": as_claimed(8),
    "equal networks": near(5),
    "one run of each": as_claimed(1),
    "one network": near(3)[:3],
    "no trained runs": lost(0.1),
    "diverged runs": lost(math.nan),
    "settings": settings(0.95, 0.97, 0.96),
    "settings with the best first": settings(0.97, 0.95, 0.96),
    "settings of which runs collapsed": settings(0.95, 0.97, collapsed=[1, 7, 8]),
    "a setting that always collapsed": settings(0.95, 0.97, collapsed=range(5, 10)),
    "a baseline that always collapsed": settings(0.95, 0.97, collapsed=range(5)),
    "settings that always collapsed": settings(0.95, 0.97, collapsed=range(10)),
    "many settings with few runs": settings(*[0.95] * 7, 0.97),
    "many settings": settings(*[0.95] * 7, 0.97, seeds=6),
    "one setting": settings(0.95),
}


def test_report_has_the_expected_conclusions() -> None:
    texts = [
        f"## {case}\n" + "\n".join(report_of(runs).sentences) + "\n"
        for case, runs in OTHERS.items()
    ]
    assert_expected("conclusions.md", "\n".join(texts))


@pytest.mark.parametrize(("count", "differences"), [(6, 15), (7, 6)])
def test_each_of_many_settings_is_compared_with_the_first_only(
    count: int, differences: int
) -> None:
    report = report_of(settings(*[0.95] * count))
    numbers = report.plain_numbers()
    assert [arm["arch"] for arm in numbers["results"]] == [f"lr {n + 1}" for n in range(count)]
    assert len(numbers["differences"]) == differences
    assert all(arm["better"] and arm["minus"] for arm in numbers["results"][1:])
    assert [row["arch"] for row in report.runs] == ["mlp"] * 5 * count


@pytest.mark.parametrize(
    ("overrides", "names"),
    [
        # What all runs share is no part of a name, even if it is there twice.
        (
            [(("callbacks+", "A"), ("callbacks+", "B"), ("model.lr", rate)) for rate in RATES],
            [f"lr {rate}" for rate in RATES],
        ),
        (
            [
                (("network.width", "4"), ("data.batch_size", "8")),
                (("network.width", "4"), ("data.batch_size", "9")),
                (("network.width", "5"), ("data.batch_size", "8")),
            ],
            [
                "width 4, data.batch_size 8",
                "width 4, data.batch_size 9",
                "width 5, data.batch_size 8",
            ],
        ),
        (
            [(("config", "a/x.yaml"),), (("config", "b/x.yaml"),)],
            ["config a/x.yaml", "config b/x.yaml"],
        ),
        ([(("optimizer.lr", rate),) for rate in RATES], [f"lr {rate}" for rate in RATES]),
        ([(("model.lr", "1"),)], []),
    ],
)
def test_settings_are_named_by_what_differs(
    overrides: Sequence[Overrides], names: list[str]
) -> None:
    runs = [short("mlp", 0, 0.9, overrides=own) for own in overrides]
    assert [run.arch for run in named_by_setting(runs)] == names


@pytest.mark.parametrize(("count", "panels"), [(2, 3), (7, 1)])
def test_figure_has_the_curves_of_a_few_settings(count: int, panels: int) -> None:
    runs = [
        result("mlp", seed, 0.95, (("model.lr", str(rate)),))
        for rate in range(count)
        for seed in range(2)
    ]
    figure = report_of(runs).figures[""].draw()
    assert len(figure.axes) == panels
    labels = [label.get_text() for label in figure.axes[-1].get_yticklabels()]
    assert labels[0] == ("lr 0" if panels == 3 else "MLP\nmodel.lr 0")


def test_long_names_of_settings_stand_whole_in_the_figure() -> None:
    name = "data.augmentation.rotation"
    runs = [result("mlp", 0, 0.95, ((name, value),)) for value in ("1", "2")]
    (final,) = report_of(runs).figures[""].draw().axes
    labels = [label.get_text() for label in final.get_yticklabels()]
    assert labels == [f"MLP\ndata.augmentation.\nrotation {value}" for value in "12"]


def test_settings_of_one_network_are_compared_where_the_best_one_is_confirmed() -> None:
    runs = [
        result("mlp", seed, accuracy, (("lr", rate),), validation=accuracy)
        for rate, accuracy in (("1e-3", 0.95), ("1e-2", 0.9))
        for seed in range(5)
    ]
    report = report_of(runs, [result("mlp", seed, 0.94, (("lr", "1e-3"),)) for seed in (5, 6)])
    assert report.sentences[:2] == [
        "Best of 2 settings (lr 1e-3 is the baseline): lr 1e-3 is better than lr 1e-2 by "
        "5.00 points [5.00, 5.00] (n = 5 each).",
        "Validation data choose lr 1e-3, by its mean validation accuracy. With fresh seeds it has "
        "test accuracy 94.00 % [94.00, 94.00].",
    ]
    (arm,) = report.plain_numbers()["results"]
    assert arm["trained"]["n"] == 2


def test_setting_whose_runs_diverged_is_never_chosen() -> None:
    """Not even where it is the first one, since nan is neither more nor less."""
    runs = [
        short("mlp", seed, 0.9, overrides=(("lr", rate),), validation=validation)
        for rate, validation in (("10", math.nan), ("1e-3", 0.9), ("1e-2", 0.8))
        for seed in range(2)
    ]
    assert {run.overrides[-1] for run in best_settings(runs)} == {("lr", "1e-3")}


def test_report_needs_no_facts() -> None:
    """The wings that add them may be off."""
    report = report_of([replace(run, facts={}) for run in as_claimed(3, collapsed=1)]).to_markdown()
    assert "MaxPool collapsed in 1 of 3 runs [6–79 %]." in report
    assert "A run has collapsed if it diverges;" in report
    assert "Images of" not in report


def test_row_has_every_value_as_what_it_is_for_a_spreadsheet() -> None:
    """Numbers as numbers under names without dots and slashes; means over the last
    score leave collapsed runs out.
    """
    overrides = (("epochs", "2"), ("lr", "1e-3"), ("trainer.gradient_clip_val", "0.5"))
    run = result(
        "maxpool",
        0,
        0.97,
        overrides,
        course(0.95, 0.97),
        validation=0.96,
        facts={"mistakes": [3, 17]},
    )
    (row,) = csv.DictReader(io.StringIO(as_csv([as_row(run)])))
    names = [
        "arch",
        "seed",
        "epochs",
        "lr",
        "trainer_gradient_clip_val",
        "parameters",
        "test_acc",
        "val_acc",
    ]
    names += [
        "collapsed",
        "test_acc_if_trained",
        "seconds",
        "machine",
        "commit",
        "device",
        "processes",
        "threads",
        "processor",
        "edited",
    ]
    values = ["maxpool", "0", "2", "1e-3", "0.5", "85526", "0.97", "0.96"]
    values += ["False", "0.97", "20.0", MACHINE, "abc1234", "cpu", "1", "1", "", ""]
    assert row == dict(zip(names, values, strict=True))
    thirds = ({**course(0.97)[0], "seconds": 0.1},) * 3
    assert as_row(result("mlp", 0, 0.97, epochs=thirds))["seconds"] == 0.3
    collapsed = as_row(result("mlp", 0, 0.098))
    assert [collapsed[name] for name in ("test_acc", "collapsed", "test_acc_if_trained")] == [
        0.098,
        True,
        None,
    ]


def title_of(results: Sequence[RunResult], confirmed: Sequence[RunResult] = ()) -> str:
    return report_of(results, confirmed).figures[""].draw().axes[0].get_title()


def test_title_has_the_condition_of_the_sentence() -> None:
    assert title_of(COLLAPSES) == (
        "Among the runs that trained, BatchNorm is better than MaxPool by 2.00 points [1.96, 2.04]"
    )
    assert title_of(settings(0.95, 0.97, 0.96)) == (
        "Best of 3 settings (lr 1 is the baseline): lr 2 is better than lr 1 by "
        "2.00 points [1.97, 2.03]"
    )
    assert title_of(as_claimed(8)).startswith("BatchNorm is better than MaxPool by ")
    assert title_of(lost(0.1)) == ""


def test_title_of_a_confirmed_choice_stands_above_the_confirming_runs() -> None:
    figures = report_of(*REPORTS["grid"]).figures
    drawn = {end: chart.draw().axes for end, chart in figures.items()}
    rows = {end: len(axes[-1].get_yticklabels()) for end, axes in drawn.items()}
    assert rows == {"": 2, "grid": 12}
    titles = {end: axes[0].get_title() for end, axes in drawn.items()}
    assert titles == {"": finding_of(compare(FRESH)), "grid": ""}
    assert [*report_of(REPORTS["grid"][0]).figures] == [""]


LOSSES = Judge("val/loss", "min")


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param({"judge": LOSSES, "final": {"val/loss": 2.3}}, id="a loss above 1"),
        pytest.param({"judge": LOSSES, "final": {"val/loss": 0.3}}, id="a loss below 1"),
        pytest.param(
            {"judge": ACCURACY, "final": {"val/acc": 0.9}}, id="an accuracy on validation data"
        ),
        pytest.param({"overrides": (("trainer.limit_test_batches", "1"),)}, id="a part of them"),
    ],
)
def test_uncertainty_of_the_test_set_is_only_that_of_an_accuracy_on_all_of_it(
    changed: Mapping[str, object],
) -> None:
    runs = [replace(run, **changed) for run in near(5)]  # type: ignore[arg-type]
    assert not any("The test set" in line for line in report_of(runs).sentences)


def test_one_run_is_never_better_than_many() -> None:
    many = [result("mlp", seed, 0.95 + 0.0001 * seed) for seed in range(24)]
    comparison = compare([*many, result("maxpool", 0, 0.97)])
    (difference,) = comparison.differences
    assert difference.trained
    assert (difference.trained.p, difference.trained.interval()) == (1, "")
    assert finding_of(comparison) == (
        "MaxPool leads MLP by 1.88 points, but one run shows no spread"
    )


def test_equal_scores_are_said_to_be_equal() -> None:
    runs = [short(arch, seed, 0.95) for arch in ("mlp", "maxpool") for seed in range(5)]
    assert finding_of(compare(runs)) == (
        "MLP and MaxPool have equal means: the difference is 0.00 points [0.00, 0.00]"
    )


def random_comparison(rng: np.random.Generator) -> list[RunResult]:
    """Runs of two to four networks, some alike and some not; accuracies are tied, and some
    runs collapse.
    """
    return [
        short(arch, seed, 0.1 if rng.random() < 0.1 else mean + 0.001 * int(rng.integers(0, 12)))
        for arch in ("mlp", "maxpool", "batchnorm", "mine")[: rng.integers(2, 5)]
        for mean in [0.9 + 0.004 * int(rng.integers(0, 4))]
        for seed in range(rng.integers(1, 8))
    ]


def excludes_zero(estimate: Estimate) -> bool:
    return estimate.low > 0 or estimate.high < 0


def test_verdict_p_and_interval_never_contradict_each_other() -> None:
    rng = np.random.default_rng(0)
    verdicts = set()
    for _ in range(150):
        comparison = compare(random_comparison(rng))
        for pair in comparison.differences:
            if pair.trained:
                assert (pair.trained.p < 0.05) == excludes_zero(pair.trained)
            low, high, is_sure = pair.all_runs.low, pair.all_runs.high, pair.all_runs.p < 0.05
            assert low >= 0.5 or high <= 0.5 if is_sure else low <= 0.5 <= high
        for step in neighbours(comparison)[:1]:
            if step.trained:
                is_better = " is better than " in finding_of(comparison)
                assert is_better == excludes_zero(step.trained)
                verdicts.add(is_better)
    assert verdicts == {True, False}


def test_comparison_pairs_no_networks_by_seed_and_may_lack_a_run() -> None:
    runs = [run for run in as_claimed(7) if (run.arch, run.seed) != ("mlp", 4)]
    comparison = compare(runs)
    assert [difference.runs for difference in comparison.differences] == [(7, 7), (7, 6), (7, 6)]
    shuffled = [
        short(run.arch, 6 - run.seed, run.score, run.epochs[-1]["train/loss"]) for run in runs
    ]
    assert compare(shuffled).differences == comparison.differences
