"""What docs/lab/operations.md says of why the collapse happens."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from convblocks.record.result import RunResult
from lab.gradients import FACT
from lab.pages.collapse import signs_sentence, signs_tables, why_figure, why_tables
from lab.pages.writing import DATA
from lab.results import read_results
from tests.lab.test_mechanism import runs
from tests.made_up import result


@pytest.fixture(scope="module")
def why() -> list[RunResult]:
    return read_results(DATA / "why.jsonl")


def details_of(results: Sequence[RunResult]) -> list[str]:
    (table,) = why_tables(results)
    return list(table.notes)


def test_block_1_is_told_by_the_units_that_are_dead_for_1000_images(why: list[RunResult]) -> None:
    *_, told = details_of(why)
    most = max(run.final["dead/relu1"] for run in why)
    shares = [
        run.final["dead/relu1"]
        for run in read_results(DATA / "study-confirm.jsonl")
        if run.arch == "maxpool" and run.hparams["lr"] == 0.01 and not run.failed
    ]
    assert f"at most {100 * most:.0f} % of it in {len(why)} runs" in told
    assert f"median {100 * np.median(shares):.0f} %) in the {len(shares)} MaxPool runs" in told
    assert "84, 66, 34 % with maxpool" in told


def test_sgd_run_at_chance_is_counted_beside_the_rule(why: list[RunResult]) -> None:
    told = details_of(why)[2]
    assert "seed 4005, with 10.10 % right" in told
    assert "p would be 0.043" in told
    mended = [replace(run, failed=run.failed or run.score < 0.11) for run in why]
    (table,) = why_tables(mended)
    (row,) = [row for row in table.rows if row[0] == "plain SGD at 0.3"]
    assert row[1].startswith("1 of 40")
    assert row[2] == "0.043"


@pytest.mark.parametrize(("lower", "told"), [(0, "With 10 of 10"), (4, "With 6 of 10")])
def test_signs_are_compared_seed_by_seed(lower: int, told: str) -> None:
    """A seed counts if more signs agree in every step."""

    def run(normalisation: str, seed: int, agreeing: Sequence[float]) -> RunResult:
        blocks = [[0.7, value, 0.6] for value in agreeing]
        facts = {FACT: {"agreeing": blocks, "falling": blocks}}
        overrides = (("network.normalisation", normalisation),)
        return result("blocks", seed, 0.9, overrides, facts=facts)

    usual = [0.6 + 0.01 * step for step in range(5)]
    results = [
        *(
            run("none", seed, [0.9, 0.9, 0.5 if seed < lower else 0.9, 0.9, 0.9])
            for seed in range(10)
        ),
        *(run("batch", seed, usual) for seed in reversed(range(10))),
    ]
    assert told in signs_sentence(results)
    (table,) = signs_tables(results)
    assert [row[2] for row in table.rows[:3]] == ["64 to 100", "52 to 57", "52 to 55"]


def test_titles_of_the_figure_are_what_was_shown_at_the_decisive_step() -> None:
    left, right = why_figure(runs()).axes
    titles = [axes.get_title().replace("\n", " ") for axes in (left, right)]
    assert titles == [
        "How far block 2 falls predicts which runs at 0.01 collapse",
        "By step 5, block 2 falls further at higher rates",
    ]
    for axes in (left, right):
        assert any(np.array_equal(line.get_xdata(), [5, 5]) for line in axes.lines)
