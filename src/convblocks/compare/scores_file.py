"""A comparison of scores from anywhere, in a CSV file with a line for each run."""

import csv
from collections.abc import Sequence
from math import isnan, nan
from pathlib import Path

from convblocks.command_line import Parser
from convblocks.compare.options import refuse_run
from convblocks.compare.report import report_of
from convblocks.errors import UserError
from convblocks.figures.report import publish, repeat_of
from convblocks.run.directory import RunDirectory
from convblocks.run.judge import Judge
from convblocks.run.result import EPOCHS, Provenance, RunResult

# Of a run of which nothing but its score is known.
UNKNOWN = Provenance(machine="", commit=None, data=None, device="", processes=1, threads=1)
EPOCH = {"epoch": 1, "step": 0, "seconds": 0.0}

# The column of the cells beyond the last heading.
MORE = "\0"

# A score beyond it is that of a run that diverged: it could not be squared.
LARGEST = 1e100


def report_on_file(arguments: Sequence[str]) -> None:
    """Report on the runs of ``--from FILE``, whose column of scores and its direction ``--judge`` names.

    Raises:
        UsageError: other options, or no judge.
        UserError: the file cannot be read, or has a run twice.
    """
    parser = Parser()
    parser.add_argument("--from", dest="path", type=Path, required=True)
    parser.add_argument("--judge", type=Judge.parse, required=True)
    parser.add_argument("--name")
    options = parser.parse_args(arguments)
    directory = RunDirectory(options.name or options.path.stem)
    refuse_run(directory)
    publish(report_of(read_scores(options.path, options.judge), repeat=repeat_of("compare", arguments)), directory)


def read_scores(path: Path, judge: Judge) -> list[RunResult]:
    """The runs in a CSV file with the columns ``arm``, ``seed`` and the one that the judge names.

    A score that is empty, infinite, nan or beyond ``LARGEST`` is that of a run that diverged.

    Raises:
        UserError: the file cannot be read, lacks a column, a cell or any line, or has a run twice.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file, restkey=MORE))
        if any(MORE in row or None in row.values() for row in rows):
            raise ValueError("a line has more or fewer cells than the heading")
        runs = [(row["arm"], int(row["seed"]), float(row[judge.metric] or "nan")) for row in rows]
    except (OSError, KeyError, ValueError, csv.Error) as error:
        problem = f"no column {error}" if isinstance(error, KeyError) else getattr(error, "strerror", None) or error
        needed = f"it needs columns arm, seed and {judge.metric}, and lines such as `mine,0,0.93`"
        raise UserError(f"cannot read {path} ({problem}): {needed}") from error
    if not runs or len({run[:2] for run in runs}) < len(runs):
        raise UserError(f"{path} has {'a seed of one arm twice' if runs else 'no lines below its heading'}")
    scores = [(arm, seed, score if abs(score) < LARGEST else nan) for arm, seed, score in runs]
    return [
        RunResult(arm, seed, 0, {}, (EPOCH,), {judge.metric: score}, judge, judge, EPOCHS, isnan(score), UNKNOWN)
        for arm, seed, score in scores
    ]
