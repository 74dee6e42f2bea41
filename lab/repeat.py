"""Repeat runs of docs/data that are drawn at random, and compare every number but times.

usage: python -m lab.repeat [--seed N] [--count N] [--of NAME ...]

To be called in the repository's folder. The same kind of processor gives the
same digits; on another one rounding differs, and training amplifies that.

  --seed N             of the draw (default: 0)
  --count N            how many runs (default: 1)
  --of NAME ...        draw among these records only, such as why
"""

import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice, zip_longest
from pathlib import Path
from random import Random
from textwrap import shorten
from typing import Any

from convblocks.command_line import Parser
from convblocks.compare.trials import command_line
from convblocks.console import answer, echo, end
from convblocks.errors import UserError
from convblocks.run.directory import RunDirectory
from convblocks.run.provenance import describe_machine
from convblocks.run.result import Row, RunResult
from convblocks.text import counted
from lab.pages.writing import DATA, REPOSITORY
from lab.results import read_results

# What no two runs share.
TIMES = ("seconds", "images_per_second")

# The fact that is a sentence, whose words may change.
TEXT = "diagnosis"

# Before the names of facts.
FACT = "fact "


def main(arguments: list[str]) -> None:
    """Draw records, train each again, and say whether all numbers are the same.

    Raises:
        UserError: there is no such record, or some runs differ from theirs.
    """
    parser = Parser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=1)
    names = sorted(path.stem for path in DATA.glob("*.jsonl"))
    parser.add_argument("--of", nargs="+", default=names)
    options = parser.parse_args(arguments)
    records = {name: read_results(DATA / f"{name}.jsonl") for name in options.of}
    drawn = draw(records, options.seed, options.count)
    unequal = 0
    for name, record in drawn:
        echo(f"{name}: {' '.join(words_of(record))} ...")
        found = next(differences(record, repeat(record)), "")
        unequal += bool(found)
        same = f"all {len(numbers(record))} recorded values are the same"
        echo(found or same)
    if unequal:
        raise UserError(
            f"{unequal} of {counted(len(drawn), 'run')} differ "
            f"from their records, on {describe_machine()}"
        )


def draw(
    records: Mapping[str, Sequence[RunResult]], seed: int, count: int
) -> list[tuple[str, RunResult]]:
    """So many different runs, from the files in a random order, in turn: a file of many
    runs is drawn no more often.
    """
    random = Random(seed)
    shuffled = []
    for name, runs in records.items():
        shuffled.append([(name, run) for run in random.sample(runs, len(runs))])
    random.shuffle(shuffled)
    in_turn = (drawn for place in zip_longest(*shuffled) for drawn in place if drawn)
    return list(islice(in_turn, count))


def words_of(record: RunResult) -> list[str]:
    """The options of fit that train a record's run."""
    return [*command_line(record.overrides), "--arch", record.arch, "--seed", str(record.seed)]


def repeat(record: RunResult) -> RunResult:
    """Train a record's run again, in a folder that is deleted.

    Raises:
        UserError: it failed.
    """
    with tempfile.TemporaryDirectory() as folder:
        command = [
            sys.executable,
            str(REPOSITORY / "scripts" / "fit.py"),
            *words_of(record),
            "--name=repeated",
            f"--trainer.default_root_dir={folder}",
            "--trainer.logger=false",
        ]
        ended = subprocess.run(command, cwd=REPOSITORY, stdout=subprocess.DEVNULL, check=False)
        if ended.returncode:
            raise UserError(f"the run failed: {' '.join(command)}")
        return RunDirectory("repeated", Path(folder)).read_result()


def differences(record: RunResult, run: RunResult) -> Iterator[str]:
    """The recorded numbers that a run does not have: ``test/acc of epoch 3: 0.98, recorded 0.981``.

    Facts are compared if both have them, since callbacks come and go.
    """
    found = numbers(run)
    for place, value in numbers(record).items():
        if place.startswith(FACT) and place not in found:
            continue
        if repr(found.get(place)) != repr(value):  # nan is nan
            yield f"{place}: {shorten(f'{found.get(place)}, recorded {value}', 80)}"


def numbers(run: RunResult) -> dict[str, Any]:
    """All numbers of a run but its times, by their places, and the facts that callbacks added."""
    found: dict[str, Any] = {"parameters": run.parameters, "failed": run.failed}
    for kind, rows in (("epoch", run.epochs), ("evaluation", run.evaluations)):
        for number, row in enumerate(rows, start=1):
            for name, value in _without_times(row).items():
                found[f"{name} of {kind} {number}"] = value
    found |= {f"final {name}": value for name, value in _without_times(run.final).items()}
    facts = {f"{FACT}{name}": value for name, value in run.facts.items() if name != TEXT}
    return found | facts


def _without_times(row: Row) -> Row:
    return {name: value for name, value in row.items() if name not in TIMES}


if __name__ == "__main__":
    end(answer(main, __doc__))
