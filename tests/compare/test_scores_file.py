"""Comparisons of scores from anywhere."""

import json
import sys
from dataclasses import replace
from pathlib import Path
from subprocess import run

import pytest

from convblocks.compare import command as compare
from convblocks.compare.means import permutation_test
from convblocks.compare.report import report_of
from convblocks.compare.scores_file import read_scores
from convblocks.errors import UserError
from convblocks.record.judge import ACCURACY, Judge
from convblocks.record.result import RunResult
from convblocks.text import as_csv
from tests.made_up import as_claimed, result

OURS, THEIRS = [0.31, 0.28, 0.35, 0.3], [0.52, 0.48, 0.55, 0.51]
LINES = ["arm,seed,error", *(f"ours,{seed},{value}" for seed, value in enumerate(OURS))]
LINES += [f"theirs,{seed},{value}" for seed, value in enumerate(THEIRS)]

JUDGE = ["--judge", "error:min"]


def test_scores_from_anywhere_are_tested_in_their_direction(
    workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("runs.csv").write_text("\n".join(LINES))
    compare.main(["--from", "runs.csv", *JUDGE])
    assert "ours is better than theirs by" in capsys.readouterr().out
    (difference,) = json.loads(Path("lightning_logs/runs/comparison.json").read_text())[
        "differences"
    ]
    expected = permutation_test(THEIRS, OURS)
    assert difference["difference"] == "theirs minus ours"
    assert difference["trained"]["p"] == expected.p
    assert difference["trained"]["value"] == pytest.approx(expected.value)
    assert difference["all_runs"]["value"] == 0


@pytest.mark.parametrize(
    ("ending", "begins"), [("pdf", b"%PDF"), ("png", b"\x89PNG"), ("svg", b"<?xml")]
)
def test_figure_is_written_in_the_format_of_its_name_over_an_earlier_one(
    ending: str, begins: bytes, workspace: Path
) -> None:
    Path("runs.csv").write_text("\n".join(LINES))
    figure = Path(f"ours.{ending}")
    figure.touch()
    compare.main(["--from", "runs.csv", *JUDGE, "--figure", str(figure)])
    assert figure.read_bytes().startswith(begins)


@pytest.mark.parametrize("score", ["", "nan", "inf"])
def test_scores_that_are_missing_or_not_finite_are_of_runs_that_diverged(
    score: str, workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("runs.csv").write_text(
        "\n".join([*LINES, f"theirs,9,{score}", f"wild,0,{score}", "wild,1,"])
    )
    compare.main(["--from", "runs.csv", *JUDGE, "--name", "named"])
    assert "wild collapsed in 2 of 2 runs" in capsys.readouterr().out
    _, theirs, _ = json.loads(Path("lightning_logs/named/comparison.json").read_text())["results"]
    assert (theirs["trained"]["n"], theirs["trained"]["value"], theirs["score"]["n"]) == (5, 0.8, 4)


@pytest.mark.parametrize(
    ("lines", "options", "message"),
    [
        (LINES, [], "the following arguments are required: --judge"),
        (LINES, ["--judge", "acc:max"], "'acc'.: it needs columns arm, seed and acc"),
        ([*LINES, "ours,0,0.3"], JUDGE, "has a seed of one arm twice"),
        ([*LINES, "ours,x,0.3"], JUDGE, "and lines such as `mine,0,0.93`"),
        (LINES[:1], JUDGE, "has no lines below its heading"),
        (["arm,seed,error,error", "ours,0,0.3,0.4"], JUDGE, "it has the same column twice"),
    ],
)
def test_scores_in_a_wrong_file_are_refused_in_one_line(
    workspace: Path, lines: list[str], options: list[str], message: str
) -> None:
    Path("runs.csv").write_text("\n".join(lines))
    with pytest.raises(UserError, match=message) as caught:
        compare.main(["--from", "runs.csv", *options])
    assert "\n" not in str(caught.value)
    assert not Path("lightning_logs").exists()


def test_names_of_arms_and_seeds_are_read_as_spreadsheets_and_pandas_write_them(
    tmp_path: Path,
) -> None:
    path = tmp_path / "runs.csv"
    path.write_text("arm,seed,error\nA,0.0,0.3\nA ,1.0,0.4\n")
    assert [(run.arch, run.seed) for run in read_scores(path, Judge("error", "min"))] == [
        ("A", 0),
        ("A", 1),
    ]
    path.write_text("arm,seed,error\nA,0.5,0.3\n")
    with pytest.raises(UserError, match="invalid literal for int"):
        read_scores(path, Judge("error", "min"))


def test_percentages_are_refused_as_shares(workspace: Path) -> None:
    Path("runs.csv").write_text("arm,seed,score\na,0,97.2\nb,0,0.9")
    with pytest.raises(UserError, match=r"97.2 is not a share in 0..1: leave out the :%"):
        compare.main(["--from", "runs.csv", "--judge", "score:max:%"])
    Path("runs.csv").write_text("arm,seed,score\na,0,1\nb,0,0\nb,1,inf")
    compare.main(["--from", "runs.csv", "--judge", "score:max:%"])


def test_score_of_no_split_is_not_said_to_be_of_test_data(tmp_path: Path) -> None:
    path = tmp_path / "runs.csv"
    path.write_text("arm,seed,score\na,0,0.8\nb,0,0.9")
    figure = report_of(read_scores(path, Judge("score", "max", True))).figures[""].draw()
    assert figure.axes[-1].get_xlabel() == "final error, log scale"


def test_report_is_not_written_over_the_scores_that_it_reads(workspace: Path) -> None:
    path = Path("lightning_logs/mine/comparison.csv")
    path.parent.mkdir(parents=True)
    path.write_text("\n".join(LINES))
    with pytest.raises(UserError, match="would be written over"):
        compare.main(["--from", str(path), "--name", "mine", *JUDGE])
    assert path.read_text() == "\n".join(LINES)
    compare.main(["--from", str(path), "--name", "again", *JUDGE])


def test_report_on_more_runs_is_not_replaced_silently(
    workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = []
    for lines in (LINES, LINES, LINES[:-1]):
        Path("runs.csv").write_text("\n".join(lines))
        compare.main(["--from", "runs.csv", *JUDGE])
        said.append("It replaces a report on 8 runs by one on 7.\n" in capsys.readouterr().out)
    assert said == [False, False, True]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (" ,0,0.9", "no arm"),
        ("a,0,0.9,4", "too many or too few fields"),
        ("a,0", "too many or too few fields"),
        ("a,0,1e308", "beyond 1e\\+100"),
    ],
)
def test_line_that_is_no_run_is_refused(line: str, message: str, workspace: Path) -> None:
    Path("runs.csv").write_text("\n".join([*LINES, line]))
    with pytest.raises(UserError, match=message):
        compare.main(["--from", "runs.csv", *JUDGE])


def test_arm_may_have_any_name(workspace: Path) -> None:
    """Also one that looks like a formula."""
    text = "\n".join(LINES).replace("theirs", r"$\frac{a$")
    Path("runs.csv").write_text(text)
    compare.main(["--from", "runs.csv", *JUDGE])
    assert r"$\frac{a$" in Path("lightning_logs/runs/comparison.html").read_text()


GRID = [
    result("maxpool", seed, 0.9 + 0.01 * seed, (("model.lr", rate),), validation=validation)
    for rate, validation in (("1e-3", 0.95), ("1e-2", 0.97))
    for seed in range(5)
]


@pytest.mark.parametrize(
    "results",
    [pytest.param(as_claimed(6, collapsed=2), id="networks"), pytest.param(GRID, id="grid")],
)
def test_own_csv_gives_the_same_differences_again(results: list[RunResult], tmp_path: Path) -> None:
    report = report_of(results)
    path = tmp_path / "comparison.csv"
    path.write_text(as_csv(report.runs))
    again = report_of(read_scores(path, ACCURACY)).plain_numbers()
    expected = report.plain_numbers()
    assert [row["trained"] for row in again["differences"]] == [
        row["trained"] for row in expected["differences"]
    ]
    assert [row["all_runs"] for row in again["differences"]] == [
        row["all_runs"] for row in expected["differences"]
    ]
    assert [arm["trained"] for arm in again["results"]] == [
        arm["trained"] for arm in expected["results"]
    ]
    assert [run.overrides for run in read_scores(path, ACCURACY)][-1] == tuple(
        (option.replace(".", "_"), value) for option, value in results[-1].overrides
    )


def test_two_kinds_of_processor_are_two_machines_also_of_a_csv(tmp_path: Path) -> None:
    kinds = ("family 25, model 1, AVX2", "family 25, model 17, AVX512")
    results = []
    for one, kind in zip(as_claimed(2), 3 * kinds, strict=True):
        results.append(replace(one, provenance=replace(one.provenance, processor=kind)))
    path = tmp_path / "comparison.csv"
    path.write_text(as_csv(report_of(results).runs))
    for runs in (results, read_scores(path, ACCURACY)):
        said = " ".join(report_of(runs).sentences)
        assert "These runs come from 2 machines or versions: " in said
        assert all(f"2 CPUs (AMD EPYC 9R45, {kind}), Linux, " in said for kind in kinds)


@pytest.mark.parametrize(
    ("true", "false"), [("True", "False"), ("TRUE", "FALSE"), ("true", "false"), ("1", "0")]
)
def test_collapses_in_an_own_csv_are_read_however_they_are_spelt(
    true: str, false: str, tmp_path: Path
) -> None:
    path = tmp_path / "comparison.csv"
    results = as_claimed(6, collapsed=2)
    text = as_csv(report_of(results).runs)
    path.write_text(text.replace(",True,", f",{true},").replace(",False,", f",{false},"))
    read = read_scores(path, ACCURACY)
    assert [run.failed for run in read] == [run.failed for run in results]
    assert "if it has no score or its file says so; means" in report_of(read).to_markdown()


@pytest.mark.parametrize(
    ("changed", "message"),
    [((",True,", ",perhaps,"), "collapsed is 'perhaps'"), (("collapsed", "other"), "'collapsed'")],
)
def test_own_csv_that_does_not_say_which_runs_collapsed_is_refused(
    changed: tuple[str, str], message: str, tmp_path: Path
) -> None:
    path = tmp_path / "comparison.csv"
    path.write_text(as_csv(report_of(as_claimed(6, collapsed=2)).runs).replace(*changed))
    with pytest.raises(UserError, match=message) as caught:
        read_scores(path, ACCURACY)
    assert "\n" not in str(caught.value)


def test_own_csv_may_be_judged_by_any_of_its_scores(tmp_path: Path) -> None:
    path = tmp_path / "comparison.csv"
    path.write_text(as_csv(report_of(GRID).runs))
    of_test, of_both = (
        read_scores(path, Judge(name, "max"))[0] for name in ("test/acc", "val/acc")
    )
    assert (of_test.score, of_test.score_name) == (of_both.score, of_both.score_name)
    assert (of_test.validation, of_both.validation) == (None, 0.95)
    assert (of_test.seconds, of_test.parameters) == pytest.approx((GRID[0].seconds, 85_526))


def test_scores_are_compared_without_torch(workspace: Path) -> None:
    """Whose import takes longer than everything else."""
    Path("runs.csv").write_text("\n".join(LINES))
    words = ["--from", "runs.csv", *JUDGE]
    code = f"import sys; from convblocks.compare.command import main; main({words})"
    code += "; print('torch' in sys.modules)"
    ended = run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "ours is better than theirs" in ended.stdout
    assert ended.stdout.endswith("False\n")
