"""A comparison of scores from anywhere, in a CSV file with a line for each run."""

import csv
import math
from collections.abc import Sequence
from pathlib import Path

from convblocks.command_line import Parser
from convblocks.compare.grid import analyse
from convblocks.compare.report import report_of
from convblocks.errors import UsageError, UserError
from convblocks.figures.report import publish, repeat_of
from convblocks.run.directory import RunDirectory
from convblocks.run.judge import Judge
from convblocks.run.result import EPOCHS, Provenance, RunResult


def report_on_file(arguments: Sequence[str]) -> None:
    """Report on the runs of ``--from FILE``, whose column of scores and its direction ``--judge`` names.

    Raises:
        UsageError: other options, or no judge.
        UserError: the file is missing, or lacks a column, or a run is there twice.
    """
    parser = Parser()
    parser.add_argument("--from", dest="path", type=Path, required=True)
    parser.add_argument("--judge", type=Judge.parse)
    parser.add_argument("--name")
    options = parser.parse_args(arguments)
    if options.judge is None:
        raise UsageError("--from needs the column of scores and its direction: give, for example, --judge score:max")
    directory = RunDirectory(options.name or options.path.stem)
    directory.refuse_run()
    analysis = analyse(read_scores(options.path, options.judge))
    publish(report_of(analysis, repeat=repeat_of("compare", arguments)), directory)


def read_scores(path: Path, judge: Judge) -> list[RunResult]:
    """The runs in a CSV file with the columns ``arm``, ``seed`` and the one that the judge names.

    A score that is empty, infinite or nan is that of a run that diverged.

    Raises:
        UserError: the file cannot be read, lacks a column or any line, or has a run twice.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            rows, columns = list(reader), reader.fieldnames or []
        scores = {(row["arm"], int(row["seed"])): float(row[judge.metric] or "nan") for row in rows}
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error
    except KeyError as error:
        needed = f"it needs arm, seed and {judge.metric}"
        raise UserError(f"{path} has no column {error.args[0]}, but {', '.join(columns)}: {needed}") from error
    except (ValueError, TypeError, csv.Error) as error:
        raise UserError(f"cannot read {path} ({error}): it needs lines such as `mine,0,0.93`") from error
    if not rows:
        raise UserError(f"{path} has no lines below its heading")
    if len(scores) < len(rows):
        raise UserError(f"{path} has a seed of one arm twice")
    return [_result(arm, seed, score, judge) for (arm, seed), score in scores.items()]


def _result(arm: str, seed: int, score: float, judge: Judge) -> RunResult:
    """A run of which nothing else is known."""
    return RunResult(
        arch=arm,
        seed=seed,
        parameters=0,
        hparams={},
        epochs=({"epoch": 1, "step": 0, "seconds": 0.0},),
        final={judge.metric: score},
        judge=judge,
        monitor=judge,
        ended_by=EPOCHS,
        failed=not math.isfinite(score),
        provenance=Provenance(machine="", commit=None, data=None, device="", processes=1, threads=1),
    )
