"""What the page says of the controls of the cause follows from the runs that are kept."""

from dataclasses import replace

import pytest

from convblocks.record.result import RunResult
from lab.cause import RATES, arms_of, findings, median_dead, verdict
from lab.direction import ALONE, UPWARD
from lab.direction import findings as findings_of_controls
from lab.pages.arms import kinds_sentence
from lab.pages.direction import (
    ARMS,
    details_tables,
    direction_figure,
    direction_sentence,
    direction_tables,
)
from lab.pages.writing import DATA, REPOSITORY
from lab.preactivations import FACT
from lab.results import collapses, read_results

TURNED = "turned upward it does not kill"


@pytest.fixture(scope="module")
def kept() -> list[RunResult]:
    return read_results(DATA / "direction.jsonl")


def test_sentence_has_the_verdict_and_both_numbers_of_seeds(kept: list[RunResult]) -> None:
    three_seeds = [run for run in kept if run.seed < 6003]
    for runs, seeds in ((kept, (40, 20)), (three_seeds, (3, 3))):
        told = "{} of 40 seeds, {} of 20 with the mean upward".format(*seeds)
        found = verdict(findings_of_controls(runs))
        assert f"{told}, it is {found} that " in direction_sentence(runs)


def test_sentence_has_the_medians_at_both_rates(kept: list[RunResult]) -> None:
    arms = arms_of(kept)
    low, high = (f"{100 * median_dead(arms[rate][ALONE]):.0f} %" for rate in RATES)
    assert f"{low} and {high} the mean alone" in direction_sentence(kept)


def test_tables_have_every_arm_at_both_rates(kept: list[RunResult]) -> None:
    assert [[row[0] for row in table.rows] for table in direction_tables(kept)] == [
        [*ARMS],
        [*ARMS],
    ]


def test_details_say_what_still_holds_at_the_late_step(kept: list[RunResult]) -> None:
    predictions, differences = details_tables(kept)
    names = [name for name, *_ in predictions.rows]
    assert {TURNED, f"{TURNED}, at step 29"} <= {*names}
    assert (len(names), len(differences.rows)) == (12, 13)


def test_titles_of_the_figure_say_more_only_where_all_predictions_hold(
    kept: list[RunResult],
) -> None:
    three_seeds = [run for run in kept if run.seed < 6003]
    for runs in (kept, three_seeds):
        found = findings_of_controls(runs)
        for axes, rate in zip(direction_figure(runs).axes, RATES, strict=True):
            holds = all(found[rate].predictions.values())
            assert axes.get_title().endswith(", the mean kills downward only") is holds


def test_note_counts_seeds_by_kind_of_processor(kept: list[RunResult]) -> None:
    older = [replace(run, provenance=replace(run.provenance, processor=None)) for run in kept[:1]]
    assert kinds_sentence(older).endswith("processor: 1 seed on an unknown kind.")


def test_page_says_that_turning_the_movement_upward_is_no_remedy(kept: list[RunResult]) -> None:
    page = " ".join((REPOSITORY / "docs" / "lab" / "cause.md").read_text().split())
    assert "almost all of block 3 dies, and more runs collapse than as it is" in page
    assert "(of the same 20 seeds 14, not 3, and at 0.02 all, not 10; without a test)" in page
    counts = []
    for arms in arms_of(kept).values():
        seeds = {run.seed for run in arms[UPWARD]}
        as_is = [run for run in arms["as-is"] if run.seed in seeds]
        counts.append((collapses(arms[UPWARD]), collapses(as_is)))
        assert median_dead(arms[UPWARD], block=2) > 0.95
    assert counts == [(14, 3), (20, 10)]


def test_arms_that_were_trained_again_agree_with_those_of_the_cause(kept: list[RunResult]) -> None:
    """On other processors and by other code: only the findings are to be the same."""
    earlier = read_results(DATA / "cause.jsonl")
    for rate, finding in findings(earlier).items():
        assert finding.predictions["centring block 2 prevents the dying"]
        arms = arms_of(kept)[rate]
        assert median_dead(arms["centred-block-2"]) <= median_dead(arms["as-is"]) / 4


def test_page_says_how_many_runs_repeat_those_of_the_cause(kept: list[RunResult]) -> None:
    earlier = {_identity(run): run for run in read_results(DATA / "cause.jsonl")}
    shared = [run for run in kept if _identity(run) in earlier]
    same: dict[str | None, list[bool]] = {}
    for run in shared:
        other = earlier[_identity(run)]
        same.setdefault(run.provenance.processor, []).append(_numbers(run) == _numbers(other))
        assert run.failed == other.failed
    counts = {kind: (sum(own), len(own)) for kind, own in same.items()}
    assert [*counts.values()] == [(8, 52), (108, 108)]
    page = " ".join((REPOSITORY / "docs" / "lab" / "cause.md").read_text().split())
    assert "all 108 such runs of the second on the EPYC are the first's again" in page
    assert "of 52 on the Xeon 8" in page


def _numbers(run: RunResult) -> tuple[dict[str, float], object]:
    """What a run measured; its diagnosis is worded by newer code."""
    return run.final, run.facts[FACT]


def _identity(run: RunResult) -> tuple[int, str, str]:
    """Seed, rate and arm."""
    given = dict(run.overrides)
    return run.seed, given["lr"], given["config"].rpartition("/")[2]
