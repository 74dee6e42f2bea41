"""What the page says of the cause follows from the runs that are kept."""

import numpy as np
import pytest

from convblocks.record.result import RunResult
from lab.cause import (
    AS_IS,
    CENTRED,
    LATE_STEP,
    RATES,
    SEEDS,
    SHRUNK,
    beside,
    complete_arms,
    dead,
    findings,
    median_dead,
    verdict,
)
from lab.pages.cause import (
    cause_figure,
    cause_sentence,
    cause_tables,
    details_tables,
    readme_sentence,
)
from lab.pages.writing import DATA, REPOSITORY
from lab.results import collapses, read_results


@pytest.fixture(scope="module")
def kept() -> list[RunResult]:
    return read_results(DATA / "cause.jsonl")


@pytest.fixture(scope="module")
def controls() -> list[RunResult]:
    return read_results(DATA / "direction.jsonl")


def test_sentence_has_the_verdict_and_the_number_of_seeds(kept: list[RunResult]) -> None:
    first_seeds = [run for run in kept if run.seed < 6008]
    sentence = cause_sentence(first_seeds)
    assert f"8 of {SEEDS} seeds it is {verdict(findings(first_seeds))} that " in sentence


def test_readme_compares_what_dies_at_the_notebooks_rate(
    kept: list[RunResult], controls: list[RunResult]
) -> None:
    dying = 100 * np.median(dead(complete_arms(kept)[RATES[0]][CENTRED]))
    sentence = readme_sentence(kept, controls)
    assert f"Without that movement {dying:.0f} % of block 2 die in 10 updates, " in sentence
    shortened = 100 * np.median(dead(complete_arms(kept)[RATES[0]][SHRUNK]))
    assert f"(updates shortened: {shortened:.0f} %; medians, n = 40)" in sentence


def test_readme_counts_collapses_at_the_rate_that_tells_centred_from_shrunk(
    kept: list[RunResult], controls: list[RunResult]
) -> None:
    counts = [
        {arm: collapses(arms[arm]) for arm in (CENTRED, AS_IS, SHRUNK)}
        for arms in complete_arms(kept).values()
    ]
    assert counts[0][CENTRED] == counts[0][SHRUNK]
    centred, as_is, shrunk = counts[1].values()
    told = f"{centred} of 40 runs collapse, not {as_is} (shortened: {shrunk})."
    assert readme_sentence(kept, controls).endswith(told)


def test_readme_says_that_weights_fall_only_where_controls_show_it(
    kept: list[RunResult], controls: list[RunResult]
) -> None:
    three_seeds = [run for run in controls if run.seed < 6003]
    assert "unit's weights fall together" in readme_sentence(kept, controls)
    assert "unit's weights move together" in readme_sentence(kept, three_seeds)


def test_readme_gives_no_cause_that_was_not_shown(
    kept: list[RunResult], controls: list[RunResult]
) -> None:
    first_seeds = [run for run in kept if run.seed < 6003]
    assert verdict(findings(first_seeds)) == "undecided"
    assert readme_sentence(first_seeds, controls) == "Why was not shown."


def test_notes_tell_how_much_of_block_1_is_dead_in_the_end(kept: list[RunResult]) -> None:
    _, _, predictions, _ = details_tables(kept)
    shares = [run.final["dead/relu1"] for run in kept]
    some = sum(share > 0 for share in shares)
    told = f"at most {100 * max(shares):g} % of block 1 are dead, and any of it in {some} of 1,040"
    assert told in predictions.notes[0]


def test_page_shows_block_2_and_its_details_every_arm(kept: list[RunResult]) -> None:
    assert [len(table.rows) for table in cause_tables(kept)] == [4, 4]
    *arms, predictions, differences = details_tables(kept)
    assert [len(table.rows) for table in arms] == [13, 13]
    assert {cell for _, *cells in predictions.rows for cell in cells} <= {"holds", "does not hold"}
    assert (len(predictions.rows), len(differences.rows)) == (10, 14)


def test_block_3_dies_as_the_open_questions_say(kept: list[RunResult]) -> None:
    page = " ".join((REPOSITORY / "docs" / "lab" / "cause.md").read_text().split())
    assert "why block 3 dies, also where its own updates are centred, and at 0.01 more" in page
    differences = beside(kept)["0.01"].differences
    assert differences["block 3: as-is minus centred-block-2 (not registered)"].high < 0
    for arms in complete_arms(kept).values():
        assert median_dead(arms["centred-block-3"], block=2) > 1 / 4


def test_titles_of_the_figure_say_whether_the_dying_is_prevented(kept: list[RunResult]) -> None:
    _, _, predictions, _ = details_tables(kept)
    cells = {name: shown for name, *shown in predictions.rows}
    for place, axes in enumerate(cause_figure(kept).axes):
        title = axes.get_title()
        assert title.startswith(f"At {RATES[place]}, ")
        lasts = cells[f"centring still prevents it at step {LATE_STEP}"][place] == "holds"
        assert title.endswith("centring prevents the dying") is lasts
