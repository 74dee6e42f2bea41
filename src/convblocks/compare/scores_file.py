"""A comparison of scores from anywhere, in a CSV file with a line for each run."""

import csv
from collections.abc import Sequence
from configparser import ConfigParser
from dataclasses import replace
from math import isfinite, isnan, nan
from pathlib import Path

from convblocks.command_line import Parser
from convblocks.compare.report import report_of
from convblocks.compare.tables import column_of
from convblocks.compare.trials import refuse_run
from convblocks.errors import UsageError, UserError
from convblocks.figures.option import figure_file
from convblocks.figures.report import publish, repeat_of
from convblocks.record.directory import RunDirectory
from convblocks.record.judge import Judge
from convblocks.record.result import EPOCHS, Provenance, Row, RunResult

# The provenance and the epoch of a run of which nothing but its score is known.
UNKNOWN = Provenance(machine="", commit=None, data=None, device="", processes=1, threads=1)
EPOCH: Row = {"epoch": 1, "step": 0, "seconds": 0.0}

# A score's largest size.
LARGEST = 1e100


def report_on_file(arguments: Sequence[str]) -> None:
    """Report on the runs of ``--from FILE``, whose column of scores and its direction
    ``--judge`` names.

    Raises:
        UsageError: other options, no judge, or a report that would be written over the file.
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
    if options.path.resolve() == (directory.path / "comparison.csv").resolve():
        raise UsageError(f"the report would be written over {options.path}: choose another --name")
    results = read_scores(options.path, options.judge)
    report = report_of(results, repeat=repeat_of("compare", arguments))
    publish(report, directory, options.figure)


def read_scores(path: Path, judge: Judge) -> list[RunResult]:
    """The runs in a CSV file with the columns ``arm``, ``seed`` and the one that the judge
    names, or in a ``comparison.csv``.

    A score that is empty, infinite or nan is that of a run that diverged. Whether a run in
    a ``comparison.csv`` has collapsed may be spelt as by any spreadsheet.

    Raises:
        UserError: the file cannot be read, lacks a column or any line, or has a run twice.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            lines = csv.DictReader(file)
            runs = [_run(row, judge) for row in lines]
            columns = lines.fieldnames or ()
            if len({*columns}) < len(columns):
                raise ValueError("it has the same column twice")
    except (OSError, KeyError, ValueError, TypeError, csv.Error) as error:
        raise UserError(
            f"cannot read {path} ({error}): "
            f"it needs columns arm, seed and {judge.metric}, and lines such as `mine,0,0.93`"
        ) from error
    if not runs:
        raise UserError(f"{path} has no lines below its heading")
    if any(abs(run.score) > LARGEST for run in runs):
        raise UserError(f"{path} has a score beyond {LARGEST:g}, which is too large to be squared")
    if len({(run.arch, run.overrides, run.seed) for run in runs}) < len(runs):
        raise UserError(f"{path} has a seed of one arm twice")
    return runs


def _run(row: dict[str, str], judge: Judge) -> RunResult:
    """The run in a line; raises a ValueError for one that has too many fields or too few,
    no arm, or another value than its column may have.
    """
    ours = row if {"arch", "parameters"} <= row.keys() else {}
    arm = row["arch" if ours else "arm"]
    if None in (*row, *row.values()) or not arm.strip():
        raise ValueError(f"in the line of {arm!r}: too many or too few fields, or no arm")
    metric = judge.tested if column_of(judge.tested) in ours else judge.metric
    score = _score(row[column_of(metric) if ours else metric], judge)
    columns = [*ours]
    settings = columns[columns.index("seed") + 1 : columns.index("parameters")] if ours else []
    return RunResult(
        arch=arm.strip(),
        seed=int(row["seed"].removesuffix(".0")),  # of pandas
        parameters=int(ours.get("parameters") or 0),
        hparams={},
        epochs=(_epoch(ours, judge, metric),),
        final={metric: score},
        judge=judge,
        monitor=judge,
        ended_by=EPOCHS,
        failed=isnan(score) or _is_true(ours["collapsed"] if ours else "no"),
        provenance=replace(
            UNKNOWN, machine=ours.get("machine", ""), processor=ours.get("processor")
        ),
        overrides=tuple((name, row[name]) for name in settings if row[name]),
    )


def _score(text: str, judge: Judge) -> float:
    """The score, nan if it is empty or infinite; raises a ValueError for one that is no
    share where the judge's are.
    """
    score = float(text or nan)
    if not isfinite(score):
        return nan
    if judge.in_percent and not 0 <= score <= 1:
        raise ValueError(f"{text} is not a share in 0..1: leave out the :%")
    return score


def _is_true(text: str) -> bool:
    """``True`` as pandas, Excel and R write it, or 1; raises a ValueError."""
    known = ConfigParser.BOOLEAN_STATES
    if text.lower() not in known:
        raise ValueError(f"collapsed is {text!r}, neither True nor False")
    return known[text.lower()]


def _epoch(ours: dict[str, str], judge: Judge, metric: str) -> Row:
    """The time in a line of ``comparison.csv``, and the score on validation data, where
    it has another one.
    """
    epoch = EPOCH | {"seconds": float(ours.get("seconds") or 0)}
    validation = ours.get(column_of(judge.metric))
    if validation and metric != judge.metric:
        epoch[judge.metric] = float(validation)
    return epoch
