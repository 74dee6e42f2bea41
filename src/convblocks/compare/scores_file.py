"""A comparison of scores from anywhere, in a CSV file with a line for each run."""

import csv
from collections.abc import Sequence
from math import isfinite, nan
from pathlib import Path

from convblocks.command_line import Parser
from convblocks.compare.options import refuse_run
from convblocks.compare.report import report_of
from convblocks.errors import UserError
from convblocks.figures.option import figure_file
from convblocks.figures.report import publish, repeat_of
from convblocks.run.directory import RunDirectory
from convblocks.run.judge import Judge
from convblocks.run.result import EPOCHS, Provenance, RunResult

# Of a run of which nothing but its score is known.
UNKNOWN = Provenance(machine="", commit=None, data=None, device="", processes=1, threads=1)
EPOCH = {"epoch": 1, "step": 0, "seconds": 0.0}

# A score's largest size.
LARGEST = 1e100


def report_on_file(arguments: Sequence[str]) -> None:
    """Report on the runs of ``--from FILE``, whose column of scores and its direction
    ``--judge`` names.

    Raises:
        UsageError: other options, or no judge.
        UserError: the file cannot be read, or has a run twice.
    """
    parser = Parser()
    parser.add_argument("--from", dest="path", type=Path, required=True)
    parser.add_argument("--judge", type=Judge.parse, required=True)
    parser.add_argument("--name")
    parser.add_argument("--figure", type=figure_file)
    options = parser.parse_args(arguments)
    directory = RunDirectory(options.name or options.path.stem)
    refuse_run(directory)
    results = read_scores(options.path, options.judge)
    report = report_of(results, repeat=repeat_of("compare", arguments))
    publish(report, directory, options.figure)


def read_scores(path: Path, judge: Judge) -> list[RunResult]:
    """The runs in a CSV file with the columns ``arm``, ``seed`` and the one that the judge names.

    A score that is empty, infinite or nan is that of a run that diverged.

    Raises:
        UserError: the file cannot be read, lacks a column or any line, or has a run twice.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            lines = csv.DictReader(file)
            runs = [_run(row, judge) for row in lines]
            columns = lines.fieldnames or ()
            if len({*columns}) < len(columns):
                raise ValueError("it has a column twice")
    except (OSError, KeyError, ValueError, TypeError, csv.Error) as error:
        raise UserError(
            f"cannot read {path} ({error}): "
            f"it needs columns arm, seed and {judge.metric}, and lines such as `mine,0,0.93`"
        ) from error
    if not runs:
        raise UserError(f"{path} has no lines below its heading")
    if any(abs(score) > LARGEST for _, _, score in runs):
        raise UserError(f"{path} has a score beyond {LARGEST:g}, whose square is no number")
    if len({(arm, seed) for arm, seed, _ in runs}) < len(runs):
        raise UserError(f"{path} has a seed of one arm twice")
    return [
        RunResult(
            arch=arm,
            seed=seed,
            parameters=0,
            hparams={},
            epochs=(EPOCH,),
            final={judge.metric: score},
            judge=judge,
            monitor=judge,
            ended_by=EPOCHS,
            failed=not isfinite(score),
            provenance=UNKNOWN,
        )
        for arm, seed, score in runs
    ]


def _run(row: dict[str, str], judge: Judge) -> tuple[str, int, float]:
    """The arm, seed and score in a line; raises a ValueError for one that has too many
    fields or too few, or no arm.
    """
    if None in (*row, *row.values()) or not row["arm"].strip():
        raise ValueError(f"in the line of {row['arm']!r}: too many or too few fields, or no arm")
    score = float(row[judge.metric] or nan)
    return row["arm"], int(row["seed"]), score if isfinite(score) else nan
