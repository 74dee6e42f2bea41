"""The analysis of made-up runs, comparison.md as a whole, and the lines of
comparison.csv.

Any change of a table, a note, a sentence or a number fails here. After an intended
change, update the expected files and read the difference:

    REWRITE=1 python -m pytest -n 0 tests/compare tests/search -k expected
    git diff tests/expected
"""

import csv
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import product

import pytest

from convblocks.compare.analysis import compare
from convblocks.compare.report import report_of
from convblocks.compare.tables import as_row
from convblocks.data.images import ImageSpec
from convblocks.run.result import RunResult
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
}


def test_report_has_the_expected_conclusions() -> None:
    texts = [
        f"## {case}\n" + "\n".join(report_of(runs).sentences) + "\n"
        for case, runs in OTHERS.items()
    ]
    assert_expected("conclusions.md", "\n".join(texts))


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
    ]
    values = ["maxpool", "0", "2", "1e-3", "0.5", "85526", "0.97", "0.96"]
    values += ["False", "0.97", "20.0", MACHINE, "abc1234", "cpu", "1", "1", ""]
    assert row == dict(zip(names, values, strict=True))
    collapsed = as_row(result("mlp", 0, 0.098))
    assert [collapsed[name] for name in ("test_acc", "collapsed", "test_acc_if_trained")] == [
        0.098,
        True,
        None,
    ]


def test_comparison_pairs_no_networks_by_seed_and_may_lack_a_run() -> None:
    runs = [run for run in as_claimed(7) if (run.arch, run.seed) != ("mlp", 4)]
    comparison = compare(runs)
    assert [difference.runs for difference in comparison.differences] == [(7, 7), (7, 6), (7, 6)]
    shuffled = [
        short(run.arch, 6 - run.seed, run.score, run.epochs[-1]["train/loss"]) for run in runs
    ]
    assert compare(shuffled).differences == comparison.differences
