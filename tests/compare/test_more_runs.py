"""A comparison that is not certain says how many runs would decide it, and the command that trains them."""

from argparse import Namespace
from collections.abc import Sequence

import pytest

from convblocks.compare.analysis import analyse
from convblocks.compare.more_runs import more_runs
from convblocks.compare.report import report_of
from convblocks.run.result import RunResult
from tests.made_up import as_claimed, short


def pair(runs: int, lead: float, collapsed: int = 0) -> list[RunResult]:
    """Runs of two networks that vary by 0.001, of which one leads."""
    return [
        short(arch, seed, 0.1 if seed < collapsed else 0.95 + 0.001 * (seed % 3) + ahead)
        for arch, ahead in (("mlp", 0.0), ("maxpool", lead))
        for seed in range(runs)
    ]


def proposed(runs: Sequence[RunResult], count: int, *arguments: str, confirm: int = 0) -> tuple[str, str]:
    options = Namespace(seeds=list(range(count)), jobs=2, confirm=confirm)
    return more_runs(analyse(runs), options, arguments)


def test_too_few_runs_are_completed_by_the_same_command() -> None:
    sentence, command = proposed(as_claimed(2), 2, "--seeds", "2", "--name", "my runs", "--no-fit")
    assert sentence == ("2 runs of each cannot decide this: it takes about 5, if others are like these.")
    assert command == "convblocks compare --name 'my runs' --seeds 5"
    report = report_of(analyse(as_claimed(2)), (sentence, command))
    assert report.sentences[-1] == sentence
    assert command in report.to_markdown()


def test_a_small_difference_takes_as_many_runs_as_would_find_it() -> None:
    sentence, command = proposed(pair(6, 0.0005), 6)
    assert "6 runs of each cannot decide this: it takes about 68, if others are like these" in sentence
    assert command == "convblocks compare --seeds 68"


def test_runs_that_collapse_are_counted_in() -> None:
    _, command = proposed(pair(4, 0.01, collapsed=2), 4, "--epochs=2", "--seeds=4")
    assert command == "convblocks compare --epochs=2 --seeds 8"


def test_of_confirmed_settings_more_are_confirmed() -> None:
    _, command = proposed(as_claimed(2), 7, "--confirm", "2", "--seeds", "7", confirm=2)
    assert command == "convblocks compare --seeds 7 --confirm 5"


@pytest.mark.parametrize("runs", [as_claimed(5), pair(5, 0.0), pair(3, 0.0)[:3]], ids=["clear", "equal", "alone"])
def test_nothing_is_proposed_where_more_runs_would_not_help(runs: list[RunResult]) -> None:
    assert proposed(runs, 5) == ("", "")


def test_nothing_is_proposed_while_runs_that_were_asked_for_are_missing() -> None:
    assert proposed(as_claimed(2), 10) == ("", "")


def test_seeds_go_on_after_the_given_ones() -> None:
    options = Namespace(seeds=[0, 7], jobs=2, confirm=0)
    _, command = more_runs(analyse(as_claimed(2)), options, ["--seeds=0,7", "--seed", "2", "--seeds", "0,7"])
    assert command == "convblocks compare --seed 2 --seeds 0,7,8,9,10"
