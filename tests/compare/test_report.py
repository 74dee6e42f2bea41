"""comparison.md as a whole, from made-up runs, and how it looks on a terminal.

Any change of a table, a note, a sentence or a number fails here. After an intended change, update the expected files
and read the difference:

    REWRITE=1 python -m pytest -n 0 tests/compare tests/search -k expected && git diff tests/expected
"""

import io
import math
from collections.abc import Sequence
from dataclasses import replace

import pytest
from rich.console import Console

from convblocks.compare.report import report_of
from convblocks.data.images import ImageSpec
from convblocks.figures.tables import to_console
from convblocks.run.result import RunResult
from tests.compare.test_analysis import BEST, grid
from tests.made_up import COURSES, as_claimed, assert_expected, course, images, result, short

SHAPES = ImageSpec(3, 32, 40, ("disc", "ring"), mean=(0.5,) * 3, std=(0.2,) * 3)

# Of eight runs of MaxPool three collapse, one of them after it had learned something; of the MLP's one diverges.
DIED = short("maxpool", 2, 0.098, epochs=course(0.95, 0.098))
DIVERGED = short("mlp", 7, 0.098, loss=math.nan)
COLLAPSES = [{("maxpool", 2): DIED, ("mlp", 7): DIVERGED}.get((run.arch, run.seed), run) for run in as_claimed(8, 3)]

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
            result(arch, seed, epochs[-1]["test/acc"], epochs=epochs, hparams={"lr_scheduler": "onecycle"})
            for arch, epochs in (COURSES | {"mlp": course(0.9, 0.975)}).items()
            for seed in range(3)
        ],
        (),
    ),
    "pictures": (
        [short("mlp", seed, 0.9, facts={"images": images(SHAPES, 1200, 240), "chance": 0.52}) for seed in range(3)],
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
    return [short(arch, seed, 0.95 + 0.001 * seed) for arch in ("mlp", "maxpool") for seed in range(seeds)]


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
    texts = [f"## {case}\n" + "\n".join(report_of(runs).sentences) + "\n" for case, runs in OTHERS.items()]
    assert_expected("conclusions.md", "\n".join(texts))


@pytest.mark.parametrize(("width", "is_narrow"), [(80, True), (120, False)])
@pytest.mark.parametrize("name", ["setting", "grid"])
def test_report_fits_a_terminal_which_names_the_columns_that_it_drops(name: str, width: int, is_narrow: bool) -> None:
    console = Console(file=(file := io.StringIO()), width=width, markup=False, emoji=False, highlight=False)
    to_console(report_of(*REPORTS[name]).tables, console)
    lines = file.getvalue().splitlines()
    assert max(map(len, lines)) <= width
    assert not any("…" in line for line in lines)
    if name == "setting":
        dropped = "Columns dropped: first train loss, last train loss, sd, s a run, parameters."
        assert (dropped in lines) == is_narrow


def test_report_needs_no_facts() -> None:
    """The wings that add them may be off."""
    report = report_of([replace(run, facts={}) for run in as_claimed(3, collapsed=1)]).to_markdown()
    assert "MaxPool collapsed in 1 of 3 runs [6–79 %]." in report
    assert "A run has collapsed if it diverges;" in report
    assert "last train loss" in report
    assert "Images of" not in report
