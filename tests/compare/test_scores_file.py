"""Comparisons of scores from anywhere."""

import json
from pathlib import Path

import pytest

from convblocks.compare import command as compare
from convblocks.compare.statistics import permutation_test
from convblocks.errors import UserError

OURS, THEIRS = [0.31, 0.28, 0.35, 0.3], [0.52, 0.48, 0.55, 0.51]
LINES = ["arm,seed,error", *(f"ours,{seed},{value}" for seed, value in enumerate(OURS))]
LINES += [f"theirs,{seed},{value}" for seed, value in enumerate(THEIRS)]


def test_scores_from_anywhere_are_tested_in_their_direction(
    workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("runs.csv").write_text("\n".join(LINES))
    compare.main(["--from", "runs.csv", "--judge", "error:min"])
    assert "ours is better than theirs by" in capsys.readouterr().out
    (difference,) = json.loads(Path("lightning_logs/runs/comparison.json").read_text())["comparison"]["differences"]
    expected = permutation_test(THEIRS, OURS)
    assert (difference["first"], difference["second"], difference["sign"]) == ("theirs", "ours", -1)
    assert difference["trained"]["p"] == expected.p
    assert difference["trained"]["value"] == pytest.approx(expected.value)
    assert difference["all_runs"]["value"] == 0


def test_a_run_without_a_score_diverged(workspace: Path) -> None:
    Path("runs.csv").write_text("\n".join([*LINES, "theirs,9,"]))
    compare.main(["--from", "runs.csv", "--judge", "error:min", "--name", "theirs"])
    _, theirs = json.loads(Path("lightning_logs/theirs/comparison.json").read_text())["comparison"]["arms"]
    assert (theirs["runs"], theirs["diverged"], theirs["score"]["n"]) == (5, 1, 4)


def test_an_arm_of_which_every_run_diverged_is_reported(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("runs.csv").write_text("\n".join([*LINES, "wild,0,", "wild,1,nan"]))
    compare.main(["--from", "runs.csv", "--judge", "error:min"])
    assert "wild collapsed in 2 of 2 runs" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("lines", "options", "message"),
    [
        (LINES, [], "give, for example, --judge score:max"),
        (LINES, ["--judge", "error"], "--judge error: give a metric and its direction, such as val/loss:min"),
        (LINES, ["--judge", "acc:max"], "has no column acc, but arm, seed, error: it needs arm, seed and acc"),
        (LINES, ["--judge", "error:min", "--seeds", "3"], "unrecognized arguments: --seeds 3"),
        ([*LINES, "ours,0,0.3"], ["--judge", "error:min"], "has a seed of one arm twice"),
        ([*LINES, "ours,x,0.3"], ["--judge", "error:min"], "it needs lines such as `mine,0,0.93`"),
        (LINES[:1], ["--judge", "error:min"], "has no lines below its heading"),
    ],
)
def test_what_is_no_such_file_is_one_line(workspace: Path, lines: list[str], options: list[str], message: str) -> None:
    Path("runs.csv").write_text("\n".join(lines))
    with pytest.raises(UserError, match=message) as caught:
        compare.main(["--from", "runs.csv", *options])
    assert "\n" not in str(caught.value)
    assert not Path("lightning_logs").exists()
